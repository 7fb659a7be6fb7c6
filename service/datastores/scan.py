"""A walk over a whole collection, for what is too seldom to be worth an index."""

import struct
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

from bson import ObjectId

from service.datastores.mongo import Collection, Document, unavailable

BATCH = 500
DAY = 24 * 3600
FIRST_SPAN = 60
QUICK = 0.25
SLOW = 1.0
"""Seconds that a read may take, far from the driver's limit: a span that took less than QUICK is followed by a longer
one, one that took more than SLOW by a shorter one."""


async def scan(
    collection: Collection, where: Document, fields: dict[str, Any], since: datetime | None = None
) -> AsyncIterator[list[Document]]:
    """The documents that match `where`, made at `since` or later, latest first, in batches that are not empty.

    Goes back over the times in their ObjectIds, in spans that fit: each read is a bounded range of the one index that
    every collection has. A batch has at most BATCH documents, or those of one second. Raises Unavailable.
    """
    first = int(since.timestamp()) if since else 0
    present, span = int(datetime.now(UTC).timestamp()), FIRST_SPAN
    # The clocks of those who made them may be ahead of ours.
    until = present + DAY
    while until > first:
        begin = max(first, until - span) if until <= present else present
        within = {"_id": {"$gte": _first_id(begin), "$lt": _first_id(until)}}
        started = time.monotonic()
        async with unavailable():
            most = BATCH + 1 if span > 1 else None
            found: list[Document] = await collection.find({**where, **within}, fields).to_list(most)
        took = time.monotonic() - started
        if most and len(found) == most:
            span = max(1, span // 8)
            continue
        if found:
            yield found
        until = begin
        if took < QUICK:
            span = span * 2
        elif took > SLOW:
            span = max(1, span // 4)


def _first_id(second: int) -> ObjectId:
    """The least ObjectId of that Unix time."""
    return ObjectId(struct.pack(">I", second) + bytes(8))
