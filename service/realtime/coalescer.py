"""Coalescing: of events that describe the same state, connections get the first at once, and then the last."""

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass

from service.realtime.event import Event

INTERVAL = 0.25
"""Seconds between two events with the same key: nobody reads a number that changes more often."""

Deliver = Callable[[Collection[str] | None, Event], None]


@dataclass(slots=True)
class Window:
    """The time after a delivery. `due` is when it ends, by the loop's clock; `last` is what is delivered then."""

    due: float
    last: tuple[Collection[str] | None, Event] | None = None


class Coalescer:
    """Delivers at most one event with the same key in INTERVAL.

    An event is delivered at once if none was in the last INTERVAL; otherwise at the end of it, unless a later one has
    replaced it. So the last one is always delivered. Only the keys with a delivery in the last INTERVAL are remembered.
    """

    def __init__(self, deliver: Deliver) -> None:
        self._deliver = deliver
        self._windows: dict[str, Window] = {}
        """In the order in which they end."""
        self._timer: asyncio.TimerHandle | None = None

    def put(self, recipients: Collection[str] | None, event: Event) -> None:
        """Deliver `event`, now or later. It must not be older than one with the same key that was put before."""
        window = self._windows.get(event.key)
        if window:
            window.last = (recipients, event)
            return
        self._deliver(recipients, event)
        loop = asyncio.get_running_loop()
        self._windows[event.key] = Window(loop.time() + INTERVAL)
        if self._timer is None:
            self._timer = loop.call_later(INTERVAL, self._on_due)

    def close(self) -> None:
        """Deliver what waits."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        windows, self._windows = self._windows, {}
        for window in windows.values():
            if window.last:
                self._deliver(*window.last)

    def _on_due(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = None
        while self._windows:
            key, window = next(iter(self._windows.items()))
            if window.due > loop.time():
                self._timer = loop.call_at(window.due, self._on_due)
                return
            del self._windows[key]
            if window.last:
                self._deliver(*window.last)
                # The one timer is for the window that ends first.
                self._windows[key] = Window(loop.time() + INTERVAL)
