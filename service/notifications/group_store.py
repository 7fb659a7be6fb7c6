"""The store of groups: what is known of a user's notifications of one type about one thing."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from bson import ObjectId
from pymongo import UpdateOne
from pymongo.errors import BulkWriteError

from service.datastores.find_by_ids import in_lists
from service.datastores.mongo import Database, Document, only_duplicates, unavailable
from service.datastores.numbered_ranges import descending
from service.notifications.group import MAX_AGE, Group, group_fields, stored_group

BATCH_SIZE = 500
"""Documents per delete."""


class NotificationGroupStore:
    """`notification_groups`: `{user_id, subject, first, first_at, seq, seqs_from, seqs, senders, sender_hashes,
    grouped_up_to, senders_stale, revision}`: a Group, where `seq` is its highest number. Methods raise Unavailable."""

    def __init__(self, database: Database) -> None:
        self._groups = database["notification_groups"]

    async def create_indexes(self) -> None:
        await self._groups.create_index([("user_id", 1), ("subject", 1), ("first", 1)], unique=True)
        await self._groups.create_index([("user_id", 1), ("seq", 1)])

    async def taking(self, user_id: str, subjects: Collection[str], moment: datetime) -> list[Group]:
        """Return the groups of these subjects that can take a notification made at `moment` or later."""
        return await self._find(user_id, {"subject": {"$in": list(subjects)}, "first_at": {"$gte": moment - MAX_AGE}})

    async def of_subjects(self, user_id: str, subjects: Collection[str], above: int) -> list[Group]:
        """Return the groups of these subjects that have a number above `above`."""
        return await self._find(user_id, {"subject": {"$in": list(subjects)}, "seq": {"$gt": above}})

    async def one(self, user_id: str, subject: str, first: int) -> Group | None:
        """Return the group with this key, or None."""
        found = await self._find(user_id, {"subject": subject, "first": first})
        return found[0] if found else None

    async def newest(self, user_id: str, below: int, limit: int) -> list[Group]:
        """Return the `limit` groups with the highest numbers below `below`, descending."""

        async def read(low: int, high: int, limit: int) -> list[Document]:
            where = {"user_id": ObjectId(user_id), "seq": {"$gte": low, "$lte": high}}
            async with unavailable():
                return await self._groups.find(where).limit(limit).to_list(limit)

        return [stored_group(document) for document in await descending(read, "seq", below, limit)]

    async def put(self, user_id: str, groups: Sequence[Group]) -> bool:
        """Store groups that are new or have changed, at least one. Return whether all are as given: False if another
        process has changed some of them since they were read. Those are left as they are."""
        writes = []
        for group in groups:
            where: Document = {"user_id": ObjectId(user_id), "subject": group.subject, "first": group.first}
            if group.revision:
                where["revision"] = group.revision
                writes.append(UpdateOne(where, {"$set": group_fields(group), "$inc": {"revision": 1}}))
            else:
                new = {"$setOnInsert": {**group_fields(group), "revision": 1}}
                writes.append(UpdateOne(where, new, upsert=True))
        async with unavailable():
            try:
                result = await self._groups.bulk_write(writes, ordered=False)
            except BulkWriteError as error:
                if not only_duplicates(error):
                    raise
                # Two upserts at the same time: the other one was first.
                return False
        created = len(result.upserted_ids or {})
        return bool(created + result.modified_count == len(groups))

    async def delete(self, user_id: str, group: Group) -> None:
        """Delete a group that has no notifications any more, unless it has got new ones."""
        where = {"user_id": ObjectId(user_id), "subject": group.subject, "first": group.first}
        async with unavailable():
            await self._groups.delete_one(where | {"revision": group.revision})

    async def delete_all(self, user_id: str) -> None:
        """Delete all groups of a user."""
        async with unavailable():
            await self._groups.delete_many({"user_id": ObjectId(user_id)})

    async def expire(self, before: datetime) -> int:
        """Delete a batch of groups all of whose notifications were made before `before`. Returns their number."""
        # They are stored later than their first notification is made, and have none that is older than MAX_AGE then.
        where = {"_id": {"$lt": ObjectId.from_datetime(before - MAX_AGE)}, "first_at": {"$lt": before - MAX_AGE}}
        async with unavailable():
            found = await self._groups.find(where, {"user_id": 1}).to_list(BATCH_SIZE)
            if found:
                places = [(document["user_id"], document["_id"]) for document in found]
                await self._groups.delete_many(in_lists("user_id", places))
        return len(found)

    async def _find(self, user_id: str, where: dict[str, Any]) -> list[Group]:
        async with unavailable():
            return [
                stored_group(document) async for document in self._groups.find({"user_id": ObjectId(user_id), **where})
            ]
