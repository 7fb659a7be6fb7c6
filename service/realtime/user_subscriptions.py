"""The addresses of the users who have connections here: subscribed to with the first one, and until some time after
the last one has gone."""

import asyncio
import math
import time
from collections.abc import Callable, Iterable
from contextlib import suppress

from service.realtime.addresses import user_address
from service.realtime.bus import Bus
from service.realtime.registry import Registry

UNSUBSCRIBE_DELAY = 30.0
"""Seconds for which the address of a user without connections stays subscribed to: most come back at once."""
CONFIRMATION_TIMEOUT = 1.0
"""Seconds that a new connection waits for its user's address. Redis may be unavailable, and the connection is served
all the same."""


class UserSubscriptions:
    """Keeps the subscriptions of the bus in line with the registry.

    A connection that reads the database once `wait` has returned misses nothing: what was published before is stored,
    and what is published afterwards arrives. If the address is not confirmed in time, the user is *in doubt*: as soon
    as messages arrive, the callbacks of `on_doubt` are called with the user, as they are after each interruption.
    """

    def __init__(
        self,
        bus: Bus,
        registry: Registry,
        on_gone: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`on_gone(user_id)` is called when the user's address is unsubscribed from."""
        self._bus = bus
        self._registry = registry
        self._doubt_callbacks: list[Callable[[Iterable[str]], None]] = []
        self._on_gone = on_gone
        self._since: dict[str, float] = {}
        """When the address of each user was subscribed to, by the monotonic clock."""
        self._leaving: dict[str, float] = {}
        """Users without connections, and when their addresses are unsubscribed from; the first one is due first."""
        self._in_doubt: set[str] = set()
        self._waiting: dict[str, asyncio.Event] = {}
        self._timer: asyncio.TimerHandle | None = None
        registry.on_user_presence_change(self._on_change)
        bus.on_confirmed(self._on_confirmed)
        bus.on_doubt(self._on_bus_doubt)

    def since(self, user_id: str) -> float:
        """Return when the user's address was subscribed to, by the monotonic clock; infinity if it is not."""
        return self._since.get(user_id, math.inf)

    async def wait(self, user_id: str) -> None:
        """Wait until messages to this user, who has a connection here, arrive; at most CONFIRMATION_TIMEOUT."""
        if self._bus.is_subscribed(user_address(user_id)):
            return
        if self._bus.connected:
            arriving = self._waiting.setdefault(user_id, asyncio.Event())
            # Not `wait_for`, which makes a task.
            with suppress(TimeoutError):
                async with asyncio.timeout(CONFIRMATION_TIMEOUT):
                    await arriving.wait()
                    return
        if user_id in self._since:
            self._in_doubt.add(user_id)

    def on_doubt(self, callback: Callable[[Iterable[str]], None]) -> None:
        """Call `callback(user_ids)` whenever messages to these users may have been missed, once they arrive again."""
        self._doubt_callbacks.append(callback)

    def close(self) -> None:
        if self._timer:
            self._timer.cancel()

    def _on_change(self, user_id: str) -> None:
        self._leaving.pop(user_id, None)
        if not self._registry.has_user(user_id):
            self._leaving[user_id] = time.monotonic() + UNSUBSCRIBE_DELAY
            self._schedule()
        elif user_id not in self._since:
            self._since[user_id] = time.monotonic()
            self._bus.subscribe(user_address(user_id))

    def _schedule(self) -> None:
        if self._timer is None:
            due = next(iter(self._leaving.values())) - time.monotonic()
            # Seconds apart, so that users who leave one after the other are few timers.
            self._timer = asyncio.get_running_loop().call_later(max(due, UNSUBSCRIBE_DELAY / 10), self._unsubscribe)

    def _unsubscribe(self) -> None:
        self._timer = None
        moment = time.monotonic()
        for user_id in [user_id for user_id, due in self._leaving.items() if due <= moment]:
            del self._leaving[user_id]
            del self._since[user_id]
            self._in_doubt.discard(user_id)
            self._waiting.pop(user_id, None)
            self._bus.unsubscribe(user_address(user_id))
            self._on_gone(user_id)
        if self._leaving:
            self._schedule()

    def _on_confirmed(self, address: str) -> None:
        if not address.startswith(user_address("")):
            return
        user_id = address.removeprefix(user_address(""))
        if arriving := self._waiting.pop(user_id, None):
            arriving.set()
        if user_id in self._in_doubt:
            self._in_doubt.discard(user_id)
            self._notify_doubt(user_id)

    def _on_bus_doubt(self, address: str) -> None:
        if address.startswith(user_address("")):
            self._notify_doubt(address.removeprefix(user_address("")))

    def _notify_doubt(self, user_id: str) -> None:
        for callback in self._doubt_callbacks:
            callback([user_id])
