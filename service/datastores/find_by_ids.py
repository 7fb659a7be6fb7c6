"""Reading any number of documents by their ids."""

import asyncio
from collections.abc import Iterable
from typing import Any

from service.datastores.mongo import Collection, Document, unavailable

IDS_PER_READ = 32
"""The embedded server compares each document that it finds with each of the ids: one read of a hundred ids takes four
times as long as four smaller reads, and one of a thousand takes seconds."""
CONCURRENT_READS = 8
"""If the server is fast, most of the time of a read is the network round trip."""


async def find_by_ids(
    collection: Collection,
    ids: Iterable[Any],
    fields: dict[str, Any] | None = None,
    where: Document | None = None,
) -> list[Document]:
    """Return those of the documents that exist and match `where`, in no order. Raises Unavailable."""
    remaining = list(ids)
    found: list[Document] = []
    async with unavailable():
        while remaining:
            chunk = remaining[: IDS_PER_READ * CONCURRENT_READS]
            remaining = remaining[IDS_PER_READ * CONCURRENT_READS :]
            parts = [chunk[first : first + IDS_PER_READ] for first in range(0, len(chunk), IDS_PER_READ)]
            reads = [collection.find({"_id": {"$in": part}, **(where or {})}, fields).to_list(None) for part in parts]
            for documents in await asyncio.gather(*reads):
                found += documents
    return found
