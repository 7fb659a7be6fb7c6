"""Which conversation is the direct one of two users: its id is derived from theirs, so no index has to find it."""

from collections.abc import Iterable, Sequence

from bson import ObjectId
from pymongo.errors import DuplicateKeyError

from service.chat.barrier import BARRIER, BLOCKED_BY
from service.chat.group_change import versioned
from service.common.errors import Unavailable
from service.common.ids import derived_id
from service.datastores.find_by_ids import find_by_ids
from service.datastores.migrations import Migrations
from service.datastores.mongo import Database, Document, insert_missing, unavailable
from service.datastores.old_index import OldIndex
from service.datastores.scan import scan

OLD_INDEX = "direct_key_1"
"""The unique index of `conversations` in earlier versions, over both user ids as text."""


class DirectConversations:
    """`direct_conversations`: `{_id, conversation_id}` for each conversation of an earlier version, which keeps the id
    that it got at random. `_id` is the derived id.

    While processes of such a version run, they go on creating those, with a `direct_key` under OLD_INDEX. So do new
    ones get a `direct_key` until then: the index keeps both versions from creating two for the same users.
    All methods raise Unavailable.
    """

    def __init__(self, database: Database) -> None:
        self._conversations = database["conversations"]
        self._earlier = database["direct_conversations"]
        self._migrations = Migrations(database)
        self.old_index = OldIndex(self._conversations, OLD_INDEX)

    async def ids(self, user_id: ObjectId, others: Iterable[ObjectId]) -> list[ObjectId]:
        """Return the ids of the direct conversations of `user_id` with each of the others, if they exist."""
        derived = {derived_id(_key(user_id, other)) for other in others}
        earlier = await find_by_ids(self._earlier, derived)
        return [*derived.difference(each["_id"] for each in earlier), *(each["conversation_id"] for each in earlier)]

    async def insert(self, document: Document, one: ObjectId, other: ObjectId) -> tuple[Document, bool]:
        """Store a new conversation under the id of the two users; return it and True, or the existing one and False."""
        key = _key(one, other)
        [conversation_id] = await self.ids(one, [other])
        if conversation_id == derived_id(key):
            document = {**document, "_id": conversation_id}
            if await self.old_index.exists():
                document["direct_key"] = key
            async with unavailable():
                try:
                    await self._conversations.insert_one(document)
                except DuplicateKeyError:
                    pass
                else:
                    return document, True
        async with unavailable():
            found: Document | None = await self._conversations.find_one({"_id": conversation_id})
        return found or await self._find_unrecorded(key), False

    async def find(self, one: ObjectId, other: ObjectId) -> Document | None:
        """Return the direct conversation of two users, or None."""
        [conversation_id] = await self.ids(one, [other])
        async with unavailable():
            found: Document | None = await self._conversations.find_one({"_id": conversation_id})
        return found

    async def set_blocked(self, document: Document, blockers: Sequence[ObjectId]) -> None:
        """Store who of its users blocks the other, under a new barrier, unless the conversation has changed since."""
        fields = {BLOCKED_BY: list(blockers), BARRIER: ObjectId()}
        change: Document = {"$set": fields} if blockers else {"$unset": dict.fromkeys(fields, "")}
        async with unavailable():
            await self._conversations.update_one(
                {"_id": document["_id"], "version": document.get("version")}, versioned(change)
            )

    async def partners_with_barrier(self, user_id: ObjectId) -> list[ObjectId]:
        """Return the other users of the direct conversations of `user_id` that have a barrier."""
        async with unavailable():
            where = {"participants": user_id, BARRIER: {"$exists": True}}
            found = await self._conversations.find(where, {"participants": 1}).to_list(None)
        return [other for document in found for other in document["participants"] if other != user_id]

    async def carry_over(self) -> None:
        """Record the conversations that processes of an earlier version have created. Idempotent."""
        if not await self.old_index.exists():
            return
        async with self._migrations.run("direct_conversations") as since:
            created = {"direct_key": {"$exists": True}}
            async for batch in scan(self._conversations, created, {"direct_key": 1}, since):
                await self._record({document["direct_key"]: document["_id"] for document in batch})

    async def _find_unrecorded(self, key: str) -> Document:
        """Return the conversation that a process of an earlier version has created since `carry_over`."""
        async with unavailable():
            found: Document | None = await self._conversations.find_one({"direct_key": key})
        if found is None:
            raise Unavailable
        await self._record({key: found["_id"]})
        return found

    async def _record(self, conversations: dict[str, ObjectId]) -> None:
        derived = {derived_id(key): conversation_id for key, conversation_id in conversations.items()}
        recorded = {each["_id"] for each in await find_by_ids(self._earlier, derived)}
        new = [
            {"_id": key, "conversation_id": conversation_id}
            for key, conversation_id in derived.items()
            if conversation_id != key and key not in recorded
        ]
        if new:
            await insert_missing(self._earlier, new)


def _key(one: ObjectId, other: ObjectId) -> str:
    return ":".join(sorted((str(one), str(other))))
