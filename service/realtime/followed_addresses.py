"""Addresses of one kind that this process follows: subscribed to as long as somebody here needs their messages."""

import asyncio
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress

from service.realtime.bus import Bus

CONFIRMATION_TIMEOUT = 1.0
"""Seconds that `wait` waits until messages arrive. Redis may be unavailable."""


class FollowedAddresses:
    """Each address belongs to a name, such as that of a topic.

    Who reads the state of a name once `wait` has returned, and handles its messages, misses no change. If the address
    is not confirmed in time, that may not be so: `on_doubt` is called with the name as soon as messages arrive, as it
    is after each interruption.
    """

    def __init__(self, bus: Bus, address: Callable[[str], str], on_doubt: Callable[[str], None]) -> None:
        """`address(name)` returns the address of a name."""
        self._bus = bus
        self._address = address
        self._on_doubt = on_doubt
        self._names: dict[str, int] = {}
        """How often each name is followed."""
        self._waiting: dict[str, asyncio.Event] = {}
        self._late: set[str] = set()
        """Names whose addresses were not confirmed in time, and are not yet."""
        bus.on_confirmed(self._on_confirmed)
        bus.on_doubt(self._on_bus_doubt)

    def follow(self, name: str) -> None:
        """Subscribe to the address of `name`, until `unfollow` has been called as often as this."""
        self._names[name] = self._names.get(name, 0) + 1
        if self._names[name] == 1:
            self._bus.subscribe(self._address(name))

    def unfollow(self, name: str) -> None:
        self._names[name] -= 1
        if not self._names[name]:
            del self._names[name]
            self._late.discard(name)
            self._wake(name)
            self._bus.unsubscribe(self._address(name))

    @contextmanager
    def following(self, names: Collection[str]) -> Iterator[None]:
        """Follow these names during the block."""
        for name in names:
            self.follow(name)
        try:
            yield
        finally:
            for name in names:
                self.unfollow(name)

    async def wait(self, names: Collection[str]) -> None:
        """Wait until messages to these names arrive, as far as they are followed; at most CONFIRMATION_TIMEOUT."""
        missing = self._unconfirmed(names)
        if missing and self._bus.connected:
            with suppress(TimeoutError):
                async with asyncio.timeout(CONFIRMATION_TIMEOUT):
                    for name in missing:
                        await self._confirmed(name)
            missing = self._unconfirmed(missing)
        self._late.update(missing)

    def _unconfirmed(self, names: Collection[str]) -> list[str]:
        return [name for name in names if name in self._names and not self._bus.is_subscribed(self._address(name))]

    async def _confirmed(self, name: str) -> None:
        while self._unconfirmed([name]):
            await self._waiting.setdefault(name, asyncio.Event()).wait()

    def _on_confirmed(self, address: str) -> None:
        if (name := self._name(address)) is None:
            return
        self._wake(name)
        if name in self._late:
            self._late.discard(name)
            self._on_doubt(name)

    def _on_bus_doubt(self, address: str) -> None:
        if (name := self._name(address)) is not None:
            self._on_doubt(name)

    def _wake(self, name: str) -> None:
        if waiting := self._waiting.pop(name, None):
            waiting.set()

    def _name(self, address: str) -> str | None:
        """Return the followed name whose address this is; None if there is none."""
        name = address.removeprefix(self._address(""))
        return name if name != address and name in self._names else None
