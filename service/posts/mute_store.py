"""The store of muted posts: who is not notified of which post."""

from collections.abc import Collection, Iterable
from contextlib import suppress

from bson import ObjectId
from pymongo.errors import DuplicateKeyError

from service.common.ids import derived_id
from service.datastores.find_by_ids import find_in_lists
from service.datastores.mongo import Collection as MongoCollection
from service.datastores.mongo import Database, Document, unavailable

Mute = tuple[ObjectId, ObjectId]
"""A user, and a post that they have muted."""


class MuteStore:
    """`post_mutes`: `{_id, user_id, post_id}`. `_id` is derived from both: there is one document for each pair, and any
    number of pairs is looked up by ids. All methods raise Unavailable."""

    def __init__(self, database: Database) -> None:
        self._mutes: MongoCollection = database["post_mutes"]

    async def create_indexes(self) -> None:
        # For the deletion of a user.
        await self._mutes.create_index("user_id")

    async def add(self, user_id: str, post_id: str) -> None:
        """Store that the user has muted the post; they may have before."""
        mute = (ObjectId(user_id), ObjectId(post_id))
        async with unavailable():
            with suppress(DuplicateKeyError):
                await self._mutes.insert_one({**_place(mute), "post_id": mute[1]})

    async def remove(self, user_id: str, post_id: str) -> None:
        """Remove the mute, if it exists."""
        async with unavailable():
            await self._mutes.delete_one(_place((ObjectId(user_id), ObjectId(post_id))))

    async def existing(self, mutes: Iterable[Mute]) -> set[Mute]:
        """Return those of `mutes` that exist, with one read for a few dozen of them."""
        places = {(mute[0], _id(mute)): mute for mute in mutes}
        if not places:
            return set()
        found = await find_in_lists(self._mutes, "user_id", places, {"_id": True})
        return {places[document["user_id"], document["_id"]] for document in found}

    async def muted(self, user_id: str, post_ids: Collection[ObjectId]) -> set[ObjectId]:
        """Return those of the posts that the user has muted."""
        user = ObjectId(user_id)
        return {post_id for _, post_id in await self.existing((user, post_id) for post_id in post_ids)}

    async def remove_all(self, user_id: str) -> None:
        """Remove the mutes of a user who is being deleted."""
        async with unavailable():
            await self._mutes.delete_many({"user_id": ObjectId(user_id)})


def _place(mute: Mute) -> Document:
    return {"_id": _id(mute), "user_id": mute[0]}


def _id(mute: Mute) -> ObjectId:
    return derived_id(f"mute:{mute[0]}:{mute[1]}")
