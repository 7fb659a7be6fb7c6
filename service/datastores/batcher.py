"""Batching of database requests (group commit): items that arrive while one batch runs make up the next batch."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Generic, NamedTuple, TypeVar

import structlog
from pymongo.errors import NetworkTimeout

from service.common.errors import Unavailable
from service.common.tasks import cancel_and_wait, count_failure
from service.telemetry.tracing import CURRENT_SPAN, Span, use_span

log = structlog.get_logger()

Item = TypeVar("Item")
Result = TypeVar("Result")

MAX_BATCH = 256
MAX_WAITING = 8192
BATCH_TIMEOUT = 5.0
"""Seconds after which the submitters of a batch, and those waiting behind it, get Unavailable. A database that is only
busy takes less. The driver's own timeout for a silent server is ten seconds, after which it looks for another one."""
TIMEOUT_PER_ITEM = 0.02
"""Seconds added to the timeout for each item of the batch: `run` may handle the items one by one."""


class Contended(Exception):
    """The result of an item that was not run, because others write to its list: it goes to a lane (see `lanes`)."""


class Entry(NamedTuple, Generic[Item, Result]):
    """A submitted item, the future of its result, and the span of its submitter."""

    item: Item
    future: "asyncio.Future[Result]"
    span: Span | None


class Batcher(Generic[Item, Result]):
    """Runs submitted items in batches: in the order of submission, one batch at a time.

    Works for writes (group commit) and for reads alike. `run(items)` returns one entry for each item, in order: its
    result, or the exception that its submitter gets. If `run` raises, every submitter of the batch gets that exception.
    An item that is submitted while no batch runs does not wait. One that is submitted meanwhile waits until that batch
    has ended, and began `interval` ago: so a rush of items takes fewer batches than fit one after the other.

    The queue is bounded: if `max_waiting` items wait, `submit` raises Unavailable. If a batch runs longer than
    `timeout`, its submitters and all waiting ones get Unavailable, and `submit` raises it until the batch has ended:
    the requests of that batch may still succeed, the waiting items are dropped and never run. Cancelling a submitter
    does not withdraw its item.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Item]], Awaitable[Sequence[Result | Exception]]],
        *,
        max_batch: int = MAX_BATCH,
        max_waiting: int = MAX_WAITING,
        timeout: float | None = None,
        interval: float = 0.0,
        on_batch: Callable[[int], None] | None = None,
        on_results: Callable[[Sequence[Item], Sequence[Result | Exception]], None] | None = None,
        on_contended: Callable[[list[Entry[Item, Result]]], None] | None = None,
        name: str | None = None,
    ) -> None:
        """`timeout` in seconds (see BATCH_TIMEOUT); None means no limit. `interval`: seconds between the starts of two
        batches, at least, unless the second is full when the first ends. `on_batch(size)` is called for each batch.
        `on_results(items, results)` is called for each batch, before its submitters get the results, and after the next
        one, if items wait, has begun.

        `on_contended(entries)` takes over those entries of a batch whose result is Contended. `name` is for logs and
        traces; None means the name of `run`. `max_batch` can be changed later.
        """
        self._run = run
        self.max_batch = max_batch
        self._max_waiting = max_waiting
        self._timeout = timeout
        self._interval = interval
        self._on_batch = on_batch
        self._on_results = on_results
        self._on_contended = on_contended
        self._waiting: deque[Entry[Item, Result]] = deque()
        self._task: asyncio.Task[None] | None = None
        self._closed = False
        self._timed_out = False
        self._name = name or str(getattr(run, "__qualname__", "run"))

    @property
    def idle(self) -> bool:
        """Whether nothing runs or waits."""
        return not self._waiting and (self._task is None or self._task.done())

    def submit(self, item: Item) -> asyncio.Future[Result]:
        """Queue `item` and return the future of its result.

        Raises Unavailable if the queue is full, if the running batch has exceeded its timeout, or after `close`.
        """
        if self._timed_out:
            raise _timeout_error()
        if self._closed or len(self._waiting) >= self._max_waiting:
            raise Unavailable("Too many requests are waiting for the database.", retry_after=1)
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self.put([Entry(item, future, CURRENT_SPAN.get())])
        return future

    def put(self, entries: Iterable[Entry[Item, Result]]) -> None:
        """Queue entries that were submitted to another batcher."""
        self._waiting.extend(entries)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run_batches())

    def take(self, wanted: Callable[[Item], bool]) -> list[Entry[Item, Result]]:
        """Remove those waiting entries whose item is wanted, and return them in order."""
        taken = [entry for entry in self._waiting if wanted(entry.item)]
        if taken:
            self._waiting = deque(entry for entry in self._waiting if not wanted(entry.item))
        return taken

    async def _run_batches(self) -> None:
        clock = asyncio.get_running_loop().time
        while self._waiting:
            next_start = clock() + self._interval
            await self._run_batch()
            if 0 < len(self._waiting) < self.max_batch and (pause := next_start - clock()) > 0:
                await asyncio.sleep(pause)

    async def _run_batch(self) -> None:
        batch = [self._waiting.popleft() for _ in range(min(self.max_batch, len(self._waiting)))]
        if self._on_batch:
            self._on_batch(len(batch))
        timer = self._start_timer(batch)
        span = self._start_span(batch)
        try:
            with _within(span, end_on_exit=self._on_results is None):
                results = await self._run([entry.item for entry in batch])
        except BaseException as error:
            _fail(batch, error)
            return
        finally:
            self._timed_out = False
            if timer:
                timer.cancel()
        contended = [
            entry
            for entry, result in zip(batch, results, strict=True)
            # A cancelled submitter has not withdrawn its item; one that was refused by the timeout has.
            if isinstance(result, Contended) and (entry.future.cancelled() or not entry.future.done())
        ]
        if contended and self._on_contended:
            self._on_contended(contended)
        if self._on_results and self._waiting:
            # The next batch begins first: the database works on it meanwhile.
            asyncio.get_running_loop().call_soon(self._settle, batch, results, span)
        else:
            self._settle(batch, results, span)

    def _settle(
        self, batch: Sequence[Entry[Item, Result]], results: Sequence[Result | Exception], span: Span | None
    ) -> None:
        """Give the submitters of a batch their results."""
        try:
            if self._on_results:
                with _within(span):
                    self._on_results([entry.item for entry in batch], results)
        except BaseException as error:
            _fail(batch, error)
            return
        for (_, future, _), result in zip(batch, results, strict=True):
            if future.done() or (isinstance(result, Contended) and self._on_contended):
                continue
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)

    def _start_timer(self, batch: Sequence[Entry[Item, Result]]) -> asyncio.TimerHandle | None:
        if self._timeout is None:
            return None
        seconds = self._timeout + TIMEOUT_PER_ITEM * len(batch)
        return asyncio.get_running_loop().call_later(seconds, self._on_timeout, batch)

    def _on_timeout(self, batch: Sequence[Entry[Item, Result]]) -> None:
        """Fail the submitters of the running batch and all waiting ones; the batch itself goes on."""
        self._timed_out = True
        count_failure("batch_timeout")
        log.warning("batch_timed_out", batch=self._name, size=len(batch), waiting=len(self._waiting))
        for _, future, _ in [*batch, *self._waiting]:
            if not future.done():
                future.set_exception(_timeout_error())
        self._waiting.clear()

    def _start_span(self, batch: Sequence[Entry[Item, Result]]) -> Span | None:
        """If any item is traced, start a child span of the first traced one, with links to the others."""
        spans = [span for _, _, span in batch if span]
        if not spans:
            return None
        first, *others = spans
        return first.start_child(self._name, {"loa.batch": len(batch)}, others)

    async def close(self, timeout: float = 5.0) -> None:
        """Refuse new items and run the waiting ones for at most `timeout` seconds; the rest get Unavailable."""
        self._closed = True
        if self._task and not self._task.done():
            await asyncio.wait([self._task], timeout=timeout)
        await cancel_and_wait(self._task)
        for _, future, _ in self._waiting:
            if not future.done():
                future.set_exception(Unavailable("The server is stopping."))
        self._waiting.clear()


def _within(span: Span | None, *, end_on_exit: bool = True) -> AbstractContextManager[None]:
    if span is None:
        # The task inherited the span of the submitter that started it, which is not part of this batch.
        CURRENT_SPAN.set(None)
        return nullcontext()
    return use_span(span, end_on_exit=end_on_exit)


def _fail(batch: Sequence[Entry[Any, Any]], error: BaseException) -> None:
    """Give all submitters of a batch this exception. If the batch was cancelled, they are, and it is raised."""
    for _, future, _ in batch:
        if not isinstance(error, Exception):
            future.cancel()
        elif not future.done():
            future.set_exception(error)
    if not isinstance(error, Exception):
        raise error


def _timeout_error() -> Unavailable:
    error = Unavailable("The database does not answer.")
    # The metrics count it as a failure of the database, as they would the driver's own timeout.
    error.__cause__ = NetworkTimeout()
    return error
