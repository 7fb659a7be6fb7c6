"""The store of what users have set for themselves in a conversation: muted, archived."""

from collections.abc import Collection
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, NamedTuple

from bson import ObjectId
from pymongo import ASCENDING, DESCENDING
from pymongo.errors import DuplicateKeyError

from service.common.ids import derived_id
from service.common.times import iso, now
from service.datastores.find_by_ids import find_in_lists
from service.datastores.mongo import Collection as MongoCollection
from service.datastores.mongo import Database, Document, unavailable

FOREVER = datetime(9999, 12, 31, 23, 59, 59, 999_000, UTC)
"""The `muted_until` of a conversation that is muted until the user unmutes it."""
ORDER = [("archived_at", DESCENDING), ("_id", DESCENDING)]


class ConversationSettings(NamedTuple):
    """`archived_seq`: the last message when the user archived the conversation, which a later one ends; None: they have
    not."""

    muted_until: datetime | None = None
    archived_seq: int | None = None

    def muted_after(self, moment: datetime) -> datetime | None:
        """Return until when the conversation is muted, None if it is not muted any more at `moment`."""
        return self.muted_until if self.muted_until and self.muted_until > moment else None

    def is_archived(self, last_seq: int) -> bool:
        return self.archived_seq is not None and last_seq <= self.archived_seq


NONE = ConversationSettings()


class ArchivedRow(NamedTuple):
    """One row of a user's list of archived conversations. `key` is its sort key."""

    conversation_id: ObjectId
    key: tuple[datetime, ObjectId]


class SettingsStore:
    """`conversation_settings`: `{_id, user_id, conversation_id, muted_until?, archived_seq?, archived_at?}`, for each
    user and conversation where they have set anything. They are the same for small and large groups.

    `_id` is derived from both ids, so any number of them is looked up by ids. No message writes here: whether a
    conversation is still archived is decided when it is read. All methods raise Unavailable.
    """

    def __init__(self, database: Database) -> None:
        self._settings: MongoCollection = database["conversation_settings"]

    async def create_indexes(self) -> None:
        await self._settings.create_index(
            [("user_id", ASCENDING), *ORDER], partialFilterExpression={"archived_at": {"$exists": True}}
        )
        # For the deletion of a user.
        await self._settings.create_index([("user_id", ASCENDING)])

    async def set_muted(self, user_id: ObjectId, conversation_id: ObjectId, until: datetime | None) -> None:
        """None: not muted."""
        await self._set(user_id, conversation_id, {"muted_until": until})

    async def set_archived(self, user_id: ObjectId, conversation_id: ObjectId, seq: int | None) -> None:
        """`seq`: of the last message; None: not archived."""
        await self._set(user_id, conversation_id, {"archived_seq": seq, "archived_at": None if seq is None else now()})

    async def of_user(
        self, user_id: ObjectId, conversation_ids: Collection[ObjectId]
    ) -> dict[ObjectId, ConversationSettings]:
        """Return a user's settings of those of the conversations where they have any."""
        found = await self._find([(user_id, key) for key in conversation_ids])
        return {document["conversation_id"]: _settings(document) for document in found}

    async def of_conversation(
        self, conversation_id: ObjectId, user_ids: Collection[ObjectId]
    ) -> dict[ObjectId, ConversationSettings]:
        """Return the settings of a conversation of those of the users who have any."""
        found = await self._find([(user_id, conversation_id) for user_id in user_ids])
        return {document["user_id"]: _settings(document) for document in found}

    async def archived(
        self, user_id: ObjectId, limit: int, before: tuple[datetime, ObjectId] | None = None
    ) -> list[ArchivedRow]:
        """Return the `limit` conversations that the user archived last, or of those behind the sort key `before`.

        A message may have ended that since.
        """
        where: Document = {"user_id": user_id, "archived_at": {"$exists": True}}
        if before:
            moment, last = before
            where = {
                "user_id": user_id,
                "archived_at": {"$lte": moment},
                "$or": [{"archived_at": {"$lt": moment}}, {"_id": {"$lt": last}}],
            }
        async with unavailable():
            found = await self._settings.find(where).sort(ORDER).limit(limit).to_list(limit)
        return [
            ArchivedRow(document["conversation_id"], (document["archived_at"], document["_id"])) for document in found
        ]

    async def delete(self, user_id: ObjectId, conversation_id: ObjectId) -> None:
        """Delete the settings of a user who is no participant any more."""
        async with unavailable():
            await self._settings.delete_one(_place(user_id, conversation_id))

    async def delete_all(self, user_id: ObjectId) -> None:
        """Delete the settings of a user who is being deleted."""
        async with unavailable():
            await self._settings.delete_many({"user_id": user_id})

    async def _set(self, user_id: ObjectId, conversation_id: ObjectId, fields: Document) -> None:
        place = _place(user_id, conversation_id)
        kept = {name: value for name, value in fields.items() if value is not None}
        removed = {name: "" for name, value in fields.items() if value is None}
        change = {name: part for name, part in (("$set", kept), ("$unset", removed)) if part}
        async with unavailable():
            found = await self._settings.update_one(place, change)
            if found.matched_count or not kept:
                return
            with suppress(DuplicateKeyError):
                await self._settings.insert_one({**place, "conversation_id": conversation_id, **kept})
                return
            await self._settings.update_one(place, change)

    async def _find(self, places: Collection[tuple[ObjectId, ObjectId]]) -> list[Document]:
        if not places:
            return []
        return await find_in_lists(self._settings, "user_id", [(user_id, _id(user_id, key)) for user_id, key in places])


def settings_json(settings: ConversationSettings, last_seq: int) -> dict[str, Any]:
    """Return the fields of a Conversation whose last message is `last_seq`."""
    muted_until = settings.muted_after(now())
    return {"muted_until": iso(muted_until) if muted_until else None, "archived": settings.is_archived(last_seq)}


def _settings(document: Document) -> ConversationSettings:
    return ConversationSettings(document.get("muted_until"), document.get("archived_seq"))


def _place(user_id: ObjectId, conversation_id: ObjectId) -> Document:
    return {"_id": _id(user_id, conversation_id), "user_id": user_id}


def _id(user_id: ObjectId, conversation_id: ObjectId) -> ObjectId:
    return derived_id(f"settings:{user_id}:{conversation_id}")
