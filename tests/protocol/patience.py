"""What takes its time: timers of half a minute, watched in the background while other tests run."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future
from types import TracebackType

LIMIT = 240.0
"""Seconds after which a play hangs, whatever it waits for: its turn and its server's start count, too."""

Play = Callable[[], Awaitable[None]]


class Patience:
    """Runs all plays at once, in a loop of its own, from `with` on; `outcome` waits for one of them."""

    def __init__(self, plays: Mapping[str, Play]) -> None:
        self._plays = plays
        self._outcomes: dict[str, Future[None]] = {name: Future() for name in plays}
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="patience")

    def __enter__(self) -> "Patience":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.join()

    def outcome(self, name: str) -> None:
        """Wait for a play to end; raise what it raised."""
        self._outcomes[name].result(LIMIT)

    async def _run(self) -> None:
        await asyncio.gather(*(self._one(name) for name in self._plays))

    async def _one(self, name: str) -> None:
        try:
            async with asyncio.timeout(LIMIT):
                await self._plays[name]()
        except BaseException as error:
            self._outcomes[name].set_exception(error)
        else:
            self._outcomes[name].set_result(None)
