"""The events that a connection has received."""

import asyncio
from collections.abc import Callable
from typing import Any

WAIT = 20.0
"""Seconds until an expected event counts as missing; it takes far less, but the machine may be busy."""

Frame = dict[str, Any]


class ReceivedEvents:
    """Events in the order of their arrival. A test takes them out by type, and may check which ones remain."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._events: list[Frame] = []
        self._arrived = asyncio.Event()
        self.received: list[Frame] = []
        """All events that ever arrived."""
        self.hello: Frame = {}
        """The first event, if it has been taken out."""
        self.end: tuple[int, str] | None = None
        """The close code and reason, once the connection is closed."""

    def put(self, event: Frame) -> None:
        self._events.append(event)
        self.received.append(event)
        self._arrived.set()

    def mark_closed(self, code: int, reason: str) -> None:
        self.end = (code, reason)
        self._arrived.set()

    async def event(
        self, type_: str, matches: Callable[[Frame], bool] = lambda event: True, *, within: float = WAIT
    ) -> Frame:
        """Take out the first event of that type, waiting for it if necessary. Other events remain."""

        def find() -> Frame | None:
            for index, event in enumerate(self._events):
                if event["type"] == type_ and matches(event):
                    return self._events.pop(index)
            assert not self.end, f"{self.name} closed {self.end} without {type_}; left: {self.remaining()}"
            return None

        return await self._until(find, type_, within)

    async def notification(self, *, within: float = WAIT) -> Frame:
        """Take out the next notification, of either kind."""

        def find() -> Frame | None:
            for index, event in enumerate(self._events):
                if event["type"].isupper():
                    return self._events.pop(index)
            assert not self.end, f"{self.name} closed {self.end} without a notification; left: {self.remaining()}"
            return None

        return await self._until(find, "notification", within)

    @property
    def seqs(self) -> list[int]:
        """The seqs of all notifications that ever arrived, in order."""
        return [event["seq"] for event in self.received if event["type"].isupper()]

    async def events(
        self, type_: str, count: int, matches: Callable[[Frame], bool] = lambda event: True
    ) -> list[Frame]:
        """Take out `count` events of that type, in order."""
        return [await self.event(type_, matches) for _ in range(count)]

    async def closed(self, *, within: float = WAIT) -> tuple[int, str]:
        """Wait until the connection is closed, and return the close code and reason."""
        return await self._until(lambda: self.end, "close", within)

    def remaining(self, *types: str) -> list[Frame]:
        """Return the events that have not been taken out, of these types or of all."""
        return [event for event in self._events if not types or event["type"] in types]

    def clear(self) -> None:
        """Forget the events that have not been taken out."""
        self._events.clear()

    async def _until(self, condition: Callable[[], Any], what: str, within: float) -> Any:
        try:
            async with asyncio.timeout(within):
                while not (found := condition()):
                    self._arrived.clear()
                    await self._arrived.wait()
                return found
        except TimeoutError:
            raise AssertionError(f"{self.name}: no {what} within {within} s; left: {self.remaining()}") from None
