"""Documents that have expired, by the TTL indexes."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

from service.datastores.secantus_patches.definitions import iterate_indexes

EXPIRED_BATCH = 100
"""Expired documents that are deleted in one transaction."""
EXPIRED_PAUSE = 0.01
"""Seconds between two such transactions, in which others may write to the collection."""


def delete_expired(self: Any, database: str, collection: str, *, now: datetime | None = None) -> int:
    """Delete the documents that have expired, in place of `Storage.prune_ttl`. Returns their number.

    That one decodes all documents of the collection once a minute, and nobody can write meanwhile. This one finds
    them by the index, and deletes EXPIRED_BATCH at a time.
    """
    now, total = now or datetime.now(UTC), 0
    for _, key, options in list(iterate_indexes(self, database, collection)):
        seconds = options.get("expireAfterSeconds")
        if seconds is None or len(key) != 1:
            continue
        (field,) = key
        expired = {field: {"$lt": now - timedelta(seconds=seconds)}, **options.get("partialFilterExpression", {})}
        while deleted := self.delete_matching(database, collection, expired, limit=EXPIRED_BATCH):
            total += deleted
            time.sleep(EXPIRED_PAUSE)
    return total
