"""The store of the times at which users were last online."""

from collections.abc import Collection
from datetime import datetime

from bson import ObjectId
from pymongo import UpdateOne

from service.datastores.find_by_ids import find_by_ids
from service.datastores.mongo import Database, unavailable, update_all


class LastSeenStore:
    """`last_seen`: one document for each user, with the user id as its id; the latest time wins."""

    def __init__(self, database: Database) -> None:
        self._collection = database["last_seen"]

    async def create_indexes(self) -> None:
        """None: documents are found by their ids."""

    async def record(self, user_ids: Collection[str], moment: datetime) -> None:
        """Record that these users were online at `moment`. Raises Unavailable."""
        updates = [UpdateOne({"_id": ObjectId(user_id)}, {"$max": {"at": moment}}, upsert=True) for user_id in user_ids]
        await update_all(self._collection, updates)

    async def delete(self, user_id: str) -> None:
        """Forget when this user was online. Raises Unavailable."""
        async with unavailable():
            await self._collection.delete_one({"_id": ObjectId(user_id)})

    async def look_up(self, user_ids: Collection[str]) -> dict[str, datetime]:
        """Return the times of those users that have ever been online. Raises Unavailable."""
        found = await find_by_ids(self._collection, map(ObjectId, user_ids))
        return {str(document["_id"]): document["at"] for document in found}
