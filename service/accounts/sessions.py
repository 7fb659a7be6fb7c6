"""The store of sessions: one per sign-in. It is authoritative for which sessions are revoked."""

import hashlib
from collections.abc import AsyncIterator, Callable, Iterable
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
"""A session that is not revoked has no `revoked_at`, so the partial index of revoked sessions does not contain it."""

SET_REVOKED = {"$currentDate": {"revoked_at": True}}
"""Uses the database's clock. With the clocks of the processes, which may differ, a poll could miss a revocation."""


@dataclass(frozen=True, slots=True)
class Session:
    id: str
    created_at: datetime
    last_used_at: datetime
    user_agent: str


class SessionStore:
    """Stores sessions. A revoked session stays revoked. All methods raise Unavailable if the database is unavailable.

    Only a hash of the refresh token's id is stored, so the contents of the database do not give away a valid id.
    """

    def __init__(self, database: Database, *, clock: Callable[[], datetime] = now) -> None:
        self._database = database
        self._sessions: Collection = database["sessions"]
        self._clock = clock

    async def create_indexes(self) -> None:
        async with unavailable():
            await self._sessions.create_index("expires_at", expireAfterSeconds=0)
            await self._sessions.create_index(
                [("user_id", ASCENDING), ("revoked_at", ASCENDING), ("last_used_at", DESCENDING)]
            )
            await self._sessions.create_index("revoked_at", partialFilterExpression={"revoked_at": {"$exists": True}})

    async def add(self, session_id: str, user_id: str, refresh_id: str, expires_at: datetime, user_agent: str) -> None:
        """Store a new session. `refresh_id` is the id of its refresh token."""
        created_at = self._clock()
        document = {
            "_id": ObjectId(session_id),
            "user_id": ObjectId(user_id),
            "refresh": _hash(refresh_id),
            "created_at": created_at,
            "last_used_at": created_at,
            "expires_at": expires_at,
            "user_agent": user_agent,
        }
        async with unavailable():
            await self._sessions.insert_one(document)

    async def rotate(self, session_id: str, user_id: str, spent_id: str, fresh_id: str, expires_at: datetime) -> bool:
        """Atomically replace the refresh token `spent_id` with `fresh_id`.

        Returns False if `spent_id` is not the current refresh token of an active session. Of several concurrent calls
        with the same `spent_id`, one returns True.
        """
        used_at = self._clock()
        current = {
            **_key(session_id, user_id),
            "refresh": _hash(spent_id),
            "expires_at": {"$gt": used_at},
            **NOT_REVOKED,
        }
        changes = {"refresh": _hash(fresh_id), "last_used_at": used_at, "expires_at": expires_at}
        async with unavailable():
            result = await self._sessions.update_one(current, {"$set": changes})
        return bool(result.modified_count)

    async def active(self, session_ids: Iterable[str]) -> set[str]:
        """Return those of `session_ids` that are neither revoked nor expired."""
        ids = {ObjectId(session_id) for session_id in session_ids}
        where = {"expires_at": {"$gt": self._clock()}, **NOT_REVOKED}
        documents = await find_by_ids(self._sessions, ids, {"_id": True}, where)
        return {str(document["_id"]) for document in documents}

    async def of_user(self, user_id: str, limit: int) -> list[Session]:
        """Return at most `limit` active sessions, the most recently used first."""
        async with unavailable():
            documents = await self._find_active(user_id).limit(limit).to_list(limit)
        return [
            Session(str(document["_id"]), document["created_at"], document["last_used_at"], document["user_agent"])
            for document in documents
        ]

    async def revoke(self, session_id: str, user_id: str) -> bool:
        """Revoke a session of this user. Returns False if the user has no such session that is not revoked."""
        async with unavailable():
            result = await self._sessions.update_one({**_key(session_id, user_id), **NOT_REVOKED}, SET_REVOKED)
        return bool(result.modified_count)

    async def revoke_others(self, user_id: str, keep: str) -> list[str]:
        """Revoke every active session of this user except `keep`. Returns the ids of the revoked sessions."""
        async with unavailable():
            documents = await self._find_active(user_id).to_list(None)
        return await self._revoke_all(document["_id"] for document in documents if str(document["_id"]) != keep)

    async def revoke_excess(self, user_id: str, limit: int) -> list[str]:
        """Revoke all but the `limit` most recently used sessions of this user. Returns the ids of the revoked ones."""
        async with unavailable():
            documents = await self._find_active(user_id).skip(limit).to_list(None)
        return await self._revoke_all(document["_id"] for document in documents)

    async def erase_user_agents(self, user_id: str) -> None:
        """Erase the personal data in this user's sessions. That they are revoked stays stored until they expire."""
        async with unavailable():
            await self._sessions.update_many({"user_id": ObjectId(user_id)}, {"$set": {"user_agent": ""}})

    async def delete_expired(self) -> int:
        """Delete up to `BATCH` expired sessions and return their number.

        MongoDB does this itself, by the TTL index on `expires_at`; the embedded server does not.
        """
        async with unavailable():
            expired = {"expires_at": {"$lt": self._clock()}}
            documents = await self._sessions.find(expired, {"_id": True}).to_list(BATCH)
            if documents:
                await self._sessions.delete_many({"_id": {"$in": [document["_id"] for document in documents]}})
        return len(documents)

    async def database_time(self) -> datetime:
        """Return the database's time, which `revoked_at` is set from."""
        async with unavailable():
            answer = await self._database.command("hello")
        local_time: datetime = answer["localTime"]
        return local_time.replace(tzinfo=UTC)

    async def revoked_since(self, moment: datetime) -> AsyncIterator[dict[str, datetime]]:
        """Yield the sessions revoked at `moment` (database time) or later, in batches of `{session id: revoked_at}`."""
        async with unavailable():
            cursor = self._sessions.find({"revoked_at": {"$gte": moment}}, {"revoked_at": True}, batch_size=BATCH)
            while batch := await cursor.to_list(BATCH):
                yield {str(document["_id"]): document["revoked_at"] for document in batch}

    def _find_active(self, user_id: str) -> Any:
        """Return a cursor, the most recently used session first."""
        where = {"user_id": ObjectId(user_id), "expires_at": {"$gt": self._clock()}, **NOT_REVOKED}
        return self._sessions.find(where).sort([("last_used_at", DESCENDING), ("_id", DESCENDING)])

    async def _revoke_all(self, ids: Iterable[ObjectId]) -> list[str]:
        revoked = list(ids)
        if revoked:
            async with unavailable():
                await self._sessions.update_many({"_id": {"$in": revoked}, **NOT_REVOKED}, SET_REVOKED)
        return [str(id) for id in revoked]


def _key(session_id: str, user_id: str) -> Document:
    return {"_id": ObjectId(session_id), "user_id": ObjectId(user_id)}


def _hash(token_id: str) -> str:
    return hashlib.sha256(token_id.encode()).hexdigest()
