"""The store of push subscriptions: by the hash of their endpoint."""

import hashlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from bson import ObjectId
from pymongo import DESCENDING, IndexModel

from service.common.times import now
from service.datastores.mongo import Database, Document, unavailable

MAX_PER_USER = 10
BATCH_SIZE = 500
USERS_PER_READ = 32
"""See `find_by_ids.IDS_PER_READ`."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """A browser's subscription. `endpoint` is a secret: who knows it, and the keys, can push to this browser.

    `p256dh`, `auth`: as the browser gave them. `language`: the one that its user prefers. `origin`: of the page that
    subscribed, empty if it was no web page.
    """

    id: str
    user_id: str
    session_id: str
    endpoint: str = field(repr=False)
    p256dh: str = field(repr=False)
    auth: str = field(repr=False)
    language: str
    origin: str


class SubscriptionStore:
    """`push_subscriptions`: one document for each endpoint. All methods raise Unavailable."""

    def __init__(self, database: Database) -> None:
        self._collection = database["push_subscriptions"]

    async def create_indexes(self) -> None:
        await self._collection.create_indexes([IndexModel([("user_id", 1), ("created_at", DESCENDING)])])

    async def put(self, subscription: Subscription) -> None:
        """Store a subscription in place of an earlier one with this endpoint, whosever it was: the browser has it now.
        Of a user who has more than MAX_PER_USER then, the oldest are deleted."""
        user_id = ObjectId(subscription.user_id)
        document: Document = {
            "user_id": user_id,
            "session_id": ObjectId(subscription.session_id),
            "endpoint": subscription.endpoint,
            "p256dh": subscription.p256dh,
            "auth": subscription.auth,
            "language": subscription.language,
            "origin": subscription.origin,
            "created_at": now(),
        }
        async with unavailable():
            await self._collection.replace_one({"_id": subscription.id}, document, upsert=True)
            of_user = self._collection.find({"user_id": user_id}, {"_id": True}).sort([("created_at", DESCENDING)])
            excess = await of_user.skip(MAX_PER_USER).to_list(None)
            if excess:
                await self._collection.delete_many({"_id": {"$in": [each["_id"] for each in excess]}})

    async def delete(self, endpoint: str, user_id: str) -> None:
        """Delete the user's subscription with this endpoint, if there is one."""
        async with unavailable():
            await self._collection.delete_one({"_id": subscription_id(endpoint), "user_id": ObjectId(user_id)})

    async def delete_ended(self, subscription: Subscription) -> None:
        """Delete a subscription, unless it has been replaced since it was read."""
        where = {"_id": subscription.id, "session_id": ObjectId(subscription.session_id), "auth": subscription.auth}
        async with unavailable():
            await self._collection.delete_one(where)

    async def delete_all(self, user_id: str) -> None:
        """Delete all subscriptions of a user."""
        async with unavailable():
            await self._collection.delete_many({"user_id": ObjectId(user_id)})

    async def of_users(self, user_ids: Collection[str]) -> list[Subscription]:
        """Return the subscriptions of these users, in no order."""
        ids, found = [ObjectId(user_id) for user_id in user_ids], list[Document]()
        async with unavailable():
            for first in range(0, len(ids), USERS_PER_READ):
                where = {"user_id": {"$in": ids[first : first + USERS_PER_READ]}}
                found += await self._collection.find(where).to_list(None)
        return [_subscription(each) for each in found]

    async def get(self, ids: Iterable[str]) -> dict[str, Subscription]:
        """Return those of the subscriptions with these ids that exist."""
        wanted, found = list(ids), list[Document]()
        async with unavailable():
            for first in range(0, len(wanted), USERS_PER_READ):
                where = {"_id": {"$in": wanted[first : first + USERS_PER_READ]}}
                found += await self._collection.find(where).to_list(None)
        return {each["_id"]: _subscription(each) for each in found}

    async def after(self, id: str) -> list[Subscription]:
        """Return up to BATCH_SIZE subscriptions whose ids are greater than `id`, in the order of their ids."""
        async with unavailable():
            found = self._collection.find({"_id": {"$gt": id}}).sort("_id", 1).limit(BATCH_SIZE)
            return [_subscription(each) for each in await found.to_list(None)]

    async def any(self) -> bool:
        """Return whether there is a subscription at all."""
        async with unavailable():
            return await self._collection.find_one({}, {"_id": True}) is not None


def subscription_id(endpoint: str) -> str:
    return hashlib.sha256(endpoint.encode()).hexdigest()


def _subscription(document: Document) -> Subscription:
    ids = {"id": document["_id"], "user_id": str(document["user_id"]), "session_id": str(document["session_id"])}
    names = ("endpoint", "p256dh", "auth", "language", "origin")
    return Subscription(**ids, **{name: document[name] for name in names})
