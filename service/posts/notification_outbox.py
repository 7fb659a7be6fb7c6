"""What comments owe: the background task that sees to their notifications, and the sweep for what a crash left."""

import asyncio
import random
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import NamedTuple

import structlog
from bson import ObjectId
from pymongo.errors import PyMongoError

from service.common.errors import Unavailable
from service.common.tasks import cancel_and_wait, count_failure, run_forever
from service.datastores.batcher import Batcher
from service.datastores.mongo import Document
from service.notifications.models import Kind, NotificationRequest
from service.notifications.service import NotificationService
from service.posts.comment_context import CommentContext, CommentContextLoader
from service.posts.comment_store import CommentStore
from service.posts.post_store import PostStore

log = structlog.get_logger()

MAX_QUEUED = 1000
"""Comments that may wait in memory; what comes beyond is found in the database."""
BATCH = 64
RECOVERY_INTERVAL = 30.0
"""Seconds between two looks for what some process left when it died: the longest that a notification is late then."""
PAUSE = 0.25
"""Seconds that the marks of what is paid are left to gather. To clear one costs the database as much as to store the
comment, and the next notification would wait for it."""
COUNT_TIMEOUT = 0.5
"""Seconds that a comment waits for its post's count: long enough for everyone's next read to show it, and too short for
a database that has gone since to hold up what it has stored."""


class PendingComment(NamedTuple):
    """A comment with something owed. `counting` ends well once its post's count has it; None: nobody has tried."""

    comment: Document
    context: CommentContext
    count_update: asyncio.Future[None] | None = None

    @property
    def is_counted(self) -> bool:
        counting = self.count_update
        return counting is not None and not counting.cancelled() and counting.exception() is None


class NotificationOutbox:
    """Pays for each comment what it owes: the notifications of those it concerns, and its place in the post's count.

    The mark in the comment's document is the authority. It is cleared only when all is paid, and all of it may be
    paid twice without harm; so any process may pay at any time, and a crash costs a delay and nothing else. For the
    same reason nobody waits for the marks of what is paid: they are cleared later, and many at a time.
    """

    def __init__(
        self,
        comments: CommentStore,
        posts: PostStore,
        contexts: CommentContextLoader,
        notifications: NotificationService,
        *,
        interval: float = RECOVERY_INTERVAL,
    ) -> None:
        self._comments = comments
        self._posts = posts
        self._contexts = contexts
        self._notifications = notifications
        self._interval = interval
        self._counts: Batcher[Document, None] = Batcher(self._count, timeout=COUNT_TIMEOUT)
        self._queue: deque[PendingComment] = deque()
        self._done: list[PendingComment] = []
        """No more than are paid within PAUSE and one write."""
        self._wake = asyncio.Event()
        self._next_recovery = 0.0
        self._next_marking = 0.0
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(run_forever(self._step, "notification_outbox"))

    async def close(self) -> None:
        """Stop at once: what is still owed stands in the database."""
        await cancel_and_wait(self._task)
        await self._counts.close()

    async def enqueue(self, comment: Document, context: CommentContext) -> None:
        """Pay for `comment`, which is stored, soon. Returns once its post's count has it, or cannot have it just now.
        Never fails."""
        counting = None
        with suppress(Unavailable):
            counting = self._counts.submit(comment)
        if len(self._queue) < MAX_QUEUED:
            self._queue.append(PendingComment(comment, context, counting))
        else:
            self._next_recovery = 0.0
        self._wake.set()
        if counting:
            with suppress(Unavailable, PyMongoError):
                await counting

    async def _step(self) -> None:
        now = asyncio.get_running_loop().time()
        try:
            if now >= self._next_recovery:
                # Between processes the sweeps spread out, so that they seldom pay the same.
                self._next_recovery = now + random.uniform(0.75, 1.25) * self._interval  # noqa: S311
                await self._recover()
            elif self._done and now >= self._next_marking:
                await self._mark_done()
            elif self._queue:
                await self._dispatch([self._queue.popleft() for _ in range(min(BATCH, len(self._queue)))])
            else:
                self._wake.clear()
                due = min(self._next_recovery, self._next_marking) if self._done else self._next_recovery
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), due - now)
        except Exception:
            self._next_recovery = 0.0
            raise

    async def _recover(self) -> None:
        """Pay for every comment that is marked; what waits in memory is among them."""
        await self._mark_done()
        self._queue.clear()
        last: ObjectId | None = None
        failure: Exception | None = None
        while batch := await self._comments.pending(last, BATCH):
            last = batch[-1]["_id"]
            contexts = await self._contexts.load_stored(batch)
            try:
                await self._dispatch([PendingComment(*pair) for pair in zip(batch, contexts, strict=True)])
            except DispatchFailed as error:
                # One that cannot be paid must not keep the others from being paid.
                failure = error
            await self._mark_done()
        if failure:
            raise failure

    async def _dispatch(self, pending: Sequence[PendingComment]) -> None:
        """Raises DispatchFailed where some could not be paid; the others are. Raises Unavailable."""
        drafts = [draft for each in pending for draft in requests_of(each.comment, each.context)]
        outcomes = await self._notifications.notify(drafts)
        unpaid = {draft.comment_id: outcome for draft, outcome in zip(drafts, outcomes, strict=True) if outcome}
        if not self._done:
            self._next_marking = asyncio.get_running_loop().time() + PAUSE
        self._done += [each for each in pending if str(each.comment["_id"]) not in unpaid]
        if unpaid:
            raise DispatchFailed from next(iter(unpaid.values()))

    async def _mark_done(self) -> None:
        """Clear the marks of what is paid, once it is counted, too. Raises Unavailable; then they are swept."""
        paid, self._done = self._done, []
        if not paid:
            return
        await self._notifications.flush_hints()
        if counting := [each.count_update for each in paid if each.count_update]:
            await asyncio.wait(counting)
        if uncounted := [each.comment for each in paid if not each.is_counted]:
            await self._posts.raise_comment_counts(_reached(uncounted))
        await self._comments.mark_done([each.comment["_id"] for each in paid])

    async def _count(self, comments: Sequence[Document]) -> list[None]:
        try:
            await self._posts.raise_comment_counts(_reached(comments))
        except (Unavailable, PyMongoError) as error:
            count_failure("count_comments")
            log.warning("comments_not_counted", error=type(error).__name__)
            raise
        return [None] * len(comments)


class DispatchFailed(Unavailable):
    detail = "Some notifications could not be stored."


def _reached(comments: Iterable[Document]) -> dict[ObjectId, int]:
    """The number of the last comment of each post."""
    reached: dict[ObjectId, int] = {}
    for comment in comments:
        reached[comment["post_id"]] = max(comment["number"], reached.get(comment["post_id"], 0))
    return reached


def requests_of(comment: Document, context: CommentContext) -> list[NotificationRequest]:
    """The notifications of `comment`."""
    return [
        NotificationRequest(
            type=kind,
            user_id=str(user),
            sender=context.author,
            post_id=str(comment["post_id"]),
            comment_id=str(comment["_id"]),
            content=comment["content"],
        )
        for user, kind in recipients(comment["author_id"], context.post_author, context.parent_author).items()
    ]


def recipients(author: ObjectId, post_author: ObjectId | None, parent_author: ObjectId | None) -> dict[ObjectId, Kind]:
    """Whom a comment by `author` notifies, and of what: of a reply rather than a comment, and nobody of their own."""
    told: dict[ObjectId, Kind] = {}
    if post_author:
        told[post_author] = "NEW_COMMENT"
    if parent_author:
        told[parent_author] = "NEW_REPLY"
    told.pop(author, None)
    return told
