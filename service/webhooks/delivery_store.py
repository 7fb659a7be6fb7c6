"""The store of deliveries: webhooks that wait for their next attempt, and those that are parked."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from pymongo import IndexModel, UpdateOne

from service.common.times import now
from service.datastores.due_documents import find_due, retry_at
from service.datastores.mongo import Database, Document, unavailable, update_all

RETRY_DELAYS = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""Seconds from an attempt that failed to the next one; after the last one the delivery is parked."""
MAX_AGE = timedelta(days=7)
"""A delivery that is older is parked instead of attempted: the receiver answers more slowly than things happen."""
PARKED_TTL = timedelta(days=30)
MAX_PARKED = 100_000
BATCH = 500
ENDPOINT = "endpoint"
"""The id of the document that says whether the receiver has answered 410."""


@dataclass(slots=True)
class Delivery:
    """One webhook. `attempts`: those that failed. `stored`: whether the store has it."""

    id: str
    type: str
    body: str = field(repr=False)
    created_at: datetime
    attempts: int = 0
    stored: bool = False


class DeliveryStore:
    """`webhook_deliveries`: `{_id: webhook-id, type, body, created_at, attempts, due_at | parked_at, outcome}`.

    A delivery that waits has `due_at`, one that is parked `parked_at`. It is deleted when it has been delivered.
    `webhook_endpoint` has one document, whose `gone_at` says when the receiver at `url` answered 410.
    """

    def __init__(self, database: Database) -> None:
        self._deliveries = database["webhook_deliveries"]
        self._endpoint = database["webhook_endpoint"]

    async def create_indexes(self) -> None:
        await self._deliveries.create_indexes(
            [IndexModel([("due_at", 1)], sparse=True), IndexModel([("parked_at", 1)], sparse=True)]
        )

    async def add(self, deliveries: Collection[Delivery], *, gone: bool = False) -> None:
        """Store deliveries that wait, or that are parked because the receiver is `gone`. Can be repeated.

        Raises Unavailable.
        """
        moment = now()
        when = {"parked_at": moment, "outcome": "gone"} if gone else {"due_at": moment}
        # Upserts, so that a repeated batch leaves those as they are that have been attempted meanwhile.
        await update_all(
            self._deliveries,
            [
                UpdateOne(
                    {"_id": each.id},
                    {
                        "$setOnInsert": {
                            "type": each.type,
                            "body": each.body,
                            "created_at": each.created_at,
                            "attempts": each.attempts,
                            **when,
                        }
                    },
                    upsert=True,
                )
                for each in deliveries
            ],
        )
        for each in deliveries:
            each.stored = True

    async def due(self, limit: int, without: Collection[str]) -> list[Delivery]:
        """Return up to `limit` deliveries whose time has come, but none of `without`. Raises Unavailable."""
        return [_delivery(each) for each in await find_due(self._deliveries, limit, without=without)]

    async def remove(self, delivery: Delivery) -> None:
        """Delete a delivery that has been delivered. Raises Unavailable."""
        if delivery.stored:
            async with unavailable():
                await self._deliveries.delete_one({"_id": delivery.id})

    async def reschedule(self, delivery: Delivery, outcome: str) -> bool:
        """Note a failed attempt: the delivery waits for its next one, or is parked after the last. Returns whether it
        waits. Raises Unavailable."""
        delivery.attempts += 1
        moment = now()
        waits = delivery.attempts <= len(RETRY_DELAYS) and moment - delivery.created_at < MAX_AGE
        fields: Document = {"attempts": delivery.attempts, "outcome": outcome}
        if waits:
            change: Document = {"$set": fields | {"due_at": retry_at(RETRY_DELAYS[delivery.attempts - 1])}}
        else:
            change = {"$set": fields | {"parked_at": moment}, "$unset": {"due_at": ""}}
        change["$setOnInsert"] = {name: getattr(delivery, name) for name in ("type", "body", "created_at")}
        async with unavailable():
            await self._deliveries.update_one({"_id": delivery.id}, change, upsert=True)
        delivery.stored = True
        return waits

    async def park_all(self) -> None:
        """Park everything that waits, because the receiver is gone. Raises Unavailable."""
        change = {"$set": {"parked_at": now(), "outcome": "gone"}, "$unset": {"due_at": ""}}
        async with unavailable():
            await self._deliveries.update_many({"due_at": {"$exists": True}}, change)

    async def parked(self, limit: int) -> list[Document]:
        """Return up to `limit` parked deliveries without their bodies, oldest first. Raises Unavailable."""
        async with unavailable():
            found = self._deliveries.find({"parked_at": {"$exists": True}}, {"body": False})
            return await found.sort("parked_at", 1).limit(limit).to_list(None)

    async def resend(self, webhook_id: str | None) -> int:
        """Let one parked delivery, or all (None), wait for an attempt at once. Returns their number. Raises
        Unavailable.

        The operator says with it that the receiver is back, if it was gone.
        """
        where: Document = {"parked_at": {"$exists": True}}
        if webhook_id is not None:
            where["_id"] = webhook_id
        change = {"$set": {"due_at": now(), "created_at": now(), "attempts": 0}, "$unset": {"parked_at": ""}}
        async with unavailable():
            result = await self._deliveries.update_many(where, change)
            await self._endpoint.delete_one({"_id": ENDPOINT})
        return int(result.modified_count)

    async def counts(self) -> tuple[int, int]:
        """Return how many wait and how many are parked. Raises Unavailable."""
        async with unavailable():
            waiting = await self._deliveries.count_documents({"due_at": {"$exists": True}})
            parked = await self._deliveries.count_documents({"parked_at": {"$exists": True}})
        return waiting, parked

    async def delete_expired(self) -> int:
        """Delete parked deliveries that are too old or too many, in one batch. Returns their number. Raises
        Unavailable."""
        _, parked = await self.counts()
        excess = min(BATCH, parked - MAX_PARKED)
        async with unavailable():
            where: Document = {"parked_at": {"$lt": now() - PARKED_TTL}}
            if excess > 0:
                where = {"parked_at": {"$exists": True}}
            found = self._deliveries.find(where, {"_id": True}).sort("parked_at", 1)
            ids = [each["_id"] for each in await found.limit(excess if excess > 0 else BATCH).to_list(None)]
            for first in range(0, len(ids), 32):
                await self._deliveries.delete_many({"_id": {"$in": ids[first : first + 32]}})
        return len(ids)

    async def is_gone(self, url: str) -> bool:
        """Return whether the receiver at `url` has answered 410. Raises Unavailable."""
        async with unavailable():
            return await self._endpoint.find_one({"_id": ENDPOINT, "url": url}) is not None

    async def mark_gone(self, url: str) -> None:
        """Note that the receiver at `url` has answered 410. Raises Unavailable."""
        async with unavailable():
            await self._endpoint.update_one({"_id": ENDPOINT}, {"$set": {"url": url, "gone_at": now()}}, upsert=True)


def _delivery(document: dict[str, Any]) -> Delivery:
    return Delivery(
        document["_id"], document["type"], document["body"], document["created_at"], document["attempts"], stored=True
    )
