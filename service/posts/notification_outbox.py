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
from service.notifications.models import Draft, Kind
from service.notifications.service import NotificationService
from service.posts.comment_context import CommentContext, CommentContextLoader
from service.posts.comment_store import CommentStore
from service.posts.post_store import PostStore

log = structlog.get_logger()

MAX_FRESH = 1000
"""Comments that may wait in memory; what comes beyond is found in the database."""
BATCH = 64
SWEEP_INTERVAL = 30.0
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
    counting: asyncio.Future[None] | None = None

    @property
    def counted(self) -> bool:
        counting = self.counting
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
        interval: float = SWEEP_INTERVAL,
    ) -> None:
        self._comments = comments
        self._posts = posts
        self._contexts = contexts
        self._notifications = notifications
        self._interval = interval
        self._counts: Batcher[Document, None] = Batcher(self._count, timeout=COUNT_TIMEOUT)
        self._fresh: deque[PendingComment] = deque()
        self._paid: list[PendingComment] = []
        """No more than are paid within PAUSE and one write."""
        self._poked = asyncio.Event()
        self._next_sweep = 0.0
        self._next_settlement = 0.0
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(run_forever(self._step, "debts"))

    async def close(self) -> None:
        """Stop at once: what is still owed stands in the database."""
        await cancel_and_wait(self._task)
        await self._counts.close()

    async def owe(self, comment: Document, context: CommentContext) -> None:
        """Pay for `comment`, which is stored, soon. Returns once its post's count has it, or cannot have it just now.
        Never fails."""
        counting = None
        with suppress(Unavailable):
            counting = self._counts.submit(comment)
        if len(self._fresh) < MAX_FRESH:
            self._fresh.append(PendingComment(comment, context, counting))
        else:
            self._next_sweep = 0.0
        self._poked.set()
        if counting:
            with suppress(Unavailable, PyMongoError):
                await counting

    async def _step(self) -> None:
        now = asyncio.get_running_loop().time()
        try:
            if now >= self._next_sweep:
                # Between processes the sweeps spread out, so that they seldom pay the same.
                self._next_sweep = now + random.uniform(0.75, 1.25) * self._interval  # noqa: S311
                await self._sweep()
            elif self._paid and now >= self._next_settlement:
                await self._settle()
            elif self._fresh:
                await self._pay([self._fresh.popleft() for _ in range(min(BATCH, len(self._fresh)))])
            else:
                self._poked.clear()
                due = min(self._next_sweep, self._next_settlement) if self._paid else self._next_sweep
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._poked.wait(), due - now)
        except Exception:
            self._next_sweep = 0.0
            raise

    async def _sweep(self) -> None:
        """Pay for every comment that is marked; what waits in memory is among them."""
        await self._settle()
        self._fresh.clear()
        last: ObjectId | None = None
        failure: Exception | None = None
        while batch := await self._comments.owed(last, BATCH):
            last = batch[-1]["_id"]
            contexts = await self._contexts.of_stored(batch)
            try:
                await self._pay([PendingComment(*pair) for pair in zip(batch, contexts, strict=True)])
            except DispatchFailed as error:
                # One that cannot be paid must not keep the others from being paid.
                failure = error
            await self._settle()
        if failure:
            raise failure

    async def _pay(self, pending: Sequence[PendingComment]) -> None:
        """Raises DispatchFailed where some could not be paid; the others are. Raises Unavailable."""
        drafts = [draft for each in pending for draft in drafts_of(each.comment, each.context)]
        outcomes = await self._notifications.notify(drafts)
        unpaid = {draft.comment_id: outcome for draft, outcome in zip(drafts, outcomes, strict=True) if outcome}
        if not self._paid:
            self._next_settlement = asyncio.get_running_loop().time() + PAUSE
        self._paid += [each for each in pending if str(each.comment["_id"]) not in unpaid]
        if unpaid:
            raise DispatchFailed from next(iter(unpaid.values()))

    async def _settle(self) -> None:
        """Clear the marks of what is paid, once it is counted, too. Raises Unavailable; then they are swept."""
        paid, self._paid = self._paid, []
        if not paid:
            return
        await self._notifications.keep_hints()
        if counting := [each.counting for each in paid if each.counting]:
            await asyncio.wait(counting)
        if uncounted := [each.comment for each in paid if not each.counted]:
            await self._posts.raise_comment_counts(_reached(uncounted))
        await self._comments.settle([each.comment["_id"] for each in paid])

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


def drafts_of(comment: Document, context: CommentContext) -> list[Draft]:
    """The notifications of `comment`."""
    return [
        Draft(
            type=kind,
            user_id=str(user),
            sender=context.author,
            post_id=str(comment["post_id"]),
            comment_id=str(comment["_id"]),
            content=comment["content"],
        )
        for user, kind in receivers(comment["author_id"], context.post_author, context.parent_author).items()
    ]


def receivers(author: ObjectId, post_author: ObjectId | None, parent_author: ObjectId | None) -> dict[ObjectId, Kind]:
    """Whom a comment by `author` notifies, and of what: of a reply rather than a comment, and nobody of their own."""
    told: dict[ObjectId, Kind] = {}
    if post_author:
        told[post_author] = "NEW_COMMENT"
    if parent_author:
        told[parent_author] = "NEW_REPLY"
    told.pop(author, None)
    return told
