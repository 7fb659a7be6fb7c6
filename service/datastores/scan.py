"""A scan of a whole collection by time, for queries that are too rare to be worth an index."""

import struct
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

from bson import ObjectId

from service.datastores.mongo import Collection, Document, unavailable

MAX_BATCH = 500
WHOLE_BATCH = 250
"""Whole documents: four megabytes of the longest."""
DAY = 24 * 3600
FIRST_SPAN = 60
"""Seconds of creation time that the first read covers."""
FAST_READ = 0.25
SLOW_READ = 1.0
"""Seconds that a read takes, far below the driver's timeout. After a read faster than FAST_READ the span is doubled,
after one slower than SLOW_READ it is divided by four."""


async def scan(
    collection: Collection,
    where: Document,
    fields: dict[str, Any] | None,
    since: datetime | None = None,
    max_batch: int = MAX_BATCH,
) -> AsyncIterator[list[Document]]:
    """Yield the documents that match `where` and were created at `since` or later, newest first, in non-empty batches.

    Walks backwards through the creation times in the ObjectIds, in spans of adaptive length: each read is a bounded
    range of `_id`, the one index that every collection has. A batch has at most `max_batch` documents, unless more were
    created within one second. `fields`: None reads whole documents. Raises Unavailable.
    """
    first = int(since.timestamp()) if since else 0
    present, span = int(datetime.now(UTC).timestamp()), FIRST_SPAN
    # The clocks of the processes that created the documents may be ahead of this one.
    end = present + DAY
    while end > first:
        begin = max(first, end - span) if end <= present else present
        id_range = {"_id": {"$gte": _min_id(begin), "$lt": _min_id(end)}}
        started = time.monotonic()
        async with unavailable():
            limit = max_batch + 1 if span > 1 else None
            found: list[Document] = await collection.find({**where, **id_range}, fields).to_list(limit)
        duration = time.monotonic() - started
        if limit and len(found) == limit:
            span = max(1, span // 8)
            continue
        if found:
            yield found
        end = begin
        if duration < FAST_READ:
            span = span * 2
        elif duration > SLOW_READ:
            span = max(1, span // 4)


def _min_id(second: int) -> ObjectId:
    """Return the smallest ObjectId of that Unix time."""
    return ObjectId(struct.pack(">I", second) + bytes(8))
