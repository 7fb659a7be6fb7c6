"""The transactional outbox of posts and comments: dispatches their notifications, also those that a crashed process
left."""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

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

MAX_QUEUED = 1000
"""Documents in the memory queue. Further ones are read from the database."""
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
        self._dispatches: set[asyncio.Task[None]] = set()
        self._failure: Exception | None = None
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
        await cancel_and_wait(self._task)
        for dispatch in list(self._dispatches):
            await cancel_and_wait(dispatch)

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
            if now >= self._recovery_due:
                # Jitter, so that several processes rarely recover the same documents at the same time.
                self._recovery_due = now + random.uniform(0.75, 1.25) * self._recovery_interval  # noqa: S311
                await self._recover()
            elif self._done and now >= self._clearing_due:
                await self._clear_marks()
            elif len(self._dispatches) < MAX_DISPATCHES and (batch := self._queue.take(BATCH_SIZE)):
                task = asyncio.create_task(self._dispatch_queued(batch))
                self._dispatches.add(task)
                task.add_done_callback(self._dispatches.discard)
            else:
                self._wake.clear()
                due = min(self._recovery_due, self._clearing_due) if self._done else self._recovery_due
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), due - now)
        except Exception:
            self._recovery_due = self._clock()
            raise

    async def _dispatch_queued(self, batch: Sequence[Pending]) -> None:
        try:
            await self._dispatch(batch)
        except Exception as error:
            self._failure = error
        finally:
            self._queue.release(batch)
            self._wake.set()

    async def _recover(self) -> None:
        """Dispatch every document that has a pending mark in the database, which includes those in the queue."""
        if self._dispatches:
            await asyncio.wait(self._dispatches)
        await self._clear_marks()
        self._queue.clear()
        failure: Exception | None = None
        for source in self._sources:
            last_id: ObjectId | None = None
            while batch := await source.pending(last_id, BATCH_SIZE):
                last_id = batch[-1].document["_id"]
                try:
                    await self._dispatch(batch)
                except DispatchFailed as error:
                    # One document that cannot be dispatched must not hold up the others.
                    failure = error
                await self._clear_marks()
        if failure:
            raise failure

    async def _dispatch(self, pending: Sequence[Pending]) -> None:
        """Store the notifications of `pending`.

        Raises DispatchFailed if that failed for some of them; the others are dispatched. Raises Unavailable.
        """
        selected = await asyncio.gather(*map(self._requests, pending))
        requests = [request for each in selected for request in each]
        outcomes = iter(await self._notifications.notify(requests))
        errors = [[error for _ in each if (error := next(outcomes))] for each in selected]
        if not self._done:
            self._clearing_due = self._clock() + CLEAR_DELAY
        self._done += [each for each, failed in zip(pending, errors, strict=True) if not failed]
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
        if not done:
            return
        for source in self._sources:
            if of_source := [each for each in done if each.source is source]:
                await source.complete(of_source)


class DispatchFailed(Unavailable):
    detail = "Some notifications could not be stored."
