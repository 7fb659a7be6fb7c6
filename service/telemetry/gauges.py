"""The metrics that are a state and not a count: looked at now and then, not kept up to date."""

import asyncio
from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge

INTERVAL = 5.0
"""Seconds between looks; scrapes come every 15 or so."""


class Waiting(Protocol):
    """See `service.realtime.queue_stats.QueueStats`."""

    @property
    def events(self) -> int: ...

    @property
    def bytes(self) -> int: ...

    @property
    def max_depth(self) -> int: ...

    @property
    def dropped(self) -> int: ...


class State(NamedTuple):
    """Whom to ask. `connections`: by feed; `bus_lag`: in seconds; `bus_waiting`: messages; `queues`: of all
    connections."""

    connections: Mapping[str, Callable[[], int]]
    bus_connected: Callable[[], bool]
    bus_lag: Callable[[], float]
    bus_waiting: Callable[[], int] = int
    queues: Callable[[], Waiting] | None = None


class Gauges:
    """Of several processes: the sum of their connections and queues, and the worst of their buses."""

    def __init__(self, state: State, registry: CollectorRegistry) -> None:
        self._state = state
        self._connections = Gauge(
            "loa_connections", "Live connections.", ["feed"], registry=registry, multiprocess_mode="livesum"
        )
        self._tasks = Gauge(
            "loa_tasks",
            "Tasks of the loop: some for the process, and one for each request or frame that is being worked on.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._bus_connected = Gauge(
            "loa_bus_connected",
            "1 where every process hears the others.",
            registry=registry,
            multiprocess_mode="livemin",
        )
        self._bus_lag = Gauge(
            "loa_bus_lag_seconds",
            "How long a message takes through the bus and back.",
            registry=registry,
            multiprocess_mode="livemax",
        )
        self._bus_waiting = Gauge(
            "loa_bus_waiting", "Messages that Redis has not taken.", registry=registry, multiprocess_mode="livesum"
        )
        self._queue_events = Gauge(
            "loa_queue_events", "Events that wait for slow readers.", registry=registry, multiprocess_mode="livesum"
        )
        self._queue_bytes = Gauge(
            "loa_queue_bytes", "Bytes that wait for slow readers.", registry=registry, multiprocess_mode="livesum"
        )
        self._queue_deepest = Gauge(
            "loa_queue_deepest_events",
            "Events that wait for the slowest.",
            registry=registry,
            multiprocess_mode="livemax",
        )
        self._dropped = Counter(
            "loa_events_dropped", "Ephemeral events that found no room in a queue.", registry=registry
        )
        self._dropped_by_closed = 0
        self._dropped_so_far = 0

    def closed(self, dropped: int) -> None:
        """A connection has gone, of whose queue so many events were dropped."""
        self._dropped_by_closed += dropped

    def sample(self) -> None:
        for feed, count in self._state.connections.items():
            self._connections.labels(feed).set(count())
        self._tasks.set(len(asyncio.all_tasks()))
        self._bus_connected.set(self._state.bus_connected())
        self._bus_lag.set(self._state.bus_lag())
        self._bus_waiting.set(self._state.bus_waiting())
        if self._state.queues:
            queues = self._state.queues()
            self._queue_events.set(queues.events)
            self._queue_bytes.set(queues.bytes)
            self._queue_deepest.set(queues.max_depth)
            dropped = self._dropped_by_closed + queues.dropped
            self._dropped.inc(max(0, dropped - self._dropped_so_far))
            self._dropped_so_far = max(dropped, self._dropped_so_far)

    async def sample_forever(self) -> None:
        while True:
            self.sample()
            await asyncio.sleep(INTERVAL)
