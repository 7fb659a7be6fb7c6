"""Group commit: while one write is under way, what arrives gathers, and the next write takes all of it."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

import structlog
from pymongo.errors import NetworkTimeout

from service.common.errors import Unavailable
from service.common.tasks import cancel_and_wait, count_failure
from service.telemetry.tracing import CURRENT, Span, step

log = structlog.get_logger()

Item = TypeVar("Item")
Result = TypeVar("Result")

MAX_BATCH = 256
MAX_WAITING = 8192
BATCH_TIMEOUT = 5.0
"""Seconds that a write may keep its submitters waiting, and those behind it: a database that is only busy takes less.
The driver waits ten for one that is silent, and then looks for another."""
TIMEOUT_PER_ITEM = 0.02
"""Seconds more for each item: changes are made one by one."""


class Batcher(Generic[Item, Result]):
    """Hands items to `write` in the order of their coming, at most one call of it at a time.

    `write(items)` returns, for each item in order, its result or the exception that its submitter shall see; what it
    raises itself, every submitter of the batch sees. An item that comes while nothing is under way waits for nothing.
    Bounded: past `max_waiting` items a submitter is told Unavailable. So is everyone once a write takes longer than
    `timeout`: what is in it may still be written, what waited behind it is not, and until it has ended nothing more is
    taken in. A submitter that is cancelled does not take its item back: what has been handed in may be written.
    """

    def __init__(
        self,
        write: Callable[[Sequence[Item]], Awaitable[Sequence[Result | Exception]]],
        *,
        max_batch: int = MAX_BATCH,
        max_waiting: int = MAX_WAITING,
        timeout: float | None = None,
        on_batch: Callable[[int], None] | None = None,
    ) -> None:
        """`timeout`: such as BATCH_TIMEOUT; None: without end. `on_batch` is told the size of each batch."""
        self._write = write
        self._max_batch = max_batch
        self._max_waiting = max_waiting
        self._timeout = timeout
        self._on_batch = on_batch
        self._waiting: deque[tuple[Item, asyncio.Future[Result], Span | None]] = deque()
        self._writer: asyncio.Task[None] | None = None
        self._closed = False
        self._stalled = False
        self._name = getattr(write, "__qualname__", "write")

    def submit(self, item: Item) -> asyncio.Future[Result]:
        """The future of `item`'s result. Raises Unavailable where too much waits already, while a write takes too long,
        or after `close`."""
        if self._stalled:
            raise _silent()
        if self._closed or len(self._waiting) >= self._max_waiting:
            raise Unavailable("Too many writes are waiting.", retry_after=1)
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future, CURRENT.get()))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._drain())
        return future

    async def _drain(self) -> None:
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(self._max_batch, len(self._waiting)))]
            if self._on_batch:
                self._on_batch(len(batch))
            timer = self._limit(batch)
            try:
                results = await self._write_traced(batch)
            except asyncio.CancelledError:
                for _, future, _ in batch:
                    future.cancel()
                raise
            except Exception as error:
                for _, future, _ in batch:
                    if not future.done():
                        future.set_exception(error)
                continue
            finally:
                self._stalled = False
                if timer:
                    timer.cancel()
            for (_, future, _), result in zip(batch, results, strict=True):
                if future.done():
                    continue
                if isinstance(result, Exception):
                    future.set_exception(result)
                else:
                    future.set_result(result)

    def _limit(self, batch: Sequence[tuple[Item, asyncio.Future[Result], Span | None]]) -> asyncio.TimerHandle | None:
        if self._timeout is None:
            return None
        seconds = self._timeout + TIMEOUT_PER_ITEM * len(batch)
        return asyncio.get_running_loop().call_later(seconds, self._give_up, batch)

    def _give_up(self, batch: Sequence[tuple[Item, asyncio.Future[Result], Span | None]]) -> None:
        """The write under way takes too long: nobody shall wait for it any more, nor behind it."""
        self._stalled = True
        count_failure("slow_write")
        log.warning("write_given_up", what=self._name, batch=len(batch), behind=len(self._waiting))
        for _, future, _ in [*batch, *self._waiting]:
            if not future.done():
                future.set_exception(_silent())
        self._waiting.clear()

    async def _write_traced(
        self, batch: Sequence[tuple[Item, asyncio.Future[Result], Span | None]]
    ) -> Sequence[Result | Exception]:
        """Write; where any of the items is traced, as a step of the first that is."""
        items = [item for item, _, _ in batch]
        spans = [span for _, _, span in batch if span]
        if not spans:
            # This task began as part of something that may be traced, and is none of it any more.
            CURRENT.set(None)
            return await self._write(items)
        first, *others = spans
        with step(first.child(self._name, {"loa.batch": len(batch)}, others)):
            return await self._write(items)

    async def close(self, timeout: float = 5.0) -> None:
        """Take nothing more in, and finish what was taken within `timeout` seconds; the rest is told Unavailable."""
        self._closed = True
        if self._writer and not self._writer.done():
            await asyncio.wait([self._writer], timeout=timeout)
        await cancel_and_wait(self._writer)
        for _, future, _ in self._waiting:
            if not future.done():
                future.set_exception(Unavailable("The server is stopping."))
        self._waiting.clear()


def _silent() -> Unavailable:
    """Counted as what the driver would say in the end."""
    error = Unavailable("The database does not answer.")
    error.__cause__ = NetworkTimeout()
    return error
