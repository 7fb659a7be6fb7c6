"""When each user was last online."""

from collections.abc import Collection
from datetime import datetime

from bson import ObjectId
from pymongo import UpdateOne

from service.datastores.find_by_ids import find_by_ids
from service.datastores.mongo import Database, unavailable, update_all


class LastSeenStore:
    """`last_seen`: one document a user, by user id; the later time stays."""

    def __init__(self, database: Database) -> None:
        self._collection = database["last_seen"]

    async def create_indexes(self) -> None:
        """The times are only ever found by their user."""

    async def record(self, user_ids: Collection[str], moment: datetime) -> None:
        """Raises Unavailable."""
        updates = [UpdateOne({"_id": ObjectId(user_id)}, {"$max": {"at": moment}}, upsert=True) for user_id in user_ids]
        await update_all(self._collection, updates)

    async def forget(self, user_id: str) -> None:
        """Raises Unavailable."""
        async with unavailable():
            await self._collection.delete_one({"_id": ObjectId(user_id)})

    async def look_up(self, user_ids: Collection[str]) -> dict[str, datetime]:
        """The times of those that have been online. Raises Unavailable."""
        found = await find_by_ids(self._collection, map(ObjectId, user_ids))
        return {str(document["_id"]): document["at"] for document in found}
