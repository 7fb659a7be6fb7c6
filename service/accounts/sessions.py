"""The store of sessions: one per sign-in. It is authoritative for which sessions are revoked."""

import hashlib
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from bson import ObjectId
from pymongo import ASCENDING, DESCENDING
from pymongo.errors import DuplicateKeyError

from service.accounts.session_tokens import EPOCH, AccessToken, SessionTokens
from service.accounts.tokens import TokenPair
from service.common.errors import TokenRevoked, Unavailable
from service.common.times import now
from service.datastores.find_by_ids import find_in_lists, in_lists
from service.datastores.mongo import Collection as MongoCollection
from service.datastores.mongo import Database, Document, unavailable

BATCH_SIZE = 500

NOT_REVOKED = {"revoked_at": None}
"""A session that is not revoked has no `revoked_at`, so the partial index of revoked sessions does not contain it."""

SET_REVOKED = {"$currentDate": {"revoked_at": True}}
"""Uses the database's clock. With the clocks of the processes, which may differ, a poll could miss a revocation."""


MAX_AGE = timedelta(days=180)
"""How long after the sign-in the tokens of a session may be refreshed."""
MAX_ATTEMPTS = 100
"""Attempts to write a change of one session's tokens. Of concurrent attempts at least one succeeds."""


@dataclass(frozen=True, slots=True)
class Session:
    id: str
    created_at: datetime
    last_used_at: datetime
    user_agent: str


class ExternalSession(NamedTuple):
    """A session of tokens from outside. `revoked_at` is the database's time."""

    expires_at: datetime
    revoked_at: datetime | None


class RevokedSession(NamedTuple):
    """`revoked_at` is the database's time."""

    id: str
    user_id: str
    revoked_at: datetime


class SessionStore:
    """Stores sessions. A revoked session stays revoked. All methods raise Unavailable if the database is unavailable.

    Only hashes of the refresh tokens' ids are stored, so the contents of the database do not give away a valid id. The
    fields of a session's tokens are those of SessionTokens; `refresh` is the newest of its unused tokens, and differs
    after each change of them.
    """

    def __init__(
        self, database: Database, *, max_age: timedelta = MAX_AGE, clock: Callable[[], datetime] = now
    ) -> None:
        self._database = database
        self._sessions: MongoCollection = database["sessions"]
        self._max_age = max_age
        self._clock = clock

    async def create_indexes(self) -> None:
        await self._sessions.create_index("expires_at", expireAfterSeconds=0)
        await self._sessions.create_index(
            [("user_id", ASCENDING), ("revoked_at", ASCENDING), ("last_used_at", DESCENDING)]
        )
        for name in ("revoked_at", "tokens_ended_at"):
            await self._sessions.create_index(name, partialFilterExpression={name: {"$exists": True}})

    async def add(
        self, session_id: str, user_id: str, pair: TokenPair, user_agent: str, password_version: int | None = None
    ) -> None:
        """Store a new session with its first pair of tokens.

        `password_version`: of the password of the sign-in, if there was one; see `revoke_others`.
        """
        created_at = self._clock()
        tokens = SessionTokens(unused=(_hash(pair.refresh.id),), access=(_access(pair),))
        document = {
            "_id": ObjectId(session_id),
            "user_id": ObjectId(user_id),
            **_fields(tokens),
            "created_at": created_at,
            "last_used_at": created_at,
            "expires_at": self._expiry(created_at, pair),
            "user_agent": user_agent,
        }
        if password_version is not None:
            document["password_version"] = password_version
        async with unavailable():
            await self._sessions.insert_one(document)

    async def add_external(self, session_id: str, user_id: str, expires_at: datetime, user_agent: str) -> None:
        """Store a session of a token from outside, unless it exists. It lasts as long as its tokens, see `extend`."""
        created_at = self._clock()
        document = {
            "_id": ObjectId(session_id),
            "user_id": ObjectId(user_id),
            "external": True,
            "created_at": created_at,
            "last_used_at": created_at,
            "expires_at": expires_at,
            "user_agent": user_agent,
        }
        async with unavailable():
            with suppress(DuplicateKeyError):
                await self._sessions.insert_one(document)

    async def find_external(self, session_id: str, user_id: str) -> ExternalSession | None:
        """Return the session, or None. It may be revoked."""
        fields = {"expires_at": True, "revoked_at": True}
        async with unavailable():
            document = await self._sessions.find_one(_key(session_id, user_id), fields)
        return ExternalSession(document["expires_at"], document.get("revoked_at")) if document else None

    async def extend(self, session_id: str, user_id: str, expires_at: datetime) -> None:
        """Note that the session has got a token that is valid until then."""
        changes = {"$max": {"expires_at": expires_at}, "$set": {"last_used_at": self._clock()}}
        async with unavailable():
            await self._sessions.update_one({**_key(session_id, user_id), **NOT_REVOKED}, changes)

    async def keep_external(self, session_id: str, user_id: str, until: datetime) -> None:
        """Let the session last until then, if it is one of tokens from outside: it outlasts them."""
        where = {**_key(session_id, user_id), "external": True, **NOT_REVOKED}
        async with unavailable():
            await self._sessions.update_one(where, {"$max": {"expires_at": until}})

    async def refresh(self, session_id: str, user_id: str, used_id: str, pair: TokenPair) -> None:
        """Exchange the refresh token `used_id` for `pair`, as SessionTokens describes.

        Raises RefreshTokenReused, RateLimited, or TokenRevoked if the session is revoked, expired, too old or another
        user's.
        """

        def change(tokens: SessionTokens, at: datetime) -> SessionTokens:
            return tokens.refresh(_hash(used_id), _hash(pair.refresh.id), _access(pair), at)

        await self._change_tokens(session_id, user_id, pair, change)

    async def end_tokens(
        self, session_id: str, user_id: str, pair: TokenPair, password_version: int | None = None
    ) -> list[str]:
        """End all tokens of the session but `pair`. Returns the ids of the access tokens that have not expired.

        `password_version`: of the password to which the user has changed in this session, if any; see `revoke_others`.

        Raises TokenRevoked if the session is revoked, expired or another user's.
        """

        def change(tokens: SessionTokens, at: datetime) -> SessionTokens:
            return tokens.end_all(_hash(pair.refresh.id), _access(pair), at)

        stamp: Document = {"$currentDate": {"tokens_ended_at": True}}
        if password_version is not None:
            stamp["$max"] = {"password_version": password_version}
        changed = await self._change_tokens(session_id, user_id, pair, change, stamp)
        return [token.id for token in changed.ended_access]

    async def active(self, sessions: Iterable[tuple[str, str]]) -> dict[str, frozenset[str]]:
        """Return those sessions that are neither revoked nor expired, each with its ended access tokens.

        Each of `sessions` is a user and the session of theirs.
        """
        places = {(ObjectId(user_id), ObjectId(session_id)) for user_id, session_id in sessions}
        where = {"expires_at": {"$gt": self._clock()}, **NOT_REVOKED}
        documents = await find_in_lists(self._sessions, "user_id", places, {"ended_access": True}, where)
        return {str(document["_id"]): frozenset(_ended_access(document)) for document in documents}

    async def signed_in_at(self, session_id: str, user_id: str) -> datetime | None:
        """Return when the user last gave the password in this session; None if it is external, and so has none.

        Raises TokenRevoked if the session is unknown.
        """
        async with unavailable():
            document = await self._sessions.find_one(_key(session_id, user_id), {"created_at": True, "external": True})
        if document is None:
            raise TokenRevoked
        created_at: datetime = document["created_at"]
        return None if document.get("external") else created_at

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
        await self._retain(user_id, [ObjectId(session_id)])
        async with unavailable():
            result = await self._sessions.update_one({**_key(session_id, user_id), **NOT_REVOKED}, SET_REVOKED)
        return bool(result.modified_count)

    async def revoke_others(self, user_id: str, keep: str, password_version: int | None = None) -> list[str]:
        """Revoke every active session of this user except `keep`. Returns the ids of the revoked sessions.

        `password_version`: keep those of a later password, too. Of two concurrent password changes, the one that fails
        then does not end the session of the other.
        """
        async with unavailable():
            documents = await self._find_active(user_id).to_list(None)
        ids = [each["_id"] for each in documents if str(each["_id"]) != keep]
        if password_version is None:
            return await self._revoke_all(user_id, ids)
        await self._revoke_all(user_id, ids, {"password_version": {"$not": {"$gt": password_version}}})
        revoked = {"_id": {"$in": ids}, "user_id": ObjectId(user_id), "revoked_at": {"$exists": True}}
        async with unavailable():
            return [str(each["_id"]) for each in await self._sessions.find(revoked, {"_id": True}).to_list(None)]

    async def revoke_excess(self, user_id: str, limit: int) -> list[str]:
        """Revoke all but the `limit` most recently used sessions of this user. Returns the ids of the revoked ones."""
        async with unavailable():
            documents = await self._find_active(user_id).skip(limit).to_list(None)
        return await self._revoke_all(user_id, [document["_id"] for document in documents])

    async def erase_user_agents(self, user_id: str) -> None:
        """Erase the personal data in this user's sessions. That they are revoked stays stored until they expire."""
        async with unavailable():
            await self._sessions.update_many({"user_id": ObjectId(user_id)}, {"$set": {"user_agent": ""}})

    async def delete_expired(self) -> int:
        """Delete up to `BATCH_SIZE` expired sessions and return their number.

        MongoDB does this itself, by the TTL index on `expires_at`; the embedded server does not.
        """
        async with unavailable():
            expired = {"expires_at": {"$lt": self._clock()}}
            documents = await self._sessions.find(expired, {"user_id": True}).to_list(BATCH_SIZE)
            if documents:
                places = [(document["user_id"], document["_id"]) for document in documents]
                await self._sessions.delete_many(in_lists("user_id", places))
        return len(documents)

    async def database_time(self) -> datetime:
        """Return the database's time, which `revoked_at` is set from."""
        async with unavailable():
            answer = await self._database.command("hello")
        local_time: datetime = answer["localTime"]
        return local_time.replace(tzinfo=UTC)

    async def revoked_since(self, moment: datetime) -> AsyncIterator[list[RevokedSession]]:
        """Yield the sessions revoked at `moment` (database time) or later, in batches."""
        where, fields = {"revoked_at": {"$gte": moment}}, {"user_id": True, "revoked_at": True}
        async with unavailable():
            cursor = self._sessions.find(where, fields, batch_size=BATCH_SIZE)
            while batch := await cursor.to_list(BATCH_SIZE):
                yield [RevokedSession(str(each["_id"]), str(each["user_id"]), each["revoked_at"]) for each in batch]

    async def tokens_ended_since(self, moment: datetime) -> AsyncIterator[dict[str, datetime]]:
        """Yield the access tokens that were ended by themselves at `moment` (database time) or later, in batches of
        `{token id: time}`. Tokens of revoked sessions are not among them."""
        where = {"tokens_ended_at": {"$gte": moment}}
        async with unavailable():
            cursor = self._sessions.find(where, {"tokens_ended_at": True, "ended_access": True}, batch_size=BATCH_SIZE)
            while batch := await cursor.to_list(BATCH_SIZE):
                yield {id: document["tokens_ended_at"] for document in batch for id in _ended_access(document)}

    async def _change_tokens(
        self,
        session_id: str,
        user_id: str,
        pair: TokenPair,
        change: Callable[[SessionTokens, datetime], SessionTokens],
        stamp: Document | None = None,
    ) -> SessionTokens:
        """Apply `change` to the session's tokens, atomically, and return the result.

        Optimistic: the update applies to the state that was read, or to nothing.
        """
        for _ in range(MAX_ATTEMPTS):
            at = self._clock()
            active = {
                **_key(session_id, user_id),
                "created_at": {"$gt": at - self._max_age},
                "expires_at": {"$gt": at},
                **NOT_REVOKED,
            }
            async with unavailable():
                document = await self._sessions.find_one(active)
            if document is None:
                raise TokenRevoked
            changed = change(_tokens(document), at)
            expires_at = self._expiry(document["created_at"], pair)
            fields = {**_fields(changed), "last_used_at": at, "expires_at": expires_at}
            async with unavailable():
                result = await self._sessions.update_one(
                    {**active, "refresh": document["refresh"]}, {"$set": fields, **(stamp or {})}
                )
            if result.modified_count:
                return changed
        raise Unavailable

    def _expiry(self, created_at: datetime, pair: TokenPair) -> datetime:
        """Return when the session ends: as long as the access token is valid, the session has to be revocable."""
        access, refresh = (datetime.fromtimestamp(token.expires_at, UTC) for token in pair)
        return max(access, min(refresh, created_at + self._max_age))

    def _find_active(self, user_id: str) -> Any:
        """Return a cursor, the most recently used session first."""
        where = {"user_id": ObjectId(user_id), "expires_at": {"$gt": self._clock()}, **NOT_REVOKED}
        return self._sessions.find(where).sort([("last_used_at", DESCENDING), ("_id", DESCENDING)])

    async def _revoke_all(self, user_id: str, ids: Sequence[ObjectId], where: Document | None = None) -> list[str]:
        """Revoke those of the sessions that match `where`."""
        if ids:
            await self._retain(user_id, ids)
            selected = {"_id": {"$in": list(ids)}, "user_id": ObjectId(user_id), **NOT_REVOKED, **(where or {})}
            async with unavailable():
                await self._sessions.update_many(selected, SET_REVOKED)
        return [str(id) for id in ids]

    async def _retain(self, user_id: str, ids: Sequence[ObjectId]) -> None:
        """Keep those of the sessions that are external, and are about to be revoked, as long as a session can last: the
        site may go on issuing tokens with the same `sid`."""
        where = {"_id": {"$in": list(ids)}, "user_id": ObjectId(user_id), "external": True}
        async with unavailable():
            await self._sessions.update_many(where, {"$max": {"expires_at": self._clock() + self._max_age}})


def _key(session_id: str, user_id: str) -> Document:
    return {"_id": ObjectId(session_id), "user_id": ObjectId(user_id)}


def _hash(token_id: str) -> str:
    return hashlib.sha256(token_id.encode()).hexdigest()


def _access(pair: TokenPair) -> AccessToken:
    return AccessToken(pair.access.id, pair.access.expires_at)


def _fields(tokens: SessionTokens) -> Document:
    return {
        "refresh": tokens.unused[-1],
        "unused": list(tokens.unused[:-1]),
        "spent": list(tokens.spent),
        "began_at": tokens.began_at,
        "ended": list(tokens.ended),
        "access": [list(token) for token in tokens.access],
        "ended_access": [list(token) for token in tokens.ended_access],
    }


def _tokens(document: Document) -> SessionTokens:
    """Sessions of earlier versions have only the field `refresh`."""
    return SessionTokens(
        unused=(*document.get("unused", ()), document["refresh"]),
        spent=tuple(document.get("spent", ())),
        began_at=document.get("began_at", EPOCH),
        ended=tuple(document.get("ended", ())),
        access=tuple(AccessToken(*token) for token in document.get("access", ())),
        ended_access=tuple(AccessToken(*token) for token in document.get("ended_access", ())),
    )


def _ended_access(document: Document) -> Iterator[str]:
    for id, _ in document.get("ended_access", ()):
        yield id
