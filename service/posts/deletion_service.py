"""Deleting posts and comments."""

from contextlib import suppress

from bson import ObjectId
from pymongo.errors import PyMongoError

from service.common.errors import Forbidden, NotFound, Unavailable
from service.common.moderation import MayDelete, nobody_moderates
from service.posts.comment_caches import CommentCaches
from service.posts.comment_store import TOMBSTONE, UNCOUNTED, CommentStore
from service.posts.content_change import deletion_of
from service.posts.deletion_worker import DeletionWorker
from service.posts.edit_service import CONTENDED, MAX_ATTEMPTS, is_own
from service.posts.live_posts import LivePosts
from service.posts.post_store import PostStore, has_content
from service.posts.recipients import RecipientSelector
from service.posts.visibility import Visibility


class DeletionService:
    """Deletes posts and comments, for their authors and for moderators (`may_delete`). All ids are strings of 24 hex
    digits.

    One write decides: it checks the author, and from then on the post or comment does not exist for anybody. The same
    write marks it, so what belongs to it is deleted also after a crash; see DeletionWorker. A repeated request does
    that again. Methods raise NotFound, Forbidden (another user's), and Unavailable.
    """

    def __init__(
        self,
        posts: PostStore,
        comments: CommentStore,
        visibility: Visibility,
        recipients: RecipientSelector,
        worker: DeletionWorker,
        live: LivePosts,
        caches: CommentCaches,
    ) -> None:
        self._posts = posts
        self._comments = comments
        self._visibility = visibility
        self._recipients = recipients
        self._worker = worker
        self._live = live
        self._caches = caches

    async def delete_post(self, user_id: str, post_id: str, may_delete: MayDelete = nobody_moderates) -> None:
        """Delete a post with its comments."""
        author: str | None = user_id
        for _ in range(MAX_ATTEMPTS):
            post = await self._posts.with_deleted(ObjectId(post_id))
            if post is None or (author and not is_own(post, user_id)):
                if post is None or not has_content(post) or not await may_delete():
                    await self._visibility.post(user_id, post_id)
                    raise Forbidden("The post is someone else's.")
                author = None
            if "deleted_at" not in post:
                change = deletion_of(post, await self._recipients.mentioned_in(post["content"]))
                deleted = await self._posts.change(post, author, change)
                if deleted is None:
                    continue
                post = deleted
            self._caches.posts.changed([post["_id"]])
            self._live.post_changed(post_id)
            self._worker.enqueue_post(post)
            return
        raise Unavailable(CONTENDED)

    async def delete_comment(
        self, user_id: str, post_id: str, comment_id: str, may_delete: MayDelete = nobody_moderates
    ) -> None:
        """Delete a comment. It stays as a tombstone if others reply to it."""
        author: str | None = user_id
        place = (ObjectId(post_id), ObjectId(comment_id))
        for _ in range(MAX_ATTEMPTS):
            if await self._posts.post(post_id) is None:
                raise NotFound
            found = await self._comments.with_deleted([place])
            if not found or (author and not is_own(found[0], user_id)):
                if not found or not has_content(found[0]) or not await may_delete():
                    await self._visibility.comment(user_id, post_id, comment_id)
                    raise Forbidden("The comment is someone else's.")
                author = None
            comment = found[0]
            if "deleted_at" not in comment:
                change = deletion_of(comment, await self._recipients.mentioned_in(comment["content"]))
                change["$set"][UNCOUNTED] = True
                if await self._comments.has_replies(comment):
                    change["$set"][TOMBSTONE] = True
                deleted = await self._comments.change(comment, author, change)
                if deleted is None:
                    continue
                comment = deleted
            self._caches.parents.changed([place])
            with suppress(Unavailable, PyMongoError):
                # The author's next read shows the new count. If this fails, the worker repeats it.
                await self._worker.count(comment)
            self._live.comments_deleted(post_id, [comment_id])
            self._worker.enqueue_comment(comment)
            return
        raise Unavailable(CONTENDED)
