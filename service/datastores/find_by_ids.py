"""Reading documents by their ids, however many."""

import asyncio
from collections.abc import Iterable
from typing import Any

from bson import ObjectId

from service.datastores.mongo import Collection, Document, unavailable

AT_ONCE = 32
"""Ids in one read. The embedded server compares each document that it finds with each of the ids: a hundred in one read
take it four times as long as in four, and a thousand take seconds."""
READS = 8
"""Under way at once: where the server is quick, most of what one read takes is its way there and back."""


async def find_by_ids(
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
            some, left = left[: AT_ONCE * READS], left[AT_ONCE * READS :]
            parts = [some[first : first + AT_ONCE] for first in range(0, len(some), AT_ONCE)]
            reads = [collection.find({"_id": {"$in": part}, **(where or {})}, fields).to_list(None) for part in parts]
            for documents in await asyncio.gather(*reads):
                found += documents
    return found
