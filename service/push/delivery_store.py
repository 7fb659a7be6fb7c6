"""The store of deliveries: pushes to one browser each that wait for their attempt."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from bson import ObjectId
from pymongo import IndexModel, UpdateOne

from service.datastores.due_documents import find_due, retry_at
from service.datastores.mongo import Database, Document, insert_missing, unavailable, update_all
from service.push.news_store import NO_SEQ, Kind, News

TTL = timedelta(hours=24)
"""What could not be pushed for so long is given up. The push service keeps it no longer, either."""
RETRY_DELAYS = (5.0, 30.0, 120.0, 600.0, 1800.0, 3600.0)
"""Seconds from a failed attempt to the next one; from the last one on, always the last."""
MAX_RETRY_AFTER = 3600.0
"""Seconds. A push service can ask for more, but Loa tries again at least so often."""


@dataclass(slots=True)
class Delivery:
    """A push to one subscription. `id`: the same for pushes that replace each other. `number` grows with them.

    `kind`, `subject`, `group`, `conversations`: see News. `number`: the seq of the message or notification; of a
    summary, its time in milliseconds. `first`: the lowest seq of the messages or notifications, also of those that it
    has replaced. `last`: of a summary, the seq of the last notification; 0: there is none.
    """

    id: str
    subscription_id: str
    user_id: str
    host: str
    kind: Kind
    subject: ObjectId
    group: str
    number: int
    first: int
    last: int
    conversations: Mapping[str, int]
    expires_at: datetime
    due_at: datetime
    attempts: int = 0

    @property
    def tag(self) -> str:
        """What pushes that replace each other have in common; browsers show one notification for each tag."""
        return f"conversation:{self.subject}" if self.kind is Kind.MESSAGE else self.group or str(self.kind)

    def as_held(self) -> News:
        """Return what a summary gets if quiet hours hold this delivery back."""
        conversations, first, last = dict(self.conversations), self.first, self.last
        if self.kind is Kind.MESSAGE:
            conversations, first, last = {str(self.subject): self.number}, NO_SEQ, 0
        elif self.kind is Kind.NOTIFICATION:
            last = self.number
        return News("", Kind.SUMMARY, ObjectId(self.user_id), "", first, last, self.due_at, self.due_at, conversations)


class DeliveryStore:
    """`push_deliveries`: one document each, deleted once it was pushed or given up. All methods raise Unavailable.

    It has no text: what is pushed is read for each attempt, and what has been read or deleted meanwhile is not pushed.
    """

    def __init__(self, database: Database) -> None:
        self._collection = database["push_deliveries"]

    async def create_indexes(self) -> None:
        await self._collection.create_indexes(
            [IndexModel([("host", 1), ("due_at", 1)]), IndexModel("subscription_id"), IndexModel("user_id")]
        )

    async def put(self, deliveries: Collection[Delivery]) -> None:
        """Store deliveries; each replaces an earlier one of the same id, which may be waiting for its next attempt: so
        does the new one then. Can be repeated."""
        if not deliveries:
            return
        await insert_missing(self._collection, [_document(each) for each in deliveries])
        updates = []
        for each in deliveries:
            document = _document(each)
            fixed = ("number", "last", "conversations", "expires_at")
            change = {
                "$set": {name: document[name] for name in fixed},
                "$min": {"first": each.first},
                "$max": {"due_at": each.due_at},
            }
            updates.append(UpdateOne({"_id": each.id, "number": {"$lt": each.number}}, change))
        await update_all(self._collection, updates)

    async def hosts(self) -> list[str]:
        """Return the push services for which something waits."""
        async with unavailable():
            return list(await self._collection.distinct("host"))

    async def due(self, host: str, limit: int, without: Collection[str] = ()) -> list[Delivery]:
        """Return up to `limit` deliveries to this push service whose time has come, but none of `without`."""
        return [_delivery(each) for each in await find_due(self._collection, limit, {"host": host}, without)]

    async def next_due(self, host: str, without: Collection[str] = ()) -> datetime | None:
        """Return when the next delivery to this push service is due, but none of `without`; None if there is none."""
        async with unavailable():
            waiting = self._collection.find({"host": host}, {"due_at": True}).sort("due_at", 1)
            found = await waiting.limit(len(without) + 1).to_list(None)
        return next((each["due_at"] for each in found if each["_id"] not in without), None)

    async def remove(self, delivery: Delivery) -> None:
        """Delete a delivery, unless a newer one has taken its place."""
        async with unavailable():
            await self._collection.delete_one({"_id": delivery.id, "number": delivery.number})

    async def reschedule(self, delivery: Delivery, retry_after: float) -> None:
        """Note a failed attempt. The next one comes after `retry_after` seconds or more."""
        delay = RETRY_DELAYS[min(delivery.attempts, len(RETRY_DELAYS) - 1)]
        due_at = retry_at(delay, at_least=min(retry_after, MAX_RETRY_AFTER))
        change = {"$set": {"due_at": due_at}, "$inc": {"attempts": 1}}
        async with unavailable():
            await self._collection.update_one({"_id": delivery.id}, change)

    async def remove_of(self, subscription_id: str) -> None:
        """Delete everything that waits for a subscription that has ended."""
        async with unavailable():
            await self._collection.delete_many({"subscription_id": subscription_id})

    async def delete_all(self, user_id: str) -> None:
        """Delete everything that waits for a user."""
        async with unavailable():
            await self._collection.delete_many({"user_id": ObjectId(user_id)})

    async def count(self, host: str | None = None) -> int:
        async with unavailable():
            return int(await self._collection.count_documents({"host": host} if host else {}))


def _document(delivery: Delivery) -> Document:
    names = [name for name in Delivery.__slots__ if name not in ("id", "user_id")]
    fields: dict[str, Any] = {name: getattr(delivery, name) for name in names}
    return {"_id": delivery.id, "user_id": ObjectId(delivery.user_id), **fields}


def _delivery(document: Document) -> Delivery:
    fields = {name: value for name, value in document.items() if name not in ("_id", "user_id", "kind")}
    return Delivery(id=document["_id"], user_id=str(document["user_id"]), kind=Kind(document["kind"]), **fields)
