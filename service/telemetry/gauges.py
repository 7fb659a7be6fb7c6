"""Gauges: metrics that are read from the running process every few seconds instead of being kept up to date."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge

INTERVAL = 5.0
"""Seconds between updates; Prometheus scrapes about every 15."""

Mode = Literal["livesum", "livemin", "livemax"]
"""How the values of several processes are combined."""


class QueueTotals(Protocol):
    """See `service.realtime.queue_stats.QueueStats`."""

    @property
    def events(self) -> int: ...

    @property
    def bytes(self) -> int: ...

    @property
    def max_depth(self) -> int: ...

    @property
    def dropped(self) -> int: ...


class GaugeSources(NamedTuple):
    """Functions that return the current values. `connections`: by channel, which is the label `feed`; `bus_lag`: in
    seconds; `bus_waiting`: in messages; `queues`: totals over all connections. `follower_lags`: in seconds, by the name
    of the follower of changes; `webhooks_…`, `pushes_waiting`: in deliveries; all are 0 but in the process that does
    the work."""

    connections: Mapping[str, Callable[[], int]]
    bus_connected: Callable[[], bool]
    bus_lag: Callable[[], float]
    bus_waiting: Callable[[], int] = int
    queues: Callable[[], QueueTotals] | None = None
    follower_lags: Mapping[str, Callable[[], float]] = {}
    pushes_waiting: Callable[[], int] = int
    webhooks_waiting: Callable[[], int] = int
    webhooks_parked: Callable[[], int] = int


class Gauges:
    """Across processes, connections and queues are summed; of the bus, the worst process counts."""

    def __init__(self, sources: GaugeSources, registry: CollectorRegistry) -> None:
        self._sources = sources

        def gauge(name: str, documentation: str, mode: Mode, *labels: str) -> Gauge:
            return Gauge(name, documentation, labels, registry=registry, multiprocess_mode=mode)

        self._connections = gauge("loa_connections", "Open connections.", "livesum", "feed")
        self._tasks = gauge(
            "loa_tasks",
            "Tasks of the event loop: a few per process, and one per request or frame being handled.",
            "livesum",
        )
        self._bus_connected = gauge("loa_bus_connected", "1 if every process is subscribed to the bus.", "livemin")
        self._bus_lag = gauge("loa_bus_lag_seconds", "Round-trip time of a message through the bus.", "livemax")
        self._bus_waiting = gauge("loa_bus_waiting", "Messages that Redis has not accepted yet.", "livesum")
        self._follower_lag = gauge(
            "loa_change_follower_lag_seconds",
            "Age of the oldest change in the database that a follower has read and not handled.",
            "livemax",
            "follower",
        )
        self._pushes_waiting = gauge(
            "loa_pushes_waiting", "Pushes that wait for their time or their next attempt.", "livemax"
        )
        self._webhooks_waiting = gauge("loa_webhooks_waiting", "Webhooks stored for a later attempt.", "livemax")
        self._webhooks_parked = gauge("loa_webhooks_parked", "Webhooks that are no longer attempted.", "livemax")
        self._queue_events = gauge("loa_queue_events", "Events queued for slow clients.", "livesum")
        self._queue_bytes = gauge("loa_queue_bytes", "Bytes queued for slow clients.", "livesum")
        self._queue_max_depth = gauge(
            "loa_queue_deepest_events", "Events in the longest queue of a connection.", "livemax"
        )
        self._dropped = Counter(
            "loa_events_dropped", "Ephemeral events dropped because a queue was full.", registry=registry
        )
        self._dropped_by_closed = 0
        self._dropped_so_far = 0

    def connection_closed(self, dropped: int) -> None:
        """Keep the number of events that the queue of a closed connection dropped."""
        self._dropped_by_closed += dropped

    def update(self) -> None:
        for feed, count in self._sources.connections.items():
            self._connections.labels(feed).set(count())
        self._tasks.set(len(asyncio.all_tasks()))
        self._bus_connected.set(self._sources.bus_connected())
        self._bus_lag.set(self._sources.bus_lag())
        self._bus_waiting.set(self._sources.bus_waiting())
        for follower, lag in self._sources.follower_lags.items():
            self._follower_lag.labels(follower).set(lag())
        self._pushes_waiting.set(self._sources.pushes_waiting())
        self._webhooks_waiting.set(self._sources.webhooks_waiting())
        self._webhooks_parked.set(self._sources.webhooks_parked())
        if self._sources.queues:
            queues = self._sources.queues()
            self._queue_events.set(queues.events)
            self._queue_bytes.set(queues.bytes)
            self._queue_max_depth.set(queues.max_depth)
            dropped = self._dropped_by_closed + queues.dropped
            self._dropped.inc(max(0, dropped - self._dropped_so_far))
            self._dropped_so_far = max(dropped, self._dropped_so_far)

    async def update_forever(self) -> None:
        while True:
            self.update()
            await asyncio.sleep(INTERVAL)
