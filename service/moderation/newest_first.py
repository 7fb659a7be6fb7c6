"""Pages of a collection, the latest document first."""

from datetime import datetime

from bson import ObjectId
from pymongo import DESCENDING

from service.datastores.mongo import Collection, Document, unavailable

SortKey = tuple[datetime, ObjectId]


async def newest_first(
    collection: Collection, field: str, where: Document, limit: int, before: SortKey | None
) -> list[Document]:
    """Return the `limit` latest documents of `where`, or of those behind the sort key `before`. `field`: its time.
    Raises Unavailable."""
    if before:
        moment, last = before
        where = {**where, "$or": [{field: {"$lt": moment}}, {field: moment, "_id": {"$lt": last}}]}
    async with unavailable():
        cursor = collection.find(where).sort([(field, DESCENDING), ("_id", DESCENDING)]).limit(limit)
        found: list[Document] = await cursor.to_list(limit)
    return found
