"""The metrics that are a state and not a count: looked at now and then, not kept up to date."""

import asyncio
from collections.abc import Callable, Mapping
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Gauge

INTERVAL = 5.0
"""Seconds between looks; scrapes come every 15 or so."""


class State(NamedTuple):
    """Whom to ask. `connections`: by feed; `bus_lag`: in seconds."""

    connections: Mapping[str, Callable[[], int]]
    bus_connected: Callable[[], bool]
    bus_lag: Callable[[], float]


class Gauges:
    """Of several processes: the sum of their connections, and the worst of their buses."""

    def __init__(self, state: State, registry: CollectorRegistry) -> None:
        self._state = state
        self._connections = Gauge(
            "loa_connections", "Live connections.", ["feed"], registry=registry, multiprocess_mode="livesum"
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

    def sample(self) -> None:
        for feed, count in self._state.connections.items():
            self._connections.labels(feed).set(count())
        self._bus_connected.set(self._state.bus_connected())
        self._bus_lag.set(self._state.bus_lag())

    async def sample_forever(self) -> None:
        while True:
            self.sample()
            await asyncio.sleep(INTERVAL)
