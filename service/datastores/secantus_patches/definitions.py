"""The definitions of collections and indexes, which SecantusDB reads and decodes several times in each command."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import bson
import wiredtiger
from secantus import storage
from secantus.storage import Storage

Index = tuple[str, dict[str, Any], dict[str, Any]]
"""Name, key and options of an index."""

_mark_multikey = Storage._maybe_mark_multikey


@lru_cache(maxsize=4096)
def decode_index(key: bytes, value: bytes) -> Index:
    definition = bson.decode(value)
    return key.split(b"\0")[2].decode(), definition.get("key", {}), definition.get("options", {})


def read_indexes(store: Any, database: str, collection: str) -> Iterator[Index]:
    cursor = store._cursor(storage._IDX_TABLE)
    cursor.set_key(database, collection, "")
    found = cursor.search_near()
    if found == wiredtiger.WT_NOTFOUND or (found < 0 and cursor.next() != 0):
        return
    prefix = f"{database}\0{collection}\0".encode()
    while (key := cursor._get_key()).startswith(prefix):
        yield decode_index(key, cursor._get_value())
        if cursor.next() != 0:
            return


def iterate_indexes(self: Any, database: str, collection: str) -> Iterator[Index]:
    """Iterate over the indexes of a collection, in place of `Storage._iter_indexes`.

    A write does so twice a document. In a transaction, which sees one snapshot, they are read once.
    """
    known = getattr(self._tls, "indexes", None)
    if known is None:
        found = list(read_indexes(self, database, collection))
    elif (database, collection) in known:
        found = known[database, collection]
    else:
        found = known[database, collection] = list(read_indexes(self, database, collection))
    for name, key, options in found:
        yield name, dict(key), dict(options)


@contextmanager
def known_indexes(store: Any) -> Iterator[None]:
    """Read the indexes of a collection once in this block, which reads one snapshot: a lookup asks for them several
    times."""
    if getattr(store._tls, "indexes", None) is not None:
        yield
        return
    store._tls.indexes = {}
    try:
        yield
    finally:
        store._tls.indexes = None


def mark_multikey(self: Any, *arguments: Any) -> Any:
    """Change the definitions of indexes, as `Storage._maybe_mark_multikey` does; they are read anew after it."""
    marked = len(arguments[-1])
    result = _mark_multikey(self, *arguments)
    if len(result) != marked and getattr(self._tls, "indexes", None):
        self._tls.indexes = {}
    return result


@lru_cache(maxsize=4096)
def decode_options(stored: bytes) -> dict[str, Any]:
    return bson.decode(stored) if stored else {}


def collection_options(self: Any, database: str, collection: str) -> dict[str, Any] | None:
    """Return the options of a collection or None if it does not exist, in place of `Storage._coll_options`.

    That one decodes them again, and each command reads them.
    """
    cursor = self._cursor(storage._COLL_TABLE)
    cursor.set_key(database, collection)
    return dict(decode_options(cursor._get_value())) if cursor.search() == 0 else None
