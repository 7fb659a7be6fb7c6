"""The transactional outbox of posts and comments: dispatches their notifications, also those that a crashed process
left."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any

from bson import ObjectId
from pymongo.errors import PyMongoError

from service.common.errors import Unavailable
from service.common.tasks import cancel_and_wait, run_forever
from service.notifications.models import PostRequest
from service.notifications.service import NotificationService
from service.posts.notice import Notice
from service.posts.outbox_queue import OutboxQueue
from service.posts.pending import Pending, PendingSource, Selection
from service.posts.recipients import RecipientSelector

MAX_QUEUED = 10_000
"""Documents in the memory queue: some 15 MB. Further ones are read from the database, which takes it longer the more of
them are pending."""
BATCH_SIZE = 64
MAX_DISPATCHES = 8
"""Batches that are dispatched at the same time, of different posts: a busy one does not hold up the others."""
RECOVERY_INTERVAL = 30.0
"""Seconds between two recoveries of pending documents from the database. Notifications of a process that crashed are
delayed by at most about this long."""
CLEAR_DELAY = 0.25
"""Seconds that dispatched documents are collected before their marks are removed together. Removing one mark costs the
database as much as storing the comment, and delays the next notification."""


class NotificationOutbox:
    """Dispatches the notifications of each marked document.

    A document is stored with a pending mark, which is removed only after its notifications are stored. All steps are
    idempotent, so any process may perform them at any time, and a crash only delays them. For the same reason the marks
    are removed later and in batches: nobody waits for that.
    """

    def __init__(
        self,
        sources: Sequence[PendingSource],
        recipients: RecipientSelector,
        notifications: NotificationService,
        *,
        recovery_interval: float = RECOVERY_INTERVAL,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`sources`: where recovery looks. `recovery_interval` is in seconds; `clock` returns seconds and decides when
        recovery and the removal of marks are due."""
        self._sources = sources
        self._recipients = recipients
        self._notifications = notifications
        self._recovery_interval = recovery_interval
        self._clock = clock
        self._queue = OutboxQueue()
        self._held: Counter[ObjectId] = Counter()
        """The ids of the documents in memory, until their marks are removed: recovery leaves them out."""
        self._recovery: asyncio.Task[None] | None = None
        self._clearing: asyncio.Task[None] | None = None
        self._dispatches: set[asyncio.Task[None]] = set()
        self._failure: BaseException | None = None
        self._done: list[Pending] = []
        """Dispatched but still marked: at most as many as are dispatched within CLEAR_DELAY and one write."""
        self._wake = asyncio.Event()
        self._recovery_due = 0.0
        self._clearing_due = 0.0
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._recovery_due = self._clock()
        self._task = asyncio.create_task(run_forever(self._step, "notification_outbox"))

    async def close(self) -> None:
        """Stop at once. Pending documents are marked in the database, so another process recovers them."""
        for task in (self._task, self._recovery, self._clearing, *self._dispatches):
            await cancel_and_wait(task)

    def prepare(self, notice: Notice) -> Selection | None:
        """Begin to look up who is notified of `notice`, while what it is about is being stored. Never raises."""
        try:
            selection = self._recipients.select(notice)
        except Unavailable:
            return None
        # Nobody may ever ask for the result: storing can fail.
        selection.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        return selection

    def enqueue(self, pending: Pending) -> None:
        """Queue a stored document for dispatch. Never raises."""
        if len(self._queue) < MAX_QUEUED:
            self._hold([pending])
            self._queue.put(pending)
        else:
            self._recovery_due = self._clock()
        self._wake.set()

    async def _step(self) -> None:
        now = self._clock()
        try:
            if failure := self._failure:
                self._failure = None
                raise failure
            if now >= self._recovery_due and self._recovery is None:
                # Jitter, so that several processes rarely recover the same documents at the same time.
                self._recovery_due = now + random.uniform(0.75, 1.25) * self._recovery_interval  # noqa: S311
                self._recovery = self._start(self._recover())
            elif self._done and now >= self._clearing_due and self._clearing is None:
                self._clearing = self._start(self._clear_marks())
            elif len(self._dispatches) < MAX_DISPATCHES and (batch := self._queue.take(BATCH_SIZE)):
                self._dispatches.add(self._start(self._dispatch_queued(batch)))
            else:
                self._wake.clear()
                due = [self._clearing_due - now] if self._done and not self._clearing else []
                due += [] if self._recovery else [self._recovery_due - now]
                if len(self._dispatches) < MAX_DISPATCHES and (gathered := self._queue.seconds_to_next()) is not None:
                    due.append(gathered)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), min(due) if due else None)
        except Exception:
            self._recovery_due = self._clock()
            raise

    def _start(self, step: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """Run a step beside the others. If it fails, the outbox backs off."""
        task = asyncio.create_task(step)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._dispatches.discard(task)
        self._recovery = None if task is self._recovery else self._recovery
        self._clearing = None if task is self._clearing else self._clearing
        if not task.cancelled() and (error := task.exception()):
            self._failure = error
        self._wake.set()

    async def _dispatch_queued(self, batch: Sequence[Pending]) -> None:
        try:
            await self._dispatch(batch)
            # What was published is written at the end of this iteration of the event loop.
            await asyncio.sleep(0)
        finally:
            self._queue.release(batch)

    async def _recover(self) -> None:
        """Dispatch every document that has a pending mark in the database, except those in memory.

        Meanwhile the queue goes on: what a crash or a busy post has left does not hold up the others.
        """
        failure: Exception | None = None
        for source in self._sources:
            last_id: ObjectId | None = None
            while batch := await source.pending(last_id, BATCH_SIZE):
                last_id = batch[-1].document["_id"]
                left = [each for each in batch if each.document["_id"] not in self._held]
                self._hold(left)
                try:
                    await self._dispatch(left)
                except DispatchFailed as error:
                    # One document that cannot be dispatched must not hold up the others.
                    failure = error
                self._wake.set()
        if failure:
            raise failure

    async def _dispatch(self, pending: Sequence[Pending]) -> None:
        """Store the notifications of `pending`.

        Raises DispatchFailed if that failed for some of them; the others are dispatched. Raises Unavailable.
        """
        done: list[Pending] = []
        try:
            selected = await asyncio.gather(*map(self._requests, pending))
            requests = [request for each in selected for request in each]
            outcomes = iter(await self._notifications.notify(requests))
            errors = [[error for _ in each if (error := next(outcomes))] for each in selected]
            done = [each for each, failed in zip(pending, errors, strict=True) if not failed]
        finally:
            dispatched = set(done)
            self._release([each for each in pending if each not in dispatched])
        if not self._done:
            self._clearing_due = self._clock() + CLEAR_DELAY
        self._done += done
        if failed := [error for each in errors for error in each]:
            raise DispatchFailed from failed[0]

    async def _requests(self, pending: Pending) -> list[PostRequest]:
        selections = pending.selections or [None] * len(pending.notices)
        found = [self._selected(*pair) for pair in zip(pending.notices, selections, strict=True)]
        return [request for requests in await asyncio.gather(*found) for request in requests]

    async def _selected(self, notice: Notice, selection: Selection | None) -> list[PostRequest]:
        if selection:
            with suppress(Unavailable, PyMongoError):
                return await selection
        return await self._recipients.select(notice)

    async def _clear_marks(self) -> None:
        """Remove the marks of dispatched documents.

        Raises Unavailable; the documents are then recovered from the database.
        """
        done, self._done = self._done, []
        try:
            for source in self._sources:
                if of_source := [each for each in done if each.source is source]:
                    await source.complete(of_source)
        finally:
            self._release(done)

    def _hold(self, pending: Sequence[Pending]) -> None:
        self._held.update(each.document["_id"] for each in pending)

    def _release(self, pending: Sequence[Pending]) -> None:
        for each in pending:
            document_id = each.document["_id"]
            self._held[document_id] -= 1
            if not self._held[document_id]:
                del self._held[document_id]


class DispatchFailed(Unavailable):
    detail = "Some notifications could not be stored."
