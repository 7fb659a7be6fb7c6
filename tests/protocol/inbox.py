"""What a connection has received and no test has asked for yet."""

import asyncio
from collections.abc import Callable
from typing import Any

WAIT = 20.0
"""Seconds until an event that should come counts as missing: far more than it takes, for a machine that is busy."""

NOTIFICATIONS = ("NEW_COMMENT", "NEW_REPLY")

Frame = dict[str, Any]


class Inbox:
    """Events by type, in the order of arrival; a test takes them out, and may ask what is left."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._events: list[Frame] = []
        self._news = asyncio.Event()
        self.seen: list[Frame] = []
        """Everything that ever arrived."""
        self.hello: Frame = {}
        """The first event, where someone has taken it out."""
        self.end: tuple[int, str] | None = None
        """The close code and reason, once it is over."""

    def put(self, event: Frame) -> None:
        self._events.append(event)
        self.seen.append(event)
        self._news.set()

    def close(self, code: int, reason: str) -> None:
        self.end = (code, reason)
        self._news.set()

    async def event(
        self, type_: str, where: Callable[[Frame], bool] = lambda event: True, *, within: float = WAIT
    ) -> Frame:
        """Take out the first event of that type, waiting for it if need be; what came before it stays."""

        def find() -> Frame | None:
            for place, event in enumerate(self._events):
                if event["type"] == type_ and where(event):
                    return self._events.pop(place)
            assert not self.end, f"{self.name} closed {self.end} without {type_}; left: {self.left()}"
            return None

        return await self._until(find, type_, within)

    async def notification(self, *, within: float = WAIT) -> Frame:
        """Take out the next notification, of either kind."""

        def find() -> Frame | None:
            for place, event in enumerate(self._events):
                if event["type"] in NOTIFICATIONS:
                    return self._events.pop(place)
            assert not self.end, f"{self.name} closed {self.end} without a notification; left: {self.left()}"
            return None

        return await self._until(find, "notification", within)

    @property
    def seqs(self) -> list[int]:
        """The numbers of all notifications that ever arrived, in order."""
        return [event["seq"] for event in self.seen if event["type"] in NOTIFICATIONS]

    async def events(self, type_: str, count: int, where: Callable[[Frame], bool] = lambda event: True) -> list[Frame]:
        """Take out that many, in order."""
        return [await self.event(type_, where) for _ in range(count)]

    async def closed(self, *, within: float = WAIT) -> tuple[int, str]:
        """Wait for the end: the close code and reason."""
        return await self._until(lambda: self.end, "the end", within)

    def left(self, *types: str) -> list[Frame]:
        """What nobody has taken out, of these types or of all."""
        return [event for event in self._events if not types or event["type"] in types]

    async def _until(self, condition: Callable[[], Any], what: str, within: float) -> Any:
        try:
            async with asyncio.timeout(within):
                while not (found := condition()):
                    self._news.clear()
                    await self._news.wait()
                return found
        except TimeoutError:
            raise AssertionError(f"{self.name}: no {what} within {within} s; left: {self.left()}") from None
