"""The store of blocks: who blocks whom."""

from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from typing import NamedTuple

from bson import ObjectId
from pymongo import ASCENDING, DESCENDING
from pymongo.errors import DuplicateKeyError

from service.common.blocks import Block
from service.common.errors import ValidationFailed
from service.common.ids import derived_id
from service.common.times import now
from service.datastores.find_by_ids import find_in_lists
from service.datastores.mongo import Collection, Database, Document, unavailable

MAX_BLOCKS = 1000
"""Users whom one user blocks. A page of posts is read without all of these, who are in its query."""
ORDER = [("created_at", DESCENDING), ("_id", DESCENDING)]


class BlockRow(NamedTuple):
    """One row of a user's list. `key` is its sort key."""

    blocked_id: str
    created_at: datetime
    key: tuple[datetime, ObjectId]


class BlockStore:
    """`blocks`: `{_id, user_id, blocked_id, created_at}`. Implements `service.common.blocks.Blocks`.

    `_id` is derived from both users, so there is one document for each pair, and any number of pairs is looked up by
    ids. All methods raise Unavailable.
    """

    def __init__(self, database: Database) -> None:
        self._blocks: Collection = database["blocks"]

    async def create_indexes(self) -> None:
        await self._blocks.create_index([("user_id", ASCENDING), *ORDER])
        # For the deletion of a user.
        await self._blocks.create_index("blocked_id")

    async def add(self, user_id: str, blocked_id: str) -> None:
        """Store that `user_id` blocks `blocked_id`; the block may exist.

        Raises ValidationFailed (`user_id`) if the user blocks MAX_BLOCKS others. Concurrent requests may exceed that by
        their number.
        """
        place = _place(user_id, blocked_id)
        async with unavailable():
            if await self._blocks.count_documents({"user_id": place["user_id"], "_id": {"$ne": place["_id"]}}) >= (
                MAX_BLOCKS
            ):
                raise ValidationFailed.of("user_id", f"A user blocks at most {MAX_BLOCKS} others.")
            with suppress(DuplicateKeyError):
                await self._blocks.insert_one({**place, "blocked_id": ObjectId(blocked_id), "created_at": now()})

    async def remove(self, user_id: str, blocked_id: str) -> None:
        """Remove the block, if it exists."""
        async with unavailable():
            await self._blocks.delete_one(_place(user_id, blocked_id))

    async def page(self, user_id: str, limit: int, before: tuple[datetime, ObjectId] | None = None) -> list[BlockRow]:
        """Return the `limit` latest blocks of `user_id`, or of those behind the sort key `before`."""
        where: Document = {"user_id": ObjectId(user_id)}
        if before:
            moment, last = before
            where["$or"] = [{"created_at": {"$lt": moment}}, {"created_at": moment, "_id": {"$lt": last}}]
        async with unavailable():
            found = await self._blocks.find(where).sort(ORDER).limit(limit).to_list(limit)
        return [
            BlockRow(str(document["blocked_id"]), document["created_at"], (document["created_at"], document["_id"]))
            for document in found
        ]

    async def existing(self, blocks: Iterable[Block]) -> set[Block]:
        places = {(ObjectId(block.user_id), _id(*block)): block for block in blocks}
        if not places:
            return set()
        found = await find_in_lists(self._blocks, "user_id", places, {"_id": True})
        return {places[document["user_id"], document["_id"]] for document in found}

    async def blocked_by(self, user_id: str) -> set[str]:
        async with unavailable():
            found = await self._blocks.find({"user_id": ObjectId(user_id)}, {"blocked_id": True}).to_list(None)
        return {str(document["blocked_id"]) for document in found}

    async def concerned_by(self, user_id: str) -> set[str]:
        """Return everyone whom the user blocks, and everyone who blocks the user. For the deletion of the user."""
        async with unavailable():
            found = await self._blocks.find({"blocked_id": ObjectId(user_id)}, {"user_id": True}).to_list(None)
        return {str(document["user_id"]) for document in found} | await self.blocked_by(user_id)


def _place(user_id: str, blocked_id: str) -> Document:
    return {"_id": _id(user_id, blocked_id), "user_id": ObjectId(user_id)}


def _id(user_id: str, blocked_id: str) -> ObjectId:
    return derived_id(f"block:{user_id}:{blocked_id}")
