"""The ids that users and conversations have on the site beside Loa."""

from collections.abc import Collection

from bson import ObjectId

from service.datastores.find_by_ids import find_by_ids
from service.datastores.mongo import Database

MAX_CACHED = 20_000


class ExternalIds:
    """Reads external ids, and remembers them: a user or conversation has the same one, or none, from the beginning."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._cached: dict[ObjectId, str | None] = {}

    async def of(self, collection: str, ids: Collection[ObjectId]) -> dict[ObjectId, str]:
        """Return the external ids of those of `ids` in `collection` that have one. Raises Unavailable."""
        if len(self._cached) > MAX_CACHED:
            self._cached.clear()
        if missing := [id for id in ids if id not in self._cached]:
            documents = await find_by_ids(self._database[collection], missing, {"external_id": True})
            self._cached |= {document["_id"]: document.get("external_id") for document in documents}
        return {id: external for id in ids if (external := self._cached.get(id))}
