"""Reading documents by their ids, however many."""

from collections.abc import Iterable
from typing import Any

from bson import ObjectId

from service.datastores.mongo import Collection, Document, unavailable

AT_ONCE = 32
"""Ids in one read. The embedded server compares each document that it finds with each of the ids: a hundred in one read
take it four times as long as in four, and a thousand take seconds."""


async def by_ids(
    collection: Collection,
    ids: Iterable[ObjectId],
    fields: dict[str, Any] | None = None,
    where: Document | None = None,
) -> list[Document]:
    """Those of the documents that exist, and are as `where` says. Raises Unavailable."""
    left = list(ids)
    found: list[Document] = []
    async with unavailable():
        while left:
            some, left = left[:AT_ONCE], left[AT_ONCE:]
            found += await collection.find({"_id": {"$in": some}, **(where or {})}, fields).to_list(None)
    return found
