"""What comments owe: the background task that sees to their notifications, and the sweep for what a crash left."""

import asyncio
import random
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress

from bson import ObjectId

from service.datastores.mongo import Document
from service.errors import Unavailable
from service.notifications.models import Draft, Kind
from service.notifications.service import NotificationService
from service.posts.comments import CommentStore
from service.posts.store import PostStore
from service.tasks import forever, stop

MAX_FRESH = 1000
"""Comments that may wait in memory; what comes beyond is found in the database."""
BATCH = 64
SWEEP_INTERVAL = 30.0
"""Seconds between two looks for what some process left when it died: the longest that a notification is late then."""


class Debts:
    """Pays for each comment what it owes: the notifications of those it concerns, and its place in the post's count.

    The mark in the comment's document is the authority. It is cleared only when all is paid, and all of it may be
    paid twice without harm; so any process may pay at any time, and a crash costs a delay and nothing else.
    """

    def __init__(
        self,
        comments: CommentStore,
        posts: PostStore,
        notifications: NotificationService,
        *,
        interval: float = SWEEP_INTERVAL,
    ) -> None:
        self._comments = comments
        self._posts = posts
        self._notifications = notifications
        self._interval = interval
        self._fresh: deque[tuple[Document, bool]] = deque()
        self._poked = asyncio.Event()
        self._next_sweep = 0.0
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(forever(self._step, "debts"))

    async def close(self) -> None:
        """Stop at once: what is still owed stands in the database."""
        await stop(self._task)

    def owe(self, comment: Document, *, counted: bool) -> None:
        """Pay for `comment`, which is stored, soon. `counted`: its post's count has it. Never waits, never fails."""
        if len(self._fresh) < MAX_FRESH:
            self._fresh.append((comment, counted))
        else:
            self._next_sweep = 0.0
        self._poked.set()

    async def _step(self) -> None:
        now = asyncio.get_running_loop().time()
        try:
            if now >= self._next_sweep:
                # Between processes the sweeps spread out, so that they seldom pay the same.
                self._next_sweep = now + random.uniform(0.75, 1.25) * self._interval  # noqa: S311
                await self._sweep()
            elif self._fresh:
                fresh = [self._fresh.popleft() for _ in range(min(BATCH, len(self._fresh)))]
                uncounted = [comment for comment, counted in fresh if not counted]
                await self._pay([comment for comment, _ in fresh], uncounted)
            else:
                self._poked.clear()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._poked.wait(), self._next_sweep - now)
        except Exception:
            self._next_sweep = 0.0
            raise

    async def _sweep(self) -> None:
        """Pay for every comment that is marked; what waits in memory is among them."""
        self._fresh.clear()
        last: ObjectId | None = None
        failure: Exception | None = None
        while batch := await self._comments.owed(last, BATCH):
            last = batch[-1]["_id"]
            try:
                await self._pay(batch, batch)
            except PaymentFailed as error:
                # One that cannot be paid must not keep the others from being paid.
                failure = error
        if failure:
            raise failure

    async def _pay(self, comments: Sequence[Document], uncounted: Sequence[Document]) -> None:
        """Raises PaymentFailed where some could not be paid; the others are. Raises Unavailable."""
        drafts = await self._drafts(comments)
        outcomes = await self._notifications.notify(drafts)
        failed = {draft.comment_id: outcome for draft, outcome in zip(drafts, outcomes, strict=True) if outcome}
        reached: dict[ObjectId, int] = {}
        for comment in uncounted:
            reached[comment["post_id"]] = max(comment["number"], reached.get(comment["post_id"], 0))
        if reached:
            await self._posts.raise_comment_counts(reached)
        paid = [comment["_id"] for comment in comments if str(comment["_id"]) not in failed]
        await self._comments.settle(paid)
        if failed:
            raise PaymentFailed from next(iter(failed.values()))

    async def _drafts(self, comments: Sequence[Document]) -> list[Draft]:
        post_authors = await self._posts.authors({comment["post_id"] for comment in comments})
        parents = {comment["parent_id"] for comment in comments if comment["parent_id"]}
        parent_authors = await self._comments.authors(parents) if parents else {}
        return [
            Draft(
                type=kind,
                user_id=str(user),
                sender_id=str(comment["author_id"]),
                post_id=str(comment["post_id"]),
                comment_id=str(comment["_id"]),
                content=comment["content"],
            )
            for comment in comments
            for user, kind in receivers(comment, post_authors, parent_authors).items()
        ]


class PaymentFailed(Unavailable):
    detail = "Some notifications could not be stored."


def receivers(
    comment: Document, post_authors: Mapping[ObjectId, ObjectId], parent_authors: Mapping[ObjectId, ObjectId]
) -> dict[ObjectId, Kind]:
    """Whom `comment` notifies, and of what: of a reply rather than a comment, and nobody of their own."""
    told: dict[ObjectId, Kind] = {}
    if post_author := post_authors.get(comment["post_id"]):
        told[post_author] = "NEW_COMMENT"
    if parent_author := parent_authors.get(comment["parent_id"]):
        told[parent_author] = "NEW_REPLY"
    told.pop(comment["author_id"], None)
    return told
