"""The transactional outbox of comments: dispatches their notifications, also those that a crashed process left."""

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import NamedTuple

import structlog
from bson import ObjectId
from pymongo.errors import PyMongoError

from service.common.errors import Unavailable
from service.common.tasks import cancel_and_wait, count_failure, run_forever
from service.datastores.batcher import Batcher
from service.datastores.mongo import Document
from service.notifications.service import NotificationService
from service.posts.comment_context import CommentContext, CommentContextLoader
from service.posts.comment_notifications import requests_of
from service.posts.comment_store import CommentStore
from service.posts.post_store import PostStore

log = structlog.get_logger()

MAX_QUEUED = 1000
"""Comments in the memory queue. Further ones are read from the database."""
BATCH_SIZE = 64
RECOVERY_INTERVAL = 30.0
"""Seconds between two recoveries of pending comments from the database. Notifications of a process that crashed are
delayed by at most about this long."""
CLEAR_DELAY = 0.25
"""Seconds that dispatched comments are collected before their marks are removed together. Removing one mark costs the
database as much as storing the comment, and delays the next notification."""
COUNT_TIMEOUT = 0.5
"""Seconds that `enqueue` waits for the post's comment count. Usually enough for the author's next read to include the
comment, and short enough that a database which has just failed does not hold up the response to a stored comment."""


class PendingComment(NamedTuple):
    """A comment whose pending mark is still stored.

    `count_update` completes once the post's count includes the comment, or fails. None: no update was attempted.
    """

    comment: Document
    context: CommentContext
    count_update: asyncio.Future[None] | None = None

    @property
    def is_counted(self) -> bool:
        update = self.count_update
        return update is not None and not update.cancelled() and update.exception() is None


class NotificationOutbox:
    """Dispatches the notifications of each comment, and makes sure that the post's comment count includes it.

    A comment is stored with a pending mark in its document, which is removed only after both are done. All steps are
    idempotent, so any process may perform them at any time, and a crash only delays them. For the same reason the marks
    are removed later and in batches: nobody waits for that.
    """

    def __init__(
        self,
        comments: CommentStore,
        posts: PostStore,
        contexts: CommentContextLoader,
        notifications: NotificationService,
        *,
        recovery_interval: float = RECOVERY_INTERVAL,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`recovery_interval` is in seconds; `clock` returns seconds and decides when recovery and the removal of marks
        are due."""
        self._comments = comments
        self._posts = posts
        self._contexts = contexts
        self._notifications = notifications
        self._recovery_interval = recovery_interval
        self._clock = clock
        self._counts: Batcher[Document, None] = Batcher(self._count, timeout=COUNT_TIMEOUT)
        self._queue: deque[PendingComment] = deque()
        self._done: list[PendingComment] = []
        """Dispatched but still marked: at most as many as are dispatched within CLEAR_DELAY and one write."""
        self._wake = asyncio.Event()
        self._recovery_due = 0.0
        self._clearing_due = 0.0
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._recovery_due = self._clock()
        self._task = asyncio.create_task(run_forever(self._step, "notification_outbox"))

    async def close(self) -> None:
        """Stop at once. Pending comments are marked in the database, so another process recovers them."""
        await cancel_and_wait(self._task)
        await self._counts.close()

    async def enqueue(self, comment: Document, context: CommentContext) -> None:
        """Queue a stored comment for dispatch.

        Returns once the post's count includes it, or after about COUNT_TIMEOUT. Never raises.
        """
        count_update = None
        with suppress(Unavailable):
            count_update = self._counts.submit(comment)
        if len(self._queue) < MAX_QUEUED:
            self._queue.append(PendingComment(comment, context, count_update))
        else:
            self._recovery_due = self._clock()
        self._wake.set()
        if count_update:
            with suppress(Unavailable, PyMongoError):
                await count_update

    async def _step(self) -> None:
        now = self._clock()
        try:
            if now >= self._recovery_due:
                # Jitter, so that several processes rarely recover the same comments at the same time.
                self._recovery_due = now + random.uniform(0.75, 1.25) * self._recovery_interval  # noqa: S311
                await self._recover()
            elif self._done and now >= self._clearing_due:
                await self._clear_marks()
            elif self._queue:
                await self._dispatch([self._queue.popleft() for _ in range(min(BATCH_SIZE, len(self._queue)))])
            else:
                self._wake.clear()
                due = min(self._recovery_due, self._clearing_due) if self._done else self._recovery_due
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), due - now)
        except Exception:
            self._recovery_due = self._clock()
            raise

    async def _recover(self) -> None:
        """Dispatch every comment that has a pending mark in the database, which includes those in the queue."""
        await self._clear_marks()
        self._queue.clear()
        last_id: ObjectId | None = None
        failure: Exception | None = None
        while batch := await self._comments.pending(last_id, BATCH_SIZE):
            last_id = batch[-1]["_id"]
            contexts = await self._contexts.load_stored(batch)
            try:
                await self._dispatch([PendingComment(*pair) for pair in zip(batch, contexts, strict=True)])
            except DispatchFailed as error:
                # One comment that cannot be dispatched must not hold up the others.
                failure = error
            await self._clear_marks()
        if failure:
            raise failure

    async def _dispatch(self, pending: Sequence[PendingComment]) -> None:
        """Store the notifications of `pending`.

        Raises DispatchFailed if that failed for some of them; the others are dispatched. Raises Unavailable.
        """
        requests = [request for each in pending for request in requests_of(each.comment, each.context)]
        outcomes = await self._notifications.notify(requests)
        failed = {request.comment_id: error for request, error in zip(requests, outcomes, strict=True) if error}
        if not self._done:
            self._clearing_due = self._clock() + CLEAR_DELAY
        self._done += [each for each in pending if str(each.comment["_id"]) not in failed]
        if failed:
            raise DispatchFailed from next(iter(failed.values()))

    async def _clear_marks(self) -> None:
        """Remove the marks of dispatched comments, after making sure that the comments are counted.

        Raises Unavailable; the comments are then recovered from the database.
        """
        done, self._done = self._done, []
        if not done:
            return
        await self._notifications.flush_hints()
        if count_updates := [each.count_update for each in done if each.count_update]:
            await asyncio.wait(count_updates)
        if uncounted := [each.comment for each in done if not each.is_counted]:
            await self._posts.raise_comment_counts(_last_numbers(uncounted))
        await self._comments.clear_pending([each.comment for each in done])

    async def _count(self, comments: Sequence[Document]) -> list[None]:
        try:
            await self._posts.raise_comment_counts(_last_numbers(comments))
        except (Unavailable, PyMongoError) as error:
            count_failure("count_comments")
            log.warning("comments_not_counted", error=type(error).__name__)
            raise
        return [None] * len(comments)


class DispatchFailed(Unavailable):
    detail = "Some notifications could not be stored."


def _last_numbers(comments: Iterable[Document]) -> dict[ObjectId, int]:
    """Return the number of the last comment of each post."""
    last: dict[ObjectId, int] = {}
    for comment in comments:
        last[comment["post_id"]] = max(comment["number"], last.get(comment["post_id"], 0))
    return last
