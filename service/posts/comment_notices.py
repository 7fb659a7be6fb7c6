"""The notices of comments, and the comment counts of their posts: what a marked comment is waiting for."""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import structlog
from bson import ObjectId
from pymongo.errors import PyMongoError

from service.common.errors import Unavailable
from service.common.mentions import mentions_in
from service.common.tasks import count_failure
from service.datastores.batcher import Batcher
from service.datastores.mongo import Document
from service.posts.comment_context import CommentContext, CommentContextLoader
from service.posts.comment_store import CommentStore
from service.posts.notice import Candidate, Notice
from service.posts.pending import Pending, Selection, pending_notice
from service.posts.post_store import PostStore

log = structlog.get_logger()

COUNT_TIMEOUT = 0.5
"""Seconds that the response to a comment waits for the post's comment count. Usually enough for the author's next read
to include the comment, and short enough that a database which has just failed does not hold up the response."""


@dataclass(slots=True, eq=False)
class PendingComment(Pending):
    """`count_update` completes once the post's count includes the comment, or fails. None: it has not begun."""

    count_update: "asyncio.Future[None] | None" = None

    async def wait_until_counted(self) -> None:
        """Return once the count includes the comment, or after about COUNT_TIMEOUT: `complete` makes sure of it."""
        if self.count_update:
            with suppress(Unavailable, PyMongoError):
                await self.count_update


class CommentNotices:
    """The comments whose notifications, or the count of which, may be missing: a PendingSource."""

    def __init__(self, comments: CommentStore, posts: PostStore, contexts: CommentContextLoader) -> None:
        self._comments = comments
        self._posts = posts
        self._contexts = contexts
        self._counts: Batcher[Document, None] = Batcher(self._count, timeout=COUNT_TIMEOUT)

    async def close(self) -> None:
        await self._counts.close()

    def stored(self, comment: Document, notice: Notice, selection: Selection | None) -> PendingComment:
        """Return a comment that has just been stored, of which the post's count is being updated. Never raises."""
        try:
            return PendingComment(self, comment, [notice], [selection], self._counts.submit(comment))
        except Unavailable:
            return PendingComment(self, comment, [notice], [selection])

    async def pending(self, after: ObjectId | None, limit: int) -> list[Pending]:
        found = await self._comments.pending(after, limit)
        contexts = await self._contexts.load_stored(found)
        return [
            PendingComment(self, comment, [pending_notice(comment, comment_notice_of(comment, context))])
            for comment, context in zip(found, contexts, strict=True)
        ]

    async def complete(self, done: Sequence[Pending]) -> None:
        updates = {each: each.count_update for each in done if isinstance(each, PendingComment) and each.count_update}
        if updates:
            await asyncio.wait(updates.values())
        counted = {each for each, update in updates.items() if not update.cancelled() and not update.exception()}
        if uncounted := [each.document for each in done if each not in counted]:
            # Not of those that are gone with their post: raising its count would make it again.
            places = [(comment["post_id"], comment["_id"]) for comment in uncounted]
            if stored := await self._comments.with_deleted(places):
                await self._posts.raise_comment_counts(_last_numbers(stored))
        await self._comments.clear_pending([each.document for each in done])

    async def _count(self, comments: Sequence[Document]) -> list[None]:
        try:
            await self._posts.raise_comment_counts(_last_numbers(comments))
        except (Unavailable, PyMongoError) as error:
            count_failure("count_comments")
            log.warning("comments_not_counted", error=type(error).__name__)
            raise
        return [None] * len(comments)


def comment_notice(post_id: ObjectId, comment_id: ObjectId, content: str, context: CommentContext) -> Notice:
    """Return what people are notified of if the comment is stored."""
    authors: list[Candidate] = []
    if context.post_author:
        authors.append((context.post_author, "NEW_COMMENT"))
    if context.parent_author:
        authors.append((context.parent_author, "NEW_REPLY"))
    mentions = mentions_in(content)
    return Notice(context.author, post_id, comment_id, content, authors, mentions, post_author=context.post_author)


def comment_notice_of(comment: Document, context: CommentContext) -> Notice:
    """Return what people are notified of because of the current text of `comment`."""
    notice = comment_notice(comment["post_id"], comment["_id"], comment["content"], context)
    return notice._replace(edited_at=comment.get("edited_at"))


def _last_numbers(comments: Iterable[Document]) -> dict[ObjectId, int]:
    """Return the number of the last comment of each post."""
    last: dict[ObjectId, int] = {}
    for comment in comments:
        last[comment["post_id"]] = max(comment["number"], last.get(comment["post_id"], 0))
    return last
