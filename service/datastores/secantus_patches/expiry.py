"""Documents that have expired, by the TTL indexes."""

import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from secantus import storage
from secantus.storage import Storage

from service.datastores.secantus_patches.definitions import iterate_indexes
from service.datastores.secantus_patches.snapshots import release_snapshot

EXPIRED_BATCH = 100
"""Expired documents that are deleted in one transaction."""
EXPIRED_PAUSE = 0.01
"""Seconds between two such transactions, in which others may write to the collection."""
COLLECTION_PAUSE = 0.001
"""Seconds between two collections."""

_create_index = Storage.create_index


def create_index(self: Any, database: str, collection: str, name: str, key: Any, options: Any = None) -> bool:
    """Create an index, as `Storage.create_index` does, and remember the collection if its documents expire."""
    if options and "expireAfterSeconds" in options:
        _expiring(self).add((database, collection))
    return bool(_create_index(self, database, collection, name, key, options))


def delete_all_expired(self: Any, *, now: datetime | None = None) -> int:
    """Delete expired documents of all collections, in place of `Storage.prune_ttl_all_collections`.

    That one reads the indexes of every collection once a minute. This one does so once, and then knows those that have
    a TTL index. Returns the number of documents.
    """
    if not getattr(self, "_expiring_read", False):
        self._expiring_read = True
        for database, collection in _collections(self):
            if any("expireAfterSeconds" in options for _, _, options in iterate_indexes(self, database, collection)):
                _expiring(self).add((database, collection))
    total = 0
    for database, collection in sorted(_expiring(self)):
        with suppress(Exception):  # it may be dropped meanwhile, or the store closed
            total += delete_expired(self, database, collection, now=now)
        time.sleep(COLLECTION_PAUSE)
    release_snapshot(self)
    return total


def _expiring(store: Any) -> set[tuple[str, str]]:
    """Return the known collections with a TTL index, by database and name."""
    found: set[tuple[str, str]] = vars(store).setdefault("_expiring_collections", set())
    return found


def _collections(store: Any) -> list[tuple[str, str]]:
    with store._lock:
        cursor, found = store._cursor(storage._COLL_TABLE), []
        while cursor.next() == 0:
            database, collection = cursor.get_key()
            found.append((database, collection))
        return found


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
