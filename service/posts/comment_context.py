"""The context of a comment: the authors of the comment, its post and its parent, read together for several comments."""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from bson import ObjectId

from service.common.blocks import Block
from service.common.errors import NotFound, ValidationFailed
from service.common.profiles import Profile, Profiles, profile_of
from service.datastores.batcher import BATCH_TIMEOUT, Batcher
from service.datastores.find_by_ids import Place
from service.datastores.mongo import Document
from service.posts.comment_caches import CommentCaches
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

    def blocks_of(self, target: CommentTarget) -> set[Block]:
        """Return the blocks for which the post, or the parent, does not exist for who comments."""
        return {block for block in self._blocks_of(target) if block.user_id != block.blocked_id}

    def _blocks_of(self, target: CommentTarget) -> tuple[Block, Block]:
        """Return the block of the post, and that of the parent. Nobody blocks themselves: that stands for nobody."""
        author = str(target.author_id)
        context = self.context_of(target)
        return Block(author, str(context.post_author or author)), Block(author, str(context.parent_author or author))

    def validate(self, target: CommentTarget, blocked: Collection[Block]) -> CommentContext | Exception:
        """Return the context of a new comment, or the reason why it is refused. `blocked`: those of `blocks_of` that
        exist."""
        post = self.posts.get(target.post_id)
        by_post, by_parent = self._blocks_of(target)
        if post is None or not post.exists or by_post in blocked:
            return NotFound()
        if target.parent_id:
            parent = self.parents.get(target.parent_id)
            if parent is None or not parent.exists or parent.post_id != target.post_id or by_parent in blocked:
                return ValidationFailed.of("parent_id", "The post has no such comment.")
        return self.context_of(target)


class CommentContextLoader:
    """Loads the contexts of comments. What somebody whom the author blocks has written does not exist for them.

    Those of new comments are made of what this process knows, or is read in at most five reads for any number of
    comments. A post's author never changes, so the blocks between them and those who comment are read together with the
    rest once the author is known.
    """

    def __init__(self, caches: CommentCaches, posts: PostStore, comments: CommentStore, profiles: Profiles) -> None:
        self._caches = caches
        self._posts = posts
        self._comments = comments
        self._profiles = profiles
        self._post_authors: dict[ObjectId, ObjectId] = {}
        # Requests that arrive during a load share the next one.
        self._loads: Batcher[CommentTarget, CommentContext] = Batcher(self._load, timeout=BATCH_TIMEOUT)

    async def load(self, author_id: str, post_id: str, parent_id: str | None) -> CommentContext:
        """Return the context of a new comment.

        Raises NotFound if the post does not exist, ValidationFailed if `parent_id` is not a comment of the post, and
        Unavailable.
        """
        parent = ObjectId(parent_id) if parent_id else None
        target = CommentTarget(ObjectId(post_id), parent, ObjectId(author_id))
        context = self._known(target) or await self._loads.submit(target)
        if isinstance(context, Exception):
            raise context
        return context

    async def load_stored(self, comments: Iterable[Document]) -> list[CommentContext]:
        """Read the present contexts of stored comments, in the same order. Raises Unavailable."""
        targets = [
            CommentTarget(comment["post_id"], comment["parent_id"], comment["author_id"]) for comment in comments
        ]
        data = ContextData(
            *await asyncio.gather(
                self._posts.commented(_posts(targets)),
                self._comments.parents(_parents(targets)),
                self._profiles.profiles(_authors(targets)),
            )
        )
        return [data.context_of(target) for target in targets]

    async def close(self) -> None:
        await self._loads.close()

    def _known(self, target: CommentTarget) -> CommentContext | Exception | None:
        caches = self._caches
        posts, parents, profiles = (
            caches.posts.known([target.post_id]),
            caches.parents.known(_parents([target])),
            caches.profiles.known([str(target.author_id)]),
        )
        if posts is None or parents is None or profiles is None:
            return None
        data = ContextData(posts, _by_comment(parents), profiles)
        blocked = caches.blocks.known(data.blocks_of(target))
        return None if blocked is None else data.validate(target, blocked)

    async def _load(self, targets: Sequence[CommentTarget]) -> list[CommentContext | Exception]:
        expected = {
            Block(str(target.author_id), str(author))
            for target in targets
            if (author := self._post_authors.get(target.post_id)) and author != target.author_id
        }
        caches = self._caches
        posts, parents, profiles, blocked = await asyncio.gather(
            caches.posts.get(_posts(targets)),
            caches.parents.get(_parents(targets)),
            caches.profiles.get(_authors(targets)),
            caches.blocks.existing(expected),
        )
        data = ContextData(posts, _by_comment(parents), profiles)
        wanted = set[Block]().union(*map(data.blocks_of, targets))
        if further := wanted - expected:
            blocked = blocked | await caches.blocks.existing(further)
        self._remember_authors(posts)
        return [data.validate(target, blocked) for target in targets]

    def _remember_authors(self, posts: Mapping[ObjectId, Commented]) -> None:
        if len(self._post_authors) > MAX_KNOWN_AUTHORS:
            self._post_authors.clear()
        self._post_authors |= {post_id: post.author_id for post_id, post in posts.items() if post.author_id}


def _posts(targets: Iterable[CommentTarget]) -> set[ObjectId]:
    return {target.post_id for target in targets}


def _parents(targets: Iterable[CommentTarget]) -> set[Place]:
    return {(target.post_id, target.parent_id) for target in targets if target.parent_id}


def _authors(targets: Iterable[CommentTarget]) -> set[str]:
    return {str(target.author_id) for target in targets}


def _by_comment(parents: Mapping[Place, Parent]) -> dict[ObjectId, Parent]:
    return {comment_id: parent for (_, comment_id), parent in parents.items()}
