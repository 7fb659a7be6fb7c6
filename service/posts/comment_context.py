"""The context of a comment: the authors of the comment, its post and its parent, read together for several comments."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from bson import ObjectId

from service.common.errors import NotFound, ValidationFailed
from service.common.profiles import Profile, Profiles, profile_of
from service.datastores.batcher import BATCH_TIMEOUT, Batcher
from service.datastores.mongo import Document
from service.posts.comment_store import CommentStore, Parent
from service.posts.post_store import Commented, PostStore


class CommentContext(NamedTuple):
    """`author` is the author of the comment. The other two are None if they do not exist or have been deleted: the
    users, not what they have written."""

    author: Profile
    post_author: ObjectId | None
    parent_author: ObjectId | None


class CommentTarget(NamedTuple):
    """The post and parent that a comment belongs to, and its author."""

    post_id: ObjectId
    parent_id: ObjectId | None
    author_id: ObjectId


class ContextData(NamedTuple):
    """Those of the requested posts, parents and profiles that are stored."""

    posts: Mapping[ObjectId, Commented]
    parents: Mapping[ObjectId, Parent]
    profiles: Mapping[str, Profile]

    def context_of(self, target: CommentTarget) -> CommentContext:
        parent = self.parents.get(target.parent_id) if target.parent_id else None
        author = profile_of(str(target.author_id), self.profiles)
        post = self.posts.get(target.post_id)
        return CommentContext(author, post.author_id if post else None, parent.author_id if parent else None)

    def validate(self, target: CommentTarget) -> CommentContext | Exception:
        """Return the context of a new comment, or the reason why it is refused."""
        post = self.posts.get(target.post_id)
        if post is None or not post.exists:
            return NotFound()
        if target.parent_id:
            parent = self.parents.get(target.parent_id)
            if parent is None or not parent.exists or parent.post_id != target.post_id:
                return ValidationFailed.of("parent_id", "The post has no such comment.")
        return self.context_of(target)


class CommentContextLoader:
    """Loads the current contexts of comments from the database, in at most three reads for any number of comments."""

    def __init__(self, posts: PostStore, comments: CommentStore, profiles: Profiles) -> None:
        self._posts = posts
        self._comments = comments
        self._profiles = profiles
        # Requests that arrive during a load share the next one.
        self._loads: Batcher[CommentTarget, CommentContext] = Batcher(self._load, timeout=BATCH_TIMEOUT)

    def load(self, author_id: str, post_id: str, parent_id: str | None) -> asyncio.Future[CommentContext]:
        """Load the context of a new comment.

        Raises Unavailable, at once or from the future. The future also raises NotFound if the post does not exist, and
        ValidationFailed if `parent_id` is not a comment of the post.
        """
        parent = ObjectId(parent_id) if parent_id else None
        return self._loads.submit(CommentTarget(ObjectId(post_id), parent, ObjectId(author_id)))

    async def load_stored(self, comments: Iterable[Document]) -> list[CommentContext]:
        """Load the contexts of stored comments, in the same order. Raises Unavailable."""
        targets = [
            CommentTarget(comment["post_id"], comment["parent_id"], comment["author_id"]) for comment in comments
        ]
        data = await self._read(targets)
        return [data.context_of(target) for target in targets]

    async def close(self) -> None:
        await self._loads.close()

    async def _load(self, targets: Sequence[CommentTarget]) -> list[CommentContext | Exception]:
        data = await self._read(targets)
        return [data.validate(target) for target in targets]

    async def _read(self, targets: Sequence[CommentTarget]) -> ContextData:
        return ContextData(
            *await asyncio.gather(
                self._posts.commented({target.post_id for target in targets}),
                self._comments.parents({(target.post_id, target.parent_id) for target in targets if target.parent_id}),
                self._profiles.profiles({str(target.author_id) for target in targets}),
            )
        )
