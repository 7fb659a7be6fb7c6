"""What comments owe: the background task that sees to their notifications, and the sweep for what a crash left."""

import asyncio
import random
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from bson import ObjectId

from service.datastores.mongo import Document
from service.errors import Unavailable
from service.notifications.models import Draft, Kind
from service.notifications.service import NotificationService
from service.posts.comments import CommentStore
from service.posts.footing import Footing, Footings
from service.posts.store import PostStore
from service.tasks import forever, stop

MAX_FRESH = 1000
"""Comments that may wait in memory; what comes beyond is found in the database."""
BATCH = 64
SWEEP_INTERVAL = 30.0
"""Seconds between two looks for what some process left when it died: the longest that a notification is late then."""


class Debt(NamedTuple):
    """A comment with something owed. `counted`: its post's count has it, as far as is known here."""

    comment: Document
    footing: Footing
    counted: bool = False


class Debts:
    """Pays for each comment what it owes: the notifications of those it concerns, and its place in the post's count.

    The mark in the comment's document is the authority. It is cleared only when all is paid, and all of it may be
    paid twice without harm; so any process may pay at any time, and a crash costs a delay and nothing else.
    """

    def __init__(
        self,
        comments: CommentStore,
        posts: PostStore,
        footings: Footings,
        notifications: NotificationService,
        *,
        interval: float = SWEEP_INTERVAL,
    ) -> None:
        self._comments = comments
        self._posts = posts
        self._footings = footings
        self._notifications = notifications
        self._interval = interval
        self._fresh: deque[Debt] = deque()
        self._poked = asyncio.Event()
        self._next_sweep = 0.0
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(forever(self._step, "debts"))

    async def close(self) -> None:
        """Stop at once: what is still owed stands in the database."""
        await stop(self._task)

    def owe(self, comment: Document, footing: Footing, *, counted: bool) -> None:
        """Pay for `comment`, which is stored, soon. `counted`: its post's count has it. Never waits, never fails."""
        if len(self._fresh) < MAX_FRESH:
            self._fresh.append(Debt(comment, footing, counted))
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
                await self._pay([self._fresh.popleft() for _ in range(min(BATCH, len(self._fresh)))])
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
            footings = await self._footings.of_stored(batch)
            try:
                await self._pay([Debt(comment, footing) for comment, footing in zip(batch, footings, strict=True)])
            except PaymentFailed as error:
                # One that cannot be paid must not keep the others from being paid.
                failure = error
        if failure:
            raise failure

    async def _pay(self, debts: Sequence[Debt]) -> None:
        """Raises PaymentFailed where some could not be paid; the others are. Raises Unavailable."""
        drafts = [draft for debt in debts for draft in drafts_of(debt.comment, debt.footing)]
        outcomes = await self._notifications.notify(drafts)
        failed = {draft.comment_id: outcome for draft, outcome in zip(drafts, outcomes, strict=True) if outcome}
        reached: dict[ObjectId, int] = {}
        for comment, _, counted in debts:
            if not counted:
                reached[comment["post_id"]] = max(comment["number"], reached.get(comment["post_id"], 0))
        if reached:
            await self._posts.raise_comment_counts(reached)
        await self._comments.settle([one.comment["_id"] for one in debts if str(one.comment["_id"]) not in failed])
        if failed:
            raise PaymentFailed from next(iter(failed.values()))


class PaymentFailed(Unavailable):
    detail = "Some notifications could not be stored."


def drafts_of(comment: Document, footing: Footing) -> list[Draft]:
    """The notifications of `comment`."""
    return [
        Draft(
            type=kind,
            user_id=str(user),
            sender=footing.author,
            post_id=str(comment["post_id"]),
            comment_id=str(comment["_id"]),
            content=comment["content"],
        )
        for user, kind in receivers(comment["author_id"], footing.post_author, footing.parent_author).items()
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
