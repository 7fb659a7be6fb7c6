"""Reading any number of documents by their ids."""

import asyncio
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, TypeVar

from bson import ObjectId

from service.datastores.mongo import Collection as MongoCollection
from service.datastores.mongo import Document, unavailable

IDS_PER_READ = 32
"""The embedded server looks them up one after the other, and others wait meanwhile."""
CONCURRENT_READS = 8
"""If the server is fast, most of the time of a read is the network round trip."""

Id = TypeVar("Id")
Place = tuple[ObjectId, Any]
"""The list that a document belongs to (the value of its collection's shard key), and its id."""


async def find_by_ids(
    collection: MongoCollection,
    ids: Iterable[Any],
    fields: dict[str, Any] | None = None,
    where: Document | None = None,
) -> list[Document]:
    """Return those of the documents that exist and match `where`, in no order. Raises Unavailable."""

    def selected(part: Sequence[Any]) -> Document:
        return {"_id": {"$in": part}, **(where or {})}

    return await _find(collection, list(ids), selected, fields)


async def find_in_lists(
    collection: MongoCollection,
    scope: str,
    places: Collection[Place],
    fields: dict[str, Any] | None = None,
    where: Document | None = None,
) -> list[Document]:
    """Like `find_by_ids`, in a collection whose shard key is the field `scope`: only the shards of these lists are
    asked. Raises Unavailable."""

    def selected(part: Sequence[Place]) -> Document:
        return in_lists(scope, part) | (where or {})

    wanted = set(places)
    found = await _find(collection, list(wanted), selected, {**fields, scope: True} if fields else None)
    return [document for document in found if (document[scope], document["_id"]) in wanted]


def in_lists(scope: str, places: Iterable[Place]) -> Document:
    """Return the filter of these documents, in a collection whose shard key is the field `scope`."""
    lists, ids = zip(*places, strict=True)
    return {"_id": {"$in": list(ids)}, scope: {"$in": list(set(lists))}}


async def _find(
    collection: MongoCollection,
    remaining: list[Id],
    selected: Callable[[Sequence[Id]], Document],
    fields: dict[str, Any] | None,
) -> list[Document]:
    found: list[Document] = []
    async with unavailable():
        while remaining:
            chunk = remaining[: IDS_PER_READ * CONCURRENT_READS]
            remaining = remaining[IDS_PER_READ * CONCURRENT_READS :]
            parts = [chunk[first : first + IDS_PER_READ] for first in range(0, len(chunk), IDS_PER_READ)]
            reads = [collection.find(selected(part), fields).to_list(None) for part in parts]
            for documents in await asyncio.gather(*reads):
                found += documents
    return found
