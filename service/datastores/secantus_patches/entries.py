"""The index entries of documents that are inserted or updated."""

from itertools import product
from typing import Any, NamedTuple

import wiredtiger
from secantus import storage
from secantus.storage import Storage

from service.datastores.secantus_patches.updates import update

_delete_index_entries = Storage._delete_index_entries
_insert_chunk = Storage._insert_chunk
_unique_conflict = Storage._unique_conflict
_validate_geo_indexes = Storage._validate_geo_indexes
_write_index_entries = Storage._write_index_entries

SPECIAL_OPTIONS = frozenset({"collation", "prepareUnique", "sparse"})
Keys = list[tuple[bytes, bool]]
"""The keys of a document in an index, and whether each contains a whole array."""


class Plan(NamedTuple):
    """An index of numbers, strings, times … whose entries `write_index_entries` writes."""

    name: str
    key: dict[str, Any]
    partial: dict[str, Any]
    is_unique: bool


class Plans(NamedTuple):
    """The plans of a list of indexes that SecantusDB hands over with each document of a statement; None if one of the
    indexes is of another kind."""

    indexes: list[Any]
    plans: list[Plan] | None


def plans_of(store: Any, database: str, collection: str, indexes: list[Any], partials: Any) -> list[Plan] | None:
    """Return the plans of these indexes, made once for each statement."""
    known: Plans | None = getattr(store._tls, "plans", None)
    if known is None or known.indexes is not indexes:
        known = store._tls.plans = Plans(indexes, _make_plans(store, database, collection, indexes, partials))
    return known.plans


def _make_plans(store: Any, database: str, collection: str, indexes: list[Any], partials: Any) -> list[Plan] | None:
    if partials is None:
        return None
    options = store._index_options_map(database, collection)
    plans = [Plan(name, key, partials.get(name, {}), is_unique) for name, key, _, is_unique in indexes]
    special = any(not SPECIAL_OPTIONS.isdisjoint(options.get(plan.name, {})) for plan in plans)
    directions = {direction for plan in plans for direction in plan.key.values()}
    return None if special or not directions <= {1, -1} else plans


def insert_chunk(self: Any, *arguments: Any, **options: Any) -> Any:
    """Insert documents in one transaction, as `Storage._insert_chunk` does. A unique key that is taken is found when it
    is claimed, not looked for before that, too."""
    self._tls.inserting = True
    try:
        return _insert_chunk(self, *arguments, **options)
    finally:
        self._tls.inserting = False


def unique_conflict(
    self: Any,
    database: str,
    collection: str,
    document: dict[str, Any],
    indexes: list[Any],
    *,
    exclude_recordid: int | None,
    partials: Any = None,
) -> Any:
    """Return the unique key of `document` that another one has, as `Storage._unique_conflict` does; None in
    `insert_chunk`."""
    plans = plans_of(self, database, collection, indexes, partials)
    if plans is not None and getattr(self._tls, "inserting", False):
        return None
    affected = update.affected(document, indexes, partials)
    return _unique_conflict(
        self, database, collection, document, affected, exclude_recordid=exclude_recordid, partials=partials
    )


def validate_geo_indexes(
    self: Any, database: str, collection: str, document: dict[str, Any], indexes: list[Any], partials: Any = None
) -> None:
    """Check the places in a document, as `Storage._validate_geo_indexes` does, if there is an index of places."""
    if plans_of(self, database, collection, indexes, partials) is None:
        _validate_geo_indexes(self, database, collection, document, indexes, partials)


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
    """Write the entries of a document, as `Storage._write_index_entries` does, for the indexes that an update affects.

    Encodes each of its values once. Raises UniqueKeyTaken; in `insert_chunk`, no entries are left then. SecantusDB
    leaves some.
    """
    plans = plans_of(self, database, collection, indexes, partials)
    affected = update.affected(document, indexes, partials)
    try:
        if plans is None:
            _write_index_entries(self, database, collection, document, affected, partials, recordid=recordid)
            return
        if affected is not indexes:
            names = {index[0] for index in affected}
            plans = [plan for plan in plans if plan.name in names]
        _write_entries(self, database, collection, document, plans, recordid)
    except storage.UniqueKeyTaken:
        if getattr(self._tls, "inserting", False):
            _delete_index_entries(self, database, collection, document, indexes, partials, recordid=recordid)
        raise


def _write_entries(
    store: Any, database: str, collection: str, document: dict[str, Any], plans: list[Plan], recordid: int
) -> None:
    entries = store._cursor(storage._IDX_ENTRIES_TABLE)
    claims = store._cursor(storage._UNIQ_TABLE, overwrite=False)
    encoded: dict[tuple[str, int], Keys] = {}
    end = storage._ENTRY_SEP + recordid.to_bytes(8, "big", signed=True)
    for plan in plans:
        if plan.partial and not _is_in_partial(document, plan.partial):
            continue
        for key, is_whole in _keys_of(document, plan.key, encoded):
            escaped = storage._escape_kb(key)
            entries[database, collection, plan.name, escaped + end] = b""
            # Of an array, only the elements have to be unique; they are, if the array is not, too.
            if plan.is_unique and not is_whole:
                claims.set_key(database, collection, plan.name, escaped)
                claims.set_value(recordid)
                try:
                    claims.insert()
                except wiredtiger.WiredTigerError as error:
                    if storage._is_wt_duplicate_key(error):
                        raise store._dup_key_error(
                            database, collection, plan.name, key, plan.key, document, None
                        ) from error
                    raise


def _is_in_partial(document: dict[str, Any], partial: dict[str, Any]) -> bool:
    """Return whether a partial index has the document."""
    for name, wanted in partial.items():
        if wanted != {"$exists": True} or "." in name:
            return bool(storage.matches(document, partial))
        if name not in document:
            return False
    return True


def _keys_of(document: dict[str, Any], key: dict[str, Any], encoded: dict[tuple[str, int], Keys]) -> Keys:
    """Return the keys of a document in an index, each once. `encoded`: the values that other indexes have, too."""
    parts = []
    for field, direction in key.items():
        part = encoded.get((field, direction))
        if part is None:
            part = encoded[field, direction] = _encode(document, field, direction)
        parts.append(part)
    if len(parts) == 1:
        return parts[0]
    found: dict[bytes, bool] = {}
    for combination in product(*parts):
        joined = storage.COMPOUND_SEP.join([value for value, _ in combination])
        found.setdefault(joined, any(is_whole for _, is_whole in combination))
    return list(found.items())


def _encode(document: dict[str, Any], field: str, direction: int) -> Keys:
    value = document.get(field)
    if "." not in field and not isinstance(value, (list, dict)):
        return [(storage.encode_value_directed(value, direction), False)]
    values, _ = storage._index_field_values(document, field)
    found = dict.fromkeys([storage.encode_value_directed(each, direction) for each in values], False)
    if isinstance(value, list) and value:
        found[storage.encode_value_directed(value, direction)] = True
    return list(found.items())
