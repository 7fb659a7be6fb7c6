"""The posts and comments that attachments belong to."""

from bson import ObjectId

from service.attachments.attachment_store import Claim
from service.attachments.attachments import ids_in
from service.common.errors import NotFound
from service.datastores.mongo import Document
from service.posts.comment_store import CommentStore
from service.posts.post_store import PostStore
from service.posts.visibility import Visibility


class AttachedPosts:
    """Implements Holder for posts."""

    def __init__(self, posts: PostStore, visibility: Visibility) -> None:
        self._posts = posts
        self._visibility = visibility

    async def holds(self, claim: Claim, attachment_id: ObjectId) -> bool:
        post = await self._posts.post(str(claim.object_id))
        return post is not None and attachment_id in ids_in(post)

    async def check_visible(self, viewer: str, claim: Claim, attachment_id: ObjectId) -> None:
        if attachment_id not in ids_in(await self._visibility.post(viewer, str(claim.object_id))):
            raise NotFound


class AttachedComments:
    """Implements Holder for comments."""

    def __init__(self, comments: CommentStore, visibility: Visibility) -> None:
        self._comments = comments
        self._visibility = visibility

    async def holds(self, claim: Claim, attachment_id: ObjectId) -> bool:
        return await self._comment_with(claim, attachment_id) is not None

    async def check_visible(self, viewer: str, claim: Claim, attachment_id: ObjectId) -> None:
        comment = await self._comment_with(claim, attachment_id)
        if comment is None:
            raise NotFound
        await self._visibility.comment(viewer, str(claim.list_id), str(comment["_id"]))

    async def _comment_with(self, claim: Claim, attachment_id: ObjectId) -> Document | None:
        comment = await self._comments.claimed(claim)
        has_it = comment and "deleted_at" not in comment and attachment_id in ids_in(comment)
        return comment if has_it else None
