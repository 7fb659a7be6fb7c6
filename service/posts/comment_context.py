"""What a comment stands on: its post, its parent and its author, read at once for all who come together."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from bson import ObjectId

from service.common.errors import NotFound, ValidationFailed
from service.common.profiles import Profile, Profiles, profile_of
from service.datastores.batcher import BATCH_TIMEOUT, Batcher
from service.datastores.mongo import Document
from service.posts.comment_store import CommentStore, Parent
from service.posts.post_store import PostStore


class CommentContext(NamedTuple):
    """`author` is the comment's. The others are None where there is nobody, or nobody any more."""

    author: Profile
    post_author: ObjectId | None
    parent_author: ObjectId | None


class CommentTarget(NamedTuple):
    """Where a comment is or is to be, and whose it is."""

    post_id: ObjectId
    parent_id: ObjectId | None
    author_id: ObjectId


class ContextData(NamedTuple):
    """What was found of the posts, the parents and the authors that were asked for."""

    posts: Mapping[ObjectId, ObjectId | None]
    parents: Mapping[ObjectId, Parent]
    profiles: Mapping[str, Profile]

    def context_of(self, place: CommentTarget) -> CommentContext:
        parent = self.parents.get(place.parent_id) if place.parent_id else None
        author = profile_of(str(place.author_id), self.profiles)
        return CommentContext(author, self.posts.get(place.post_id), parent.author_id if parent else None)

    def validate(self, place: CommentTarget) -> CommentContext | Exception:
        """The context of a comment that is to be there, or why it cannot be."""
        if place.post_id not in self.posts:
            return NotFound()
        if place.parent_id:
            parent = self.parents.get(place.parent_id)
            if parent is None or parent.post_id != place.post_id:
                return ValidationFailed.of("parent_id", "The post has no such comment.")
        return self.context_of(place)


class CommentContextLoader:
    """Finds out what comments stand on, as the database has it now: in three reads at most, however many they are."""

    def __init__(self, posts: PostStore, comments: CommentStore, profiles: Profiles) -> None:
        self._posts = posts
        self._comments = comments
        self._profiles = profiles
        # Those who come while one look is out share the next one.
        self._loads: Batcher[CommentTarget, CommentContext] = Batcher(self._load, timeout=BATCH_TIMEOUT)

    def load(self, author_id: str, post_id: str, parent_id: str | None) -> asyncio.Future[CommentContext]:
        """For a comment that is to be. Raises Unavailable, here or from the future; the future also NotFound, for the
        post, and ValidationFailed, for `parent_id`."""
        parent = ObjectId(parent_id) if parent_id else None
        return self._loads.submit(CommentTarget(ObjectId(post_id), parent, ObjectId(author_id)))

    async def load_stored(self, comments: Iterable[Document]) -> list[CommentContext]:
        """Of each of these. Raises Unavailable."""
        places = [CommentTarget(comment["post_id"], comment["parent_id"], comment["author_id"]) for comment in comments]
        ground = await self._read(places)
        return [ground.context_of(place) for place in places]

    async def close(self) -> None:
        await self._loads.close()

    async def _load(self, places: Sequence[CommentTarget]) -> list[CommentContext | Exception]:
        ground = await self._read(places)
        return [ground.validate(place) for place in places]

    async def _read(self, places: Sequence[CommentTarget]) -> ContextData:
        return ContextData(
            *await asyncio.gather(
                self._posts.authors({place.post_id for place in places}),
                self._comments.parents({place.parent_id for place in places if place.parent_id}),
                self._profiles.profiles({str(place.author_id) for place in places}),
            )
        )
