"""The context of a comment: the authors of the comment, its post and its parent, read together for several comments."""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from bson import ObjectId

from service.common.blocks import Block, Blocks
from service.common.errors import NotFound, ValidationFailed
from service.common.profiles import Profile, Profiles, profile_of
from service.datastores.batcher import BATCH_TIMEOUT, Batcher
from service.datastores.mongo import Document
from service.posts.comment_store import CommentStore, Parent
from service.posts.post_store import Commented, PostStore

MAX_KNOWN_AUTHORS = 10_000
"""Authors of posts that a process remembers: a megabyte."""


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

    def blocks_of(self, target: CommentTarget) -> tuple[Block, Block]:
        """Return the blocks for which the post, and the parent, do not exist for who comments. Nobody blocks
        themselves: that stands for nobody."""
        author = str(target.author_id)
        context = self.context_of(target)
        return Block(author, str(context.post_author or author)), Block(author, str(context.parent_author or author))

    def validate(self, target: CommentTarget, blocked: Collection[Block]) -> CommentContext | Exception:
        """Return the context of a new comment, or the reason why it is refused. `blocked`: those of `blocks_of` that
        exist."""
        post = self.posts.get(target.post_id)
        by_post, by_parent = self.blocks_of(target)
        if post is None or not post.exists or by_post in blocked:
            return NotFound()
        if target.parent_id:
            parent = self.parents.get(target.parent_id)
            if parent is None or not parent.exists or parent.post_id != target.post_id or by_parent in blocked:
                return ValidationFailed.of("parent_id", "The post has no such comment.")
        return self.context_of(target)


class CommentContextLoader:
    """Loads the current contexts of comments from the database, in at most five reads for any number of comments.

    What somebody whom the author blocks has written does not exist for them. A post's author never changes, so the
    blocks between them and those who comment are read together with the rest once the author is known.
    """

    def __init__(self, posts: PostStore, comments: CommentStore, profiles: Profiles, blocks: Blocks) -> None:
        self._posts = posts
        self._comments = comments
        self._profiles = profiles
        self._blocks = blocks
        self._post_authors: dict[ObjectId, ObjectId] = {}
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
        expected = {
            Block(str(target.author_id), str(author))
            for target in targets
            if (author := self._post_authors.get(target.post_id)) and author != target.author_id
        }
        data, blocked = await asyncio.gather(self._read(targets), self._blocks.existing(expected))
        wanted = {block for target in targets for block in data.blocks_of(target) if block.user_id != block.blocked_id}
        if further := wanted - expected:
            blocked = blocked | await self._blocks.existing(further)
        self._remember_authors(data.posts)
        return [data.validate(target, blocked) for target in targets]

    def _remember_authors(self, posts: Mapping[ObjectId, Commented]) -> None:
        if len(self._post_authors) > MAX_KNOWN_AUTHORS:
            self._post_authors.clear()
        self._post_authors |= {post_id: post.author_id for post_id, post in posts.items() if post.author_id}

    async def _read(self, targets: Sequence[CommentTarget]) -> ContextData:
        return ContextData(
            *await asyncio.gather(
                self._posts.commented({target.post_id for target in targets}),
                self._comments.parents({(target.post_id, target.parent_id) for target in targets if target.parent_id}),
                self._profiles.profiles({str(target.author_id) for target in targets}),
            )
        )
