"""Which posts and comments exist for a user."""

from bson import ObjectId

from service.common.blocks import Block, Blocks
from service.common.errors import NotFound
from service.datastores.mongo import Document
from service.posts.comment_store import CommentStore, is_shown
from service.posts.post_store import PostStore


class Visibility:
    """A user sees neither what has been deleted nor what somebody whom they block has written. All ids are
    strings of 24 hex digits. Methods raise NotFound, and Unavailable."""

    def __init__(self, posts: PostStore, comments: CommentStore, blocks: Blocks) -> None:
        self._posts = posts
        self._comments = comments
        self._blocks = blocks

    async def post(self, viewer: str, post_id: str) -> Document:
        """Return the post."""
        post = await self._posts.post(post_id)
        if post is None or await self._blocks.existing([Block(viewer, str(post["author_id"]))]):
            raise NotFound
        return post

    async def comment(self, viewer: str, post_id: str, comment_id: str) -> Document:
        """Return the comment, also if it is a tombstone."""
        await self.post(viewer, post_id)
        found = await self._comments.with_deleted([(ObjectId(post_id), ObjectId(comment_id))])
        if not found or not is_shown(found[0]):
            raise NotFound
        if await self._blocks.existing([Block(viewer, str(found[0]["author_id"]))]):
            raise NotFound
        return found[0]
