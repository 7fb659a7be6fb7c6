"""The store of news: what has happened and may be pushed later, before it is known to whom."""

from collections.abc import Collection, Mapping
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from bson import ObjectId
from pymongo import UpdateOne

from service.common.times import now
from service.datastores.due_documents import find_due
from service.datastores.mongo import Database, Document, insert_missing, unavailable, update_all

BATCH = 100
IDS_PER_DELETE = 32
NO_SEQ = 2**53
MAX_CONVERSATIONS = 100
"""Conversations in one summary; messages of further ones are counted as none."""


class Kind(StrEnum):
    """What news, a delivery and a payload are about. Of the first two, `summary` is what quiet hours held back."""

    MESSAGE = "message"
    NOTIFICATION = "notification"
    SUMMARY = "summary"


class News(NamedTuple):
    """What may be pushed at `due_at`.

    `subject`: the conversation of messages, else the user. `group`: which of a user's notifications replace each other.
    `first`, `last`: the lowest and the highest seq of messages, or of notifications (NO_SEQ and 0: there are none).
    `conversations`: of a summary, with the highest seq that was held back in each. `at`: when the last of it happened.
    """

    id: str
    kind: Kind
    subject: ObjectId
    group: str
    first: int
    last: int
    at: datetime
    due_at: datetime
    conversations: Mapping[str, int] = {}


class NewsStore:
    """`push_news`: one document each, deleted once its deliveries are stored. All methods raise Unavailable."""

    def __init__(self, database: Database) -> None:
        self._collection = database["push_news"]

    async def create_indexes(self) -> None:
        await self._collection.create_index("due_at")

    async def add(self, news: Collection[News]) -> None:
        """Store these, unless they are stored already."""
        if news:
            await insert_missing(
                self._collection,
                [_document(each) for each in news],
            )

    async def hold(self, user_id: str, until: datetime, held: News) -> None:
        """Add to the summary that the user gets when the quiet hours end, at `until`, what `held` has: conversations
        with the highest seq, and the first and the last seq of notifications. Can be repeated."""
        summary = f"{Kind.SUMMARY}:{user_id}"
        async with unavailable():
            stored = await self._collection.find_one({"_id": summary}, {"conversations": True})
        known = stored.get("conversations", {}) if stored else {}
        added = [each for each in held.conversations if each in known]
        added += [each for each in held.conversations if each not in known][: MAX_CONVERSATIONS - len(known)]
        change = {
            "$set": {"due_at": until, "at": now()},
            "$setOnInsert": {"kind": Kind.SUMMARY, "subject": ObjectId(user_id), "group": ""},
            "$min": {"first": held.first},
            "$max": {"last": held.last, **{f"conversations.{each}": held.conversations[each] for each in added}},
        }
        await update_all(self._collection, [UpdateOne({"_id": summary}, change, upsert=True)])

    async def due(self) -> list[News]:
        """Return up to BATCH news whose time has come, the earliest first."""
        return [_news(each) for each in await find_due(self._collection, BATCH)]

    async def remove(self, news: Collection[News]) -> None:
        """Delete these; not a summary that has changed since."""
        ids = [each.id for each in news if each.kind is not Kind.SUMMARY]
        async with unavailable():
            for first in range(0, len(ids), IDS_PER_DELETE):
                await self._collection.delete_many({"_id": {"$in": ids[first : first + IDS_PER_DELETE]}})
            for each in news:
                if each.kind is Kind.SUMMARY:
                    await self._collection.delete_one({"_id": each.id, "at": each.at})

    async def count(self) -> int:
        async with unavailable():
            return int(await self._collection.count_documents({}))

    async def delete_all(self, user_id: str) -> None:
        """Delete what is about a user who is being deleted. Messages belong to conversations."""
        async with unavailable():
            await self._collection.delete_many({"subject": ObjectId(user_id)})


def group_of(type: str, about: ObjectId | str | None, notification_id: ObjectId | str) -> str:
    """Return which notifications replace each other when they are pushed: those of one type about the same post, or
    with the same `group_key`. One that is about neither stays by itself."""
    return f"{type}:{about or notification_id}"


def _document(news: News) -> Document:
    fields = news._asdict()
    return {"_id": fields.pop("id"), **fields}


def _news(document: Document) -> News:
    document = {"conversations": {}, **document}
    fields = {name: document[name] for name in News._fields if name not in ("id", "kind")}
    return News(id=document["_id"], kind=Kind(document["kind"]), **fields)
