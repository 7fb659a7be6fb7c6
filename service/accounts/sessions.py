"""The store of sessions: one for each sign-in, and the last word on which of them have ended."""

import hashlib
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bson import ObjectId
from pymongo import ASCENDING, DESCENDING

from service.common.times import now
from service.datastores.find_by_ids import find_by_ids
from service.datastores.mongo import Collection, Database, Document, unavailable

BATCH = 500

NOT_REVOKED = {"revoked_at": None}
"""A session that has not ended has no `revoked_at`, which keeps it out of the index of those that have."""

SET_REVOKED = {"$currentDate": {"revoked_at": True}}
"""By the database's clock: those of two processes may differ, and then one would look for it in another minute."""


@dataclass(frozen=True, slots=True)
class Session:
    id: str
    created_at: datetime
    last_used_at: datetime
    user_agent: str


class SessionStore:
    """A session ends once and for ever. All methods raise Unavailable where the database is away.

    Of the refresh token only the hash of its id is kept, so that the database alone cannot tell which one is good.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sessions: Collection = database["sessions"]

    async def create_indexes(self) -> None:
        async with unavailable():
            await self._sessions.create_index("expires_at", expireAfterSeconds=0)
            await self._sessions.create_index(
                [("user_id", ASCENDING), ("revoked_at", ASCENDING), ("last_used_at", DESCENDING)]
            )
            await self._sessions.create_index("revoked_at", partialFilterExpression={"revoked_at": {"$exists": True}})

    async def add(self, session_id: str, user_id: str, refresh_id: str, expires_at: datetime, user_agent: str) -> None:
        moment = now()
        document = {
            "_id": ObjectId(session_id),
            "user_id": ObjectId(user_id),
            "refresh": _hash(refresh_id),
            "created_at": moment,
            "last_used_at": moment,
            "expires_at": expires_at,
            "user_agent": user_agent,
        }
        async with unavailable():
            await self._sessions.insert_one(document)

    async def rotate(self, session_id: str, user_id: str, spent_id: str, fresh_id: str, expires_at: datetime) -> bool:
        """Put the refresh token `fresh_id` in place of `spent_id`, in one step: of two who try, one is told True."""
        moment = now()
        current = {
            **_which(session_id, user_id),
            "refresh": _hash(spent_id),
            "expires_at": {"$gt": moment},
            **NOT_REVOKED,
        }
        changes = {"refresh": _hash(fresh_id), "last_used_at": moment, "expires_at": expires_at}
        async with unavailable():
            result = await self._sessions.update_one(current, {"$set": changes})
        return bool(result.modified_count)

    async def active(self, session_ids: Iterable[str]) -> set[str]:
        """Those of `session_ids` that have not ended."""
        ids = {ObjectId(session_id) for session_id in session_ids}
        found = await find_by_ids(self._sessions, ids, {"_id": True}, {"expires_at": {"$gt": now()}, **NOT_REVOKED})
        return {str(one["_id"]) for one in found}

    async def of_user(self, user_id: str, limit: int) -> list[Session]:
        """The live ones, last used first, at most `limit`."""
        async with unavailable():
            documents = await self._live(user_id).limit(limit).to_list(limit)
        return [
            Session(str(one["_id"]), one["created_at"], one["last_used_at"], one["user_agent"]) for one in documents
        ]

    async def revoke(self, session_id: str, user_id: str) -> bool:
        """End one session of this user; False where there is none to end."""
        async with unavailable():
            result = await self._sessions.update_one({**_which(session_id, user_id), **NOT_REVOKED}, SET_REVOKED)
        return bool(result.modified_count)

    async def revoke_others(self, user_id: str, keep: str) -> list[str]:
        """End every session of this user but `keep`; which those were."""
        async with unavailable():
            found = await self._live(user_id).to_list(None)
        return await self._revoke_all(one["_id"] for one in found if str(one["_id"]) != keep)

    async def revoke_excess(self, user_id: str, limit: int) -> list[str]:
        """End those of this user's sessions that are not among the `limit` last used; which those were."""
        async with unavailable():
            found = await self._live(user_id).skip(limit).to_list(None)
        return await self._revoke_all(one["_id"] for one in found)

    async def erase_user_agents(self, user_id: str) -> None:
        """Of this user's sessions keep nothing but that they have ended, as long as that matters."""
        async with unavailable():
            await self._sessions.update_many({"user_id": ObjectId(user_id)}, {"$set": {"user_agent": ""}})

    async def delete_expired(self) -> int:
        """Delete some of the sessions of which no token is good any more; how many. MongoDB does so itself, by the
        index on `expires_at`; the embedded server does not."""
        async with unavailable():
            found = await self._sessions.find({"expires_at": {"$lt": now()}}, {"_id": True}).to_list(BATCH)
            if found:
                await self._sessions.delete_many({"_id": {"$in": [one["_id"] for one in found]}})
        return len(found)

    async def clock(self) -> datetime:
        """What time it is for the database, which says when sessions ended."""
        async with unavailable():
            answer = await self._database.command("hello")
        moment: datetime = answer["localTime"]
        return moment.replace(tzinfo=UTC)

    async def revoked_since(self, moment: datetime) -> AsyncIterator[dict[str, datetime]]:
        """The sessions that ended at `moment` of the database's clock or later, and when: in batches, for there may be
        many."""
        async with unavailable():
            cursor = self._sessions.find({"revoked_at": {"$gte": moment}}, {"revoked_at": True}, batch_size=BATCH)
            while batch := await cursor.to_list(BATCH):
                yield {str(one["_id"]): one["revoked_at"] for one in batch}

    def _live(self, user_id: str) -> Any:
        """A cursor, last used first."""
        which = {"user_id": ObjectId(user_id), "expires_at": {"$gt": now()}, **NOT_REVOKED}
        return self._sessions.find(which).sort([("last_used_at", DESCENDING), ("_id", DESCENDING)])

    async def _revoke_all(self, ids: Iterable[ObjectId]) -> list[str]:
        ended = list(ids)
        if ended:
            async with unavailable():
                await self._sessions.update_many({"_id": {"$in": ended}, **NOT_REVOKED}, SET_REVOKED)
        return [str(one) for one in ended]


def _which(session_id: str, user_id: str) -> Document:
    return {"_id": ObjectId(session_id), "user_id": ObjectId(user_id)}


def _hash(token_id: str) -> str:
    return hashlib.sha256(token_id.encode()).hexdigest()
