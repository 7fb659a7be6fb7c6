"""Coalescing: of events that describe the same state, connections get the first at once, and then the last."""

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass

from service.realtime.event import Event

INTERVAL = 0.25
"""Seconds between two events with the same key: nobody reads a number that changes more often."""
GRACE = 0.05
"""Seconds after INTERVAL in which an event is delivered at once, because it comes with others, in one write. If none
comes, the last event is delivered alone."""

Deliver = Callable[[Collection[str] | None, Event], None]


@dataclass(slots=True)
class Window:
    """The time after a delivery. `open_at`: when the next event can be delivered, by the loop's clock. `last` is what
    is delivered GRACE later."""

    open_at: float
    last: tuple[Collection[str] | None, Event] | None = None


class Coalescer:
    """Delivers at most one event with the same key in INTERVAL.

    An event is delivered at once if none was in the last INTERVAL; otherwise GRACE after the end of it, unless a later
    one has replaced it. So the last one is always delivered. Only the keys of the last INTERVAL + GRACE are remembered.
    """

    def __init__(self, deliver: Deliver) -> None:
        self._deliver = deliver
        self._windows: dict[str, Window] = {}
        """In the order in which they end."""
        self._timer: asyncio.TimerHandle | None = None

    def put(self, recipients: Collection[str] | None, event: Event) -> None:
        """Deliver `event`, now or later. It must not be older than one with the same key that was put before."""
        loop = asyncio.get_running_loop()
        window = self._windows.get(event.key)
        if window and loop.time() < window.open_at:
            window.last = (recipients, event)
            return
        self._deliver(recipients, event)
        self._open(event.key, loop.time() + INTERVAL)
        if self._timer is None:
            self._timer = loop.call_later(INTERVAL + GRACE, self._on_due)

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
            if window.open_at + GRACE > loop.time():
                # The one timer is for the window that ends first.
                self._timer = loop.call_at(window.open_at + GRACE, self._on_due)
                return
            if window.last:
                self._deliver(*window.last)
                self._open(key, loop.time() + INTERVAL)
            else:
                del self._windows[key]

    def _open(self, key: str, open_at: float) -> None:
        """Begin the window of a key, the last one to end."""
        self._windows.pop(key, None)
        self._windows[key] = Window(open_at)
