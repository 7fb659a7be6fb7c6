"""Deletes what belongs to deleted posts and comments, in the background, also after a crash."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import timedelta

import structlog
from bson import ObjectId

from service.attachments.attachments import Attachments, ids_in
from service.common.tasks import cancel_and_wait, count_failure, run_forever
from service.common.times import now
from service.datastores.mongo import Document
from service.notifications.deletion import NotificationDeletion
from service.notifications.models import DeletedSubject
from service.posts.comment_context import CommentContextLoader
from service.posts.comment_notices import comment_notice_of
from service.posts.comment_store import UNCOUNTED, CommentStore
from service.posts.live_posts import LivePosts
from service.posts.pending import MENTIONED, PENDING, with_formerly_mentioned
from service.posts.post_store import PostStore
from service.posts.reaction_store import ReactionStore
from service.posts.recipients import RecipientSelector

log = structlog.get_logger()

GRACE = timedelta(minutes=1)
"""A request that began before a deletion has ended after this time, also in a process that has not heard of it (see
BusCache), and so has the dispatch of a notification."""
RECOVERY_INTERVAL = 30.0
"""Seconds between two looks for deletions that are to be completed."""
BATCH_SIZE = 100
"""Comments that are read and deleted together."""
MAX_QUEUED = 1000
"""Deletions in the memory queue. Those beyond are done only after GRACE."""
CONCURRENT = 4
"""Deletions at the same time: one of a post with many comments does not hold up the others."""
MAX_ANCESTORS = 100
"""Deleted comments, each a reply to the next, that disappear together."""
TASK = "post_deletions"


class DeletionWorker:
    """Deletes the notifications, reactions and attachments of deleted posts and comments, and the comments of deleted
    posts.

    Everything is done twice: at once, and again when the mark is older than GRACE. The second time finds what was
    stored meanwhile by requests that had begun before the deletion: a comment on the post, a reply, a reaction, a
    notification. Only then are documents and marks removed. All steps can be repeated, so any process may do them at
    any time, and a crash only delays them.
    """

    def __init__(
        self,
        posts: PostStore,
        comments: CommentStore,
        reactions: ReactionStore,
        contexts: CommentContextLoader,
        recipients: RecipientSelector,
        notifications: NotificationDeletion,
        live: LivePosts,
        attachments: Attachments,
        *,
        grace: timedelta = GRACE,
        recovery_interval: float = RECOVERY_INTERVAL,
    ) -> None:
        """`recovery_interval` is in seconds."""
        self._posts = posts
        self._comments = comments
        self._reactions = reactions
        self._contexts = contexts
        self._recipients = recipients
        self._notifications = notifications
        self._live = live
        self._attachments = attachments
        self._grace = grace
        self._recovery_interval = recovery_interval
        self._queue: asyncio.Queue[Callable[[], Awaitable[None]]] = asyncio.Queue(MAX_QUEUED)
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        steps = [self._recover_later, *[self._delete_queued] * CONCURRENT]
        self._tasks = [asyncio.create_task(run_forever(step, TASK)) for step in steps]

    async def close(self) -> None:
        """Stop at once. Deletions that are not complete are marked in the database: another process completes them."""
        for task in self._tasks:
            await cancel_and_wait(task)

    def enqueue_post(self, post: Document) -> None:
        """Delete what belongs to a deleted post in the background. Never raises."""
        self._enqueue(lambda: self.delete_of_post(post, final=False))

    def enqueue_comment(self, comment: Document) -> None:
        """Delete what belongs to a deleted comment in the background. Never raises."""
        self._enqueue(lambda: self.delete_of_comment(comment))

    async def count(self, comment: Document) -> None:
        """Let the post's count no longer include a deleted comment. Raises Unavailable."""
        if UNCOUNTED in comment:
            await self._posts.count_deletion(comment)
            await self._comments.set_counted(comment)

    async def delete_of_comment(self, comment: Document) -> None:
        """Delete what belongs to a deleted comment, unless that is complete. Raises Unavailable."""
        # Read again: it may have waited until another process had completed this, and forgotten that it was counted.
        found = await self._comments.with_deleted([(comment["post_id"], comment["_id"])])
        if not found or PENDING not in found[0]:
            return
        comment = found[0]
        await self.count(comment)
        settled = await self._settle_tombstones(comment)
        self._live.comments_deleted(str(comment["post_id"]), [str(comment_id) for comment_id in settled])
        await self._notifications.delete(await self._subjects([comment]))
        await self._reactions.delete([comment["_id"]])
        await self._attachments.remove(ids_in(comment))

    async def delete_of_post(self, post: Document, *, final: bool) -> None:
        """Delete what belongs to a deleted post; if it is `final`, also its comments and its document. Raises
        Unavailable."""
        subject = DeletedSubject(post["_id"], None, post["author_id"], post.get(MENTIONED, ()))
        await self._notifications.delete([subject])
        below = await self._comments.last_number(post) + 1
        # The newest first: who has written the comment that another replies to is known until both are removed.
        while batch := await self._comments.newest(post["_id"], below, BATCH_SIZE):
            await self._notifications.delete(await self._subjects(batch))
            await self._reactions.delete([comment["_id"] for comment in batch])
            await self._attachments.remove([each for comment in batch for each in ids_in(comment)])
            if final:
                await self._comments.remove(batch)
            below = batch[-1]["number"]
        await self._reactions.delete([post["_id"]])
        await self._attachments.remove(ids_in(post))
        if final:
            await self._posts.remove(post["_id"])

    async def recover(self) -> None:
        """Complete the deletions whose marks are older than GRACE."""
        moment = now() - self._grace
        await self._complete(
            lambda: self._posts.deleted_before(moment, BATCH_SIZE), lambda post: self.delete_of_post(post, final=True)
        )
        await self._complete(lambda: self._comments.deleted_before(moment, BATCH_SIZE), self._complete_comment)

    async def _complete_comment(self, comment: Document) -> None:
        await self.delete_of_comment(comment)
        await self._posts.forget_deletion(comment)
        await self._comments.finish_deletion(comment)

    async def _complete(
        self, read: Callable[[], Awaitable[list[Document]]], complete: Callable[[Document], Awaitable[None]]
    ) -> None:
        while batch := await read():
            done = [await self._succeeds(lambda document=document: complete(document)) for document in batch]  # type: ignore[misc]
            if not any(done):
                return

    async def _settle_tombstones(self, comment: Document) -> list[ObjectId]:
        """Let a deleted comment, and the deleted ones that it replies to, exist only while another replies to it.

        Returns their ids.
        """
        settled: list[ObjectId] = []
        while len(settled) < MAX_ANCESTORS:
            await self._comments.set_tombstone(comment, await self._comments.has_replies(comment))
            settled.append(comment["_id"])
            if comment["parent_id"] is None:
                break
            found = await self._comments.with_deleted([(comment["post_id"], comment["parent_id"])])
            if not found or "deleted_at" not in found[0]:
                break
            comment = found[0]
        return settled

    async def _subjects(self, comments: Sequence[Document]) -> list[DeletedSubject]:
        """Return these comments with those whom they have notified."""
        contexts = await self._contexts.load_stored(comments)
        notices = [
            with_formerly_mentioned(comment, comment_notice_of(comment, context))
            for comment, context in zip(comments, contexts, strict=True)
        ]
        found = await self._recipients.candidates(notices)
        return [
            DeletedSubject(comment["post_id"], comment["_id"], comment["author_id"], [user for user, _ in candidates])
            for comment, candidates in zip(comments, found, strict=True)
        ]

    def _enqueue(self, deletion: Callable[[], Awaitable[None]]) -> None:
        with suppress(asyncio.QueueFull):
            self._queue.put_nowait(deletion)

    async def _delete_queued(self) -> None:
        await self._succeeds(await self._queue.get())

    async def _succeeds(self, deletion: Callable[[], Awaitable[None]]) -> bool:
        """Return whether the deletion is done. If it fails, it is repeated after GRACE."""
        try:
            await deletion()
        except Exception as error:
            count_failure(TASK)
            log.warning("not_deleted", error=type(error).__name__)
            return False
        return True

    async def _recover_later(self) -> None:
        await self.recover()
        # Jitter, so that several processes rarely complete the same deletions at the same time.
        await asyncio.sleep(random.uniform(0.75, 1.25) * self._recovery_interval)  # noqa: S311
