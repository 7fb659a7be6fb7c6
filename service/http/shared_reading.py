"""One reading of something expensive for all requests that ask for it at the same time."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class SharedReading(Generic[T]):
    """Calls `read` for all waiting requests together, one call at a time and at most once in `interval` seconds.

    What a request gets has been read after it arrived, so nothing is out of date, as it could be with a cache.
    """

    def __init__(self, read: Callable[[], Awaitable[T]], interval: float) -> None:
        self._read = read
        self._interval = interval
        self._earliest = 0.0
        self._lock = asyncio.Lock()
        self._next: asyncio.Task[T] | None = None

    async def get(self) -> T:
        """Return the result of the next reading. Raises what `read` raises."""
        if self._next is None:
            self._next = asyncio.create_task(self._run())
        # A client that disconnects cancels its request, but not the reading of the others.
        return await asyncio.shield(self._next)

    async def _run(self) -> T:
        async with self._lock:
            await asyncio.sleep(self._earliest - asyncio.get_running_loop().time())
            self._earliest = asyncio.get_running_loop().time() + self._interval
            # Requests that arrive from now on wait for another reading.
            self._next = None
            return await self._read()
