"""Posts and comments as a user sees them: with their authors, and with what this user has done to them."""

import asyncio
from collections.abc import Mapping, Sequence

from bson import ObjectId

from service.attachments.attachments import Attachments
from service.attachments.models import Attachment
from service.common.profiles import Profile, Profiles, profile_of
from service.datastores.mongo import Document
from service.posts.models import Comment, Post
from service.posts.mute_store import MuteStore
from service.posts.post_store import comment_count_of
from service.posts.reaction_store import TOTALS, ReactionStore


class PostViews:
    """Makes posts and comments of stored documents: a whole list with one read of each kind. Raises Unavailable."""

    def __init__(
        self, profiles: Profiles, mutes: MuteStore, reactions: ReactionStore, attachments: Attachments
    ) -> None:
        self._profiles = profiles
        self._mutes = mutes
        self._reactions = reactions
        self._attachments = attachments

    async def posts(self, viewer: str, documents: Sequence[Document]) -> list[Post]:
        """Return the posts as the user `viewer` sees them, in the same order."""
        if not documents:
            return []
        profiles, muted, own = await asyncio.gather(
            self._authors(documents),
            self._mutes.muted(viewer, [document["_id"] for document in documents]),
            self._own_reactions(viewer, documents),
        )
        return [
            self.new_post(document, profiles, muted=document["_id"] in muted, my_reactions=own.get(document["_id"], ()))
            for document in documents
        ]

    async def comments(self, viewer: str, documents: Sequence[Document]) -> list[Comment]:
        """Return the comments as the user `viewer` sees them, in the same order."""
        if not documents:
            return []
        profiles, own = await asyncio.gather(self._authors(documents), self._own_reactions(viewer, documents))
        return [
            self.new_comment(document, _author(document, profiles), my_reactions=own.get(document["_id"], ()))
            for document in documents
        ]

    def new_post(
        self,
        document: Document,
        profiles: Mapping[str, Profile],
        *,
        muted: bool = False,
        my_reactions: Sequence[str] = (),
    ) -> Post:
        """Return a post of which nothing is known but its document and its author: one that has just been stored."""
        return Post(
            id=str(document["_id"]),
            author=_author(document, profiles),
            content=document["content"],
            attachments=[] if "deleted_at" in document else self._attachments_of(document),
            comment_count=comment_count_of(document),
            reactions=document.get(TOTALS, {}),
            my_reactions=list(my_reactions),
            muted=muted,
            created_at=document["created_at"],
            edited_at=document.get("edited_at"),
        )

    def new_comment(self, document: Document, author: Profile, *, my_reactions: Sequence[str] = ()) -> Comment:
        """Like `new_post`, for a comment."""
        deleted = "deleted_at" in document
        return Comment(
            id=str(document["_id"]),
            post_id=str(document["post_id"]),
            parent_id=str(document["parent_id"]) if document["parent_id"] else None,
            author=author,
            content=document["content"],
            # They are being deleted.
            attachments=[] if deleted else self._attachments_of(document),
            # Somebody may have stored a sum just after the deletion.
            reactions={} if deleted else document.get(TOTALS, {}),
            my_reactions=[] if deleted else list(my_reactions),
            created_at=document["created_at"],
            edited_at=document.get("edited_at"),
            deleted=deleted,
        )

    def _attachments_of(self, document: Document) -> list[Attachment]:
        return [Attachment(**each) for each in self._attachments.as_json(document)]

    async def _own_reactions(self, viewer: str, documents: Sequence[Document]) -> Mapping[ObjectId, Sequence[str]]:
        return await self._reactions.own(viewer, [document["_id"] for document in documents if document.get(TOTALS)])

    async def _authors(self, documents: Sequence[Document]) -> Mapping[str, Profile]:
        return await self._profiles.profiles({str(document["author_id"]) for document in documents})


def _author(document: Document, profiles: Mapping[str, Profile]) -> Profile:
    return profile_of(str(document["author_id"]), profiles)
