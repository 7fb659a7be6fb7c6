"""Documents that wait for a time of their own, `due_at`: those whose time has come, and the time of another attempt."""

import random
from collections.abc import Collection
from datetime import datetime, timedelta

from service.common.times import now
from service.datastores.mongo import Collection as MongoCollection
from service.datastores.mongo import Document, unavailable

JITTER = 0.2


async def find_due(
    collection: MongoCollection, limit: int, where: Document | None = None, without: Collection[str] = ()
) -> list[Document]:
    """Return up to `limit` documents that match `where` and whose time has come, the earliest first; none whose id is
    in `without`. Needs an index that ends with `due_at`. Raises Unavailable."""
    selection = {**(where or {}), "due_at": {"$lte": now()}}
    async with unavailable():
        found = await collection.find(selection).sort("due_at", 1).limit(limit + len(without)).to_list(None)
    return [document for document in found if document["_id"] not in without][:limit]


def retry_at(seconds: float, at_least: float = 0.0) -> datetime:
    """Return the time `seconds` (±20 %) from now, so that what failed together is not repeated together, and not
    earlier than in `at_least` seconds."""
    delay = seconds * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311
    return now() + timedelta(seconds=max(delay, at_least))
