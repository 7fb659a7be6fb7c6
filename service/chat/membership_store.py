"""The store of memberships: one document for each user of a large group, and for each who has left one."""

from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import datetime

from bson import ObjectId
from pymongo import IndexModel, UpdateOne
from pymongo.errors import BulkWriteError

from service.common.errors import Unavailable
from service.datastores.batcher import BATCH_TIMEOUT, Batcher
from service.datastores.find_by_ids import IDS_PER_READ
from service.datastores.mongo import Database, Document, only_duplicates, unavailable, update_all

PRESENT: Document = {"place": {"$gte": 0}}
"""Memberships of participants; those of users who have left have no place."""
MAX_INSERT = 500
"""Documents in one insert: 0.1 s of the embedded server, for which others wait."""


class MembershipStore:
    """`memberships`: which users are in which large groups (see LargeGroups), with what differs between them.

    `place` is the place in the order of joining: unique in a group, ascending, with gaps where users have left.
    `joined_at` is when the user joined; `read` the seq they have read up to, and `start` the seq after which they see
    the messages, unless these are 0. Who has left keeps a document without these: with `removed_at`, the time of the
    removal, or None if they left by themselves. `version` is the version of the conversation that has last added or
    removed the user: a process that applies an old change late (see LargeGroups) does not undo a newer one.

    All methods raise Unavailable.
    """

    def __init__(self, database: Database) -> None:
        self._collection = database["memberships"]
        # Requests that list conversations at the same time share a read: most users are in no large group.
        self._reads: Batcher[ObjectId, list[Document]] = Batcher(
            self._of_each, max_batch=IDS_PER_READ, timeout=BATCH_TIMEOUT
        )

    async def create_indexes(self) -> None:
        await self._collection.create_indexes(
            [
                IndexModel([("user_id", 1), ("conversation_id", 1)], unique=True),
                IndexModel([("conversation_id", 1), ("place", 1)]),
                IndexModel([("conversation_id", 1), ("version", 1)]),
            ]
        )

    async def find(self, conversation_id: ObjectId, user_id: ObjectId) -> Document | None:
        """Return the membership of a user who is a participant, or else None."""
        async with unavailable():
            found: Document | None = await self._collection.find_one(
                {"user_id": user_id, "conversation_id": conversation_id, **PRESENT}
            )
        return found

    async def of_group(self, conversation_id: ObjectId, user_ids: Iterable[ObjectId]) -> dict[ObjectId, Document]:
        """Return the memberships in one group of those of the users who are or have been participants."""
        found = [each async for each in self._of_users(user_ids, {"conversation_id": conversation_id})]
        return {membership["user_id"]: membership for membership in found}

    async def of_users(self, user_ids: Iterable[ObjectId]) -> list[Document]:
        """Return the memberships of all these users in all groups in which they are participants."""
        return [each async for each in self._of_users(user_ids, PRESENT)]

    async def of_user(self, user_id: ObjectId) -> list[Document]:
        """Like `of_users`, for one user, in one read with those of others that are asked for at the same time."""
        return await self._reads.submit(user_id)

    async def _of_each(self, user_ids: Sequence[ObjectId]) -> list[list[Document]]:
        found: defaultdict[ObjectId, list[Document]] = defaultdict(list)
        for membership in await self.of_users(set(user_ids)):
            found[membership["user_id"]].append(membership)
        return [found[user_id] for user_id in user_ids]

    async def of_groups(self, user_id: ObjectId, conversation_ids: Iterable[ObjectId]) -> list[Document]:
        """Return the memberships of a user in those of the groups in which they are a participant."""
        remaining, found = list(conversation_ids), list[Document]()
        async with unavailable():
            for first in range(0, len(remaining), IDS_PER_READ):
                groups = {"$in": remaining[first : first + IDS_PER_READ]}
                where = {"user_id": user_id, "conversation_id": groups, **PRESENT}
                found += await self._collection.find(where).to_list(None)
        return found

    async def _of_users(self, user_ids: Iterable[ObjectId], where: Document) -> AsyncIterator[Document]:
        remaining = list(user_ids)
        async with unavailable():
            for first in range(0, len(remaining), IDS_PER_READ):
                users = {"$in": remaining[first : first + IDS_PER_READ]}
                for membership in await self._collection.find({"user_id": users, **where}).to_list(None):
                    yield membership

    async def all(self, conversation_id: ObjectId) -> list[Document]:
        """Return the memberships of all participants of a group, in the order of joining."""
        fields = {"_id": 0, "user_id": 1, "place": 1, "read": 1, "start": 1}
        async with unavailable():
            cursor = self._collection.find({"conversation_id": conversation_id, **PRESENT}, fields)
            found: list[Document] = await cursor.to_list(None)
        return sorted(found, key=_place)

    async def changed(self, conversation_id: ObjectId, version: int) -> list[Document]:
        """Return the memberships that were added or removed after that version of the group, in the order of joining;
        first those of users who have left."""
        async with unavailable():
            found: list[Document] = await self._collection.find(
                {"conversation_id": conversation_id, "version": {"$gt": version}}
            ).to_list(None)
        return sorted(found, key=_place)

    async def page(self, conversation_id: ObjectId, first: int, end: int, limit: int) -> list[Document]:
        """Return the first `limit` participants of a group with `first` ≤ place < `end`, in the order of joining.

        Reads ranges: the embedded server reads all that match, and then takes the first ones.
        """
        found: list[Document] = []
        width = limit
        while first < end and len(found) < limit:
            span = {"$gte": first, "$lt": min(end, first + width)}
            async with unavailable():
                part = await self._collection.find({"conversation_id": conversation_id, "place": span}).to_list(None)
            found += sorted(part, key=_place)
            first += width
            # Many of the first ones may have left.
            width = min(width * 2, 10 * limit)
        return found[:limit]

    async def mark_read(self, conversation_id: ObjectId, user_id: ObjectId, seq: int) -> bool | None:
        """Raise the read mark of a participant; return whether that changed it, or None if they are none."""
        async with unavailable():
            result = await self._collection.update_one(
                {"user_id": user_id, "conversation_id": conversation_id, **PRESENT}, {"$max": {"read": seq}}
            )
        return bool(result.modified_count) if result.matched_count else None

    async def raise_reads(self, reads: Mapping[ObjectId, Mapping[str, int]]) -> None:
        """Raise the read marks of participants: by conversation and user. Others get none."""
        updates = [
            UpdateOne(
                {"user_id": ObjectId(user_id), "conversation_id": conversation_id, **PRESENT}, {"$max": {"read": seq}}
            )
            for conversation_id, marks in reads.items()
            for user_id, seq in marks.items()
        ]
        if updates:
            await update_all(self._collection, updates)

    async def insert(self, conversation_id: ObjectId, version: int, memberships: Sequence[Document]) -> None:
        """Store memberships ({user_id, place, joined_at, …}) of the change that led to `version`. Idempotent.

        Replaces those of users who had left before.
        """
        for first in range(0, len(memberships), MAX_INSERT):
            part = [
                {"_id": ObjectId(), "conversation_id": conversation_id, "version": version, **membership}
                for membership in memberships[first : first + MAX_INSERT]
            ]
            for index in await self._insert_new(part):
                membership = {name: part[index][name] for name in part[index] if name != "_id"}
                change: Document = {"$set": membership}
                if "removed_at" not in membership:
                    change["$unset"] = {"removed_at": ""}
                await self._change(membership, change)

    async def _insert_new(self, documents: list[Document]) -> list[int]:
        """Insert those that do not exist; return the indexes of the others."""
        try:
            async with unavailable():
                await self._collection.insert_many(documents, ordered=False)
        except BulkWriteError as error:
            if not only_duplicates(error):
                raise Unavailable("The database cannot do this just now.") from error
            return [each["index"] for each in error.details["writeErrors"]]
        return []

    async def end(
        self, conversation_id: ObjectId, user_id: ObjectId, version: int, removed_at: datetime | None
    ) -> None:
        """End a membership by the change that led to `version`. Idempotent."""
        changed = {"user_id": user_id, "conversation_id": conversation_id, "version": version}
        gone = dict.fromkeys(("place", "joined_at", "read", "start"), "")
        await self._change(changed, {"$set": {"version": version, "removed_at": removed_at}, "$unset": gone})

    async def clear(self, conversation_id: ObjectId, user_id: ObjectId, version: int, start: int) -> None:
        """Raise `start` of a membership by the change that led to `version`. Idempotent."""
        changed = {"user_id": user_id, "conversation_id": conversation_id, "version": version}
        await self._change(changed, {"$set": {"version": version}, "$max": {"start": start}})

    async def _change(self, membership: Document, change: Document) -> None:
        where = {name: membership[name] for name in ("user_id", "conversation_id")}
        async with unavailable():
            await self._collection.update_one({**where, "version": {"$lt": membership["version"]}}, change)

    async def forget(self, user_id: ObjectId) -> None:
        """Erase that `user_id`, who is being deleted, has been in any group."""
        async with unavailable():
            await self._collection.delete_many({"user_id": user_id, "place": {"$exists": False}})


def _place(membership: Document) -> int:
    place: int = membership.get("place", -1)
    return place
