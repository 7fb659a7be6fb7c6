"""Replacements of functions of SecantusDB that do more than they have to with each command.

Workarounds (SecantusDB 0.7). `apply` replaces functions of SecantusDB and WiredTiger; only the process of the embedded
MongoDB calls it.
"""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from types import NoneType
from typing import Any

import bson
import wiredtiger
from secantus import commands, sortkey, storage
from secantus.storage import Storage

PRUNE_INTERVAL = 10.0
"""Seconds between two searches for sessions, and for retryable writes, that have ended."""
EXPIRED_BATCH = 100
"""Expired documents that are deleted in one transaction."""
EXPIRED_PAUSE = 0.01
"""Seconds between two such transactions, in which others may write to the collection."""

SIMPLE_TYPES = (str, int, bytes, bool, NoneType, datetime, bson.ObjectId)
"""Of two values of one of these types, `==` tells whether they are stored alike."""

Index = tuple[str, dict[str, Any], dict[str, Any]]
"""Name, key and options of an index."""

_pack, _unpack = wiredtiger.pack, wiredtiger.unpack
_batch_transaction = Storage._batch_transaction
_mark_multikey = Storage._maybe_mark_multikey
_document_changed = storage._doc_changed
_unique_conflict = Storage._unique_conflict
_write_index_entries = Storage._write_index_entries
_delete_index_entries = Storage._delete_index_entries


def prune_seldom(registry: Any, method: str, clock: Callable[[], float] = time.monotonic) -> None:
    """Let `registry` call its `method`, which drops what is too old, at most once in PRUNE_INTERVAL.

    SecantusDB calls it with every command, to go through all sessions, and twice with every write, to go through the
    last 10,000 writes. They tripled the processor time of a write.
    """
    prune, pruned_at = getattr(registry, method), clock()

    def prune_if_due() -> int:
        nonlocal pruned_at
        if clock() - pruned_at < PRUNE_INTERVAL:
            return 0
        pruned_at = clock()
        return int(prune() or 0)

    setattr(registry, method, prune_if_due)


@lru_cache
def split_format(packing: str) -> tuple[int, str]:
    """Return with how many strings the format begins, and the rest: "", "q" (a number), "u" (bytes) or another."""
    rest = packing.lstrip("S")
    return len(packing) - len(rest), rest


def pack(packing: str, *values: Any) -> bytes:
    """Pack a key or a value, as WiredTiger's `pack` does, which interprets the format with each call."""
    count, rest = split_format(packing)
    if rest == "u" and isinstance(values[count], bytes):
        tail: bytes = values[count]
    elif rest == "q":
        tail = _pack("q", values[count])
    elif rest:
        return bytes(_pack(packing, *values))
    else:
        tail = b""
    head = "".join([value + "\0" for value in values[:count]])
    if head.count("\0") != count:
        return bytes(_pack(packing, *values))
    return head.encode() + tail


def unpack(packing: str, packed: bytes) -> list[Any]:
    """Unpack what `pack` has packed."""
    count, rest = split_format(packing)
    if rest not in ("u", "q", "") or not packed:
        return list(_unpack(packing, packed))
    *strings, tail = packed.split(b"\0", count)
    values: list[Any] = [string.decode() for string in strings]
    if rest:
        values.append(tail if rest == "u" else _unpack("q", tail)[0])
    return values


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
def batch_transaction(self: Any, *, sync: bool = False) -> Iterator[Any]:
    """Run the block in a transaction, as `Storage._batch_transaction` does, in which indexes are read once."""
    with _batch_transaction(self, sync=sync) as session:
        self._tls.indexes = {}
        try:
            yield session
        finally:
            self._tls.indexes = None


def mark_multikey(self: Any, *arguments: Any) -> Any:
    """Change the definitions of indexes, as `Storage._maybe_mark_multikey` does; they are read anew after it."""
    marked = len(arguments[-1])
    result = _mark_multikey(self, *arguments)
    if len(result) != marked and getattr(self._tls, "indexes", None):
        self._tls.indexes = {}
    return result


class Update(threading.local):
    """The update of a document that the thread has begun, so that it changes only the indexes that the update affects.

    SecantusDB removes the document from all indexes, and adds it to all of them again.
    """

    def __init__(self) -> None:
        self._documents: tuple[dict[str, Any], ...] = ()
        self._changed: set[str] = set()

    def begin(self, new: dict[str, Any], old: dict[str, Any]) -> bool:
        """Return whether `new` differs from `old`, as `storage._doc_changed` does."""
        self._documents = ()
        if not _document_changed(new, old):
            return False
        self._changed = {field for field in new.keys() | old.keys() if _differs(new, old, field)}
        self._documents = (new, old)
        return True

    def affected(self, document: dict[str, Any], indexes: list[Any], partial_filters: Any) -> list[Any]:
        """Return those of `indexes` from which this version of `document` may be missing or have to be removed."""
        if partial_filters is None or not any(document is version for version in self._documents):
            return indexes
        return [
            index for index in indexes if self._affects(index[1]) or self._affects(partial_filters.get(index[0], {}))
        ]

    def _affects(self, fields: dict[str, Any]) -> bool:
        """Return whether one of the fields of a key or a filter has been changed. Operators may contain any field."""
        return any(field[0] == "$" or field.partition(".")[0] in self._changed for field in fields)


def _differs(new: dict[str, Any], old: dict[str, Any], field: str) -> bool:
    if field not in new or field not in old:
        return True
    a, b = new[field], old[field]
    if type(a) is type(b) and type(a) in SIMPLE_TYPES:
        return bool(a != b)
    # In Python, 1 equals True and 1.0.
    return bson.encode({"": a}) != bson.encode({"": b})


update = Update()


def unique_conflict(
    self: Any, database: str, collection: str, document: dict[str, Any], indexes: list[Any], **options: Any
) -> Any:
    affected = update.affected(document, indexes, options.get("partials"))
    return _unique_conflict(self, database, collection, document, affected, **options)


def write_index_entries(
    self: Any,
    database: str,
    collection: str,
    document: dict[str, Any],
    indexes: list[Any],
    partials: Any = None,
    *,
    recordid: int,
) -> None:
    affected = update.affected(document, indexes, partials)
    _write_index_entries(self, database, collection, document, affected, partials, recordid=recordid)


def delete_index_entries(
    self: Any,
    database: str,
    collection: str,
    document: dict[str, Any],
    indexes: list[Any],
    partials: Any = None,
    *,
    recordid: int,
) -> None:
    affected = update.affected(document, indexes, partials)
    _delete_index_entries(self, database, collection, document, affected, partials, recordid=recordid)


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


def first_change_since(self: Any, timestamp: bson.Timestamp) -> int:
    """Return the number of the first change at or after `timestamp`, in place of `Storage._find_seq_for_ts_scan`.

    That one decodes all changes of the last hour, up to 100,000, and other commands wait for it: seconds for each
    change stream that starts at a time. Later changes have later timestamps.
    """
    with self._lock:
        if self._closed:
            return 0
        session = self._conn.open_session()
    try:
        cursor = session.open_cursor(storage._OPLOG_TABLE, None)
        low, high = 0, self._next_seq
        while low < high:
            middle = (low + high) // 2
            change = change_from(cursor, middle)
            if change is not None and change[1] < timestamp:
                low = change[0] + 1
            else:
                high = middle
        change = change_from(cursor, low)
        return change[0] if change else int(self._next_seq)
    finally:
        session.close()


def change_from(cursor: Any, number: int) -> tuple[int, bson.Timestamp] | None:
    """Return number and timestamp of the first change that has this number or a later one."""
    cursor.set_key(number)
    found = cursor.search_near()
    if found == wiredtiger.WT_NOTFOUND or (found < 0 and cursor.next() != 0):
        return None
    return cursor.get_key(), bson.decode(cursor.get_value())["ts"]


def record_nothing(*_: object) -> None:
    """Replace the profiler. It is off, but reads from storage with every command whether it is."""


def apply() -> None:
    """Replace the functions."""
    replaced: dict[Any, dict[str, Any]] = {
        sys.modules[wiredtiger.Cursor.__module__]: {"pack": pack, "unpack": unpack},
        commands: {"_maybe_record_profile": record_nothing},
        sortkey: {"_encode_number": lru_cache(maxsize=4096, typed=True)(sortkey._encode_number)},
        storage: {"_doc_changed": update.begin},
        Storage: {
            "_iter_indexes": iterate_indexes,
            "_batch_transaction": batch_transaction,
            "_maybe_mark_multikey": mark_multikey,
            "_coll_options": collection_options,
            "_unique_conflict": unique_conflict,
            "_write_index_entries": write_index_entries,
            "_delete_index_entries": delete_index_entries,
            "prune_ttl": delete_expired,
            "_find_seq_for_ts_scan": first_change_since,
        },
    }
    for owner, functions in replaced.items():
        for name, function in functions.items():
            if not hasattr(owner, name):
                raise AttributeError(f"{owner.__name__} has no {name}: is this another version of SecantusDB?")
            setattr(owner, name, function)
