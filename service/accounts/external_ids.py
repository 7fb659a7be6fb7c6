"""The store of external ids: which user somebody is whom the site that Loa stands beside names."""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from bson import ObjectId
from pymongo.errors import DuplicateKeyError

from service.common.times import now
from service.datastores.find_by_ids import find_by_ids
from service.datastores.mongo import Collection, Database, Document, unavailable


@dataclass(frozen=True, slots=True)
class Binding:
    """The user of an external id. `is_stored`: the user's own document exists; until then, whoever needs the user
    creates it under this id."""

    user_id: str
    is_stored: bool


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
                    continue
                try:
                    await self._bindings.insert_one({"_id": key, **fresh})
                except DuplicateKeyError:
                    continue
            return Binding(str(fresh["user_id"]), is_stored=False)

    async def mark_stored(self, external_id: str, user_id: str) -> None:
        """Record that the user's own document exists."""
        async with unavailable():
            await self._bindings.update_one(_where(external_id, user_id), {"$set": {"is_stored": True}})

    async def user_ids(self, external_ids: Iterable[str]) -> dict[str, str]:
        """Return the user ids of those of `external_ids` that have a user."""
        keys = {_key(external_id): external_id for external_id in external_ids}
        documents = await find_by_ids(self._bindings, keys, where={"is_stored": True})
        return {keys[document["_id"]]: str(document["user_id"]) for document in documents}

    async def unbind(self, external_id: str, user_id: str) -> None:
        """End the binding to this user, who is being deleted. The next token or request creates another user."""
        changes = {"user_id": None, "is_stored": False}
        async with unavailable():
            await self._bindings.update_one(_where(external_id, user_id), {"$set": changes})


def _key(external_id: str) -> str:
    return hashlib.sha256(external_id.encode()).hexdigest()


def _where(external_id: str, user_id: str) -> Document:
    return {"_id": _key(external_id), "user_id": ObjectId(user_id)}


def _binding(document: Document) -> Binding:
    return Binding(str(document["user_id"]), document["is_stored"])
