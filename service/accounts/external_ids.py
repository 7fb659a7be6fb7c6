"""The store of external ids: which user somebody is whom the site that Loa stands beside names."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

from bson import ObjectId
from pymongo.errors import DuplicateKeyError

from service.common.times import now
from service.datastores.find_by_ids import find_by_ids
from service.datastores.mongo import Collection, Database, Document, unavailable


@dataclass(frozen=True, slots=True)
class Binding:
    """The user of an external id, None after a deletion.

    `is_stored`: the user's own document exists; until then, each process that needs the user creates it under this id.
    `generation` counts the revocations of all sessions, `nameless_generation` those of tokens without `sid` by
    themselves. Tokens issued until `revoked_until` (or those without `sid`, `nameless_revoked_until`), in Unix time,
    are revoked. `digests` are those of the claims that the profile was set from last, which were issued at
    `claims_issued_at`.
    """

    user_id: str | None
    is_stored: bool
    generation: int = 0
    nameless_generation: int = 0
    revoked_until: float = 0
    nameless_revoked_until: float = 0
    digests: Mapping[str, str] = field(default_factory=dict)
    claims_issued_at: float = 0


class ExternalIdStore:
    """Binds external ids to users. All methods raise Unavailable if the database is unavailable.

    The `_id` of a binding is a hash of the external id. So external ids are unique without an index of users, which a
    sharded cluster could not have, and what remains after a deletion does not name anybody: the time up to which tokens
    are revoked has to remain.
    """

    def __init__(self, database: Database, *, clock: Callable[[], datetime] = now) -> None:
        self._bindings: Collection = database["external_ids"]
        self._clock = clock

    async def create_indexes(self) -> None:
        """None: every access is by `_id`."""

    async def find(self, external_id: str) -> Binding | None:
        """Return the binding, or None."""
        async with unavailable():
            document = await self._bindings.find_one({"_id": _key(external_id)})
        return _binding(document) if document else None

    async def bind(self, external_id: str) -> Binding:
        """Return the binding of `external_id`, which is made if there is none. One of concurrent calls makes it."""
        key = _key(external_id)
        while True:
            async with unavailable():
                document = await self._bindings.find_one({"_id": key})
                if document and document["user_id"]:
                    return _binding(document)
                fresh = {"user_id": ObjectId(), "is_stored": False}
                if document:
                    await self._bindings.update_one({"_id": key, "user_id": None}, {"$set": fresh})
                else:
                    with suppress(DuplicateKeyError):
                        await self._bindings.insert_one({"_id": key, **fresh})

    async def mark_stored(self, external_id: str, user_id: str) -> None:
        """Record that the user's own document exists."""
        async with unavailable():
            await self._bindings.update_one(_where(external_id, user_id), {"$set": {"is_stored": True}})

    async def user_ids(self, external_ids: Iterable[str]) -> dict[str, str]:
        """Return the user ids of those of `external_ids` that have a user."""
        keys = {_key(external_id): external_id for external_id in external_ids}
        documents = await find_by_ids(self._bindings, keys, where={"is_stored": True})
        return {keys[document["_id"]]: str(document["user_id"]) for document in documents}

    async def record_claims(self, external_id: str, user_id: str, digests: Mapping[str, str], issued_at: float) -> None:
        """Record the claims that the profile was set from, unless later ones are recorded.

        `issued_at`: 0 if the token does not say it.
        """
        where: Document = _where(external_id, user_id)
        if issued_at:
            where["claims_issued_at"] = {"$not": {"$gt": issued_at}}
        async with unavailable():
            changes = {"digests": dict(digests), "claims_issued_at": issued_at}
            await self._bindings.update_one(where, {"$set": changes})

    async def revoke(self, external_id: str) -> None:
        """Revoke every token issued until now."""
        until = self._clock().timestamp()
        async with unavailable():
            await self._bindings.update_one(
                {"_id": _key(external_id)}, {"$inc": {"generation": 1}, "$max": {"revoked_until": until}}
            )

    async def end_sessions(self, external_id: str) -> None:
        """Let every later use of a token begin another session: those that exist are about to be revoked."""
        async with unavailable():
            await self._bindings.update_one({"_id": _key(external_id)}, {"$inc": {"generation": 1}})

    async def revoke_nameless(self, external_id: str, generation: int, until: float) -> None:
        """Revoke every token without `sid` issued until this time, unless that `nameless_generation` is over."""
        where = {"_id": _key(external_id), "nameless_generation": generation or None}
        async with unavailable():
            changes = {"$inc": {"nameless_generation": 1}, "$max": {"nameless_revoked_until": until}}
            await self._bindings.update_one(where, changes)

    async def unbind(self, external_id: str, user_id: str) -> None:
        """End the binding to this user, who is being deleted, and revoke every token issued until now.

        The next token or request creates another user.
        """
        until = self._clock().timestamp()
        changes = {
            "$set": {"user_id": None, "is_stored": False},
            "$unset": {"digests": "", "claims_issued_at": ""},
            "$inc": {"generation": 1},
            "$max": {"revoked_until": until},
        }
        async with unavailable():
            await self._bindings.update_one(_where(external_id, user_id), changes)


def _key(external_id: str) -> str:
    return hashlib.sha256(external_id.encode()).hexdigest()


def _where(external_id: str, user_id: str) -> Document:
    return {"_id": _key(external_id), "user_id": ObjectId(user_id)}


def _binding(document: Document) -> Binding:
    return Binding(
        str(document["user_id"]) if document["user_id"] else None,
        document["is_stored"],
        document.get("generation", 0),
        document.get("nameless_generation", 0),
        document.get("revoked_until", 0),
        document.get("nameless_revoked_until", 0),
        document.get("digests", {}),
        document.get("claims_issued_at", 0),
    )
