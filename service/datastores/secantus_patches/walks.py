"""Sorted documents of which only the first ones are wanted, read in the order of an index."""

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple

import wiredtiger
from secantus import deadline, sortkey, storage
from secantus.storage import Storage

from service.datastores.secantus_patches.definitions import known_indexes
from service.datastores.secantus_patches.lookups import COMPARISONS, REST, implies_partial, indexed_part, is_value
from service.datastores.secantus_patches.sorting import sort_documents

_find_matching = Storage.find_matching

SORTED = frozenset({sortkey.RANK_DATE, sortkey.RANK_OBJECTID, sortkey.RANK_BOOL, sortkey.RANK_STRING})
"""Types of which an index has all values in the order of MongoDB. Of numbers, very small and very large ones are
not."""
END = b"\xff"
"""Behind all values: their first byte, which is their type, is a smaller one."""
BEHIND = b"\x00\xff\xff"
"""Behind what follows a value in an entry: the next field, or the record id."""


class Walk(NamedTuple):
    """Entries of an index, from `start` to `end`, in the order of its field `field`, or backwards."""

    name: str
    start: bytes
    end: bytes
    field: str
    backwards: bool


class Candidate(NamedTuple):
    """An index which has the documents of a query in the order of the field `field`, behind a prefix of values."""

    name: str
    prefix: bytes
    field: str
    direction: int
    is_multikey: bool


def find_matching(
    self: Any,
    database: str,
    collection: str,
    filter: dict[str, Any] | None = None,
    *,
    skip: int = 0,
    limit: int = 0,
    sort: Mapping[str, Any] | None = None,
    projection: Mapping[str, Any] | None = None,
    hint: Any = None,
    let: dict[str, Any] | None = None,
    collation: Any = None,
    min_bound: Mapping[str, Any] | None = None,
    max_bound: Mapping[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """Return the documents that match, as `Storage.find_matching` does. That one reads all of them before it sorts them
    and returns the first ones.

    It also takes some orders from an index that has texts or numbers in another one.
    """
    query = filter or {}
    order = Storage._multi_sort_spec(sort)
    if order is None or not (hint is collation is min_bound is max_bound is None):
        return _matching(
            self,
            database,
            collection,
            filter,
            skip=skip,
            limit=limit,
            sort=sort,
            projection=projection,
            hint=hint,
            let=let,
            collation=collation,
            min_bound=min_bound,
            max_bound=max_bound,
        )
    found = _first_sorted(self, database, collection, query, order[0], skip + limit, let) if limit > 0 else None
    if found is None:
        found = _matching(self, database, collection, filter, let=let)
    found = sort_documents(found, sort)[skip : skip + limit if limit > 0 else None]
    if projection:
        metas = self._projection_metas(database, collection, found, projection, query, sort, None, None)
        found = storage.apply_projection_batch(found, projection, query, metas=metas, has_sort=True)
    return found


def _matching(*arguments: Any, **options: Any) -> list[dict[str, Any]]:
    documents: list[dict[str, Any]] = _find_matching(*arguments, **options)
    return documents


def _first_sorted(
    store: Any,
    database: str,
    collection: str,
    query: dict[str, Any],
    order: tuple[str, int],
    count: int,
    let: dict[str, Any] | None,
) -> list[dict[str, Any]] | None:
    """Return at least the `count` first documents that match in the order of a field, or all; None if no index tells
    which."""
    if store._is_timeseries(database, collection):
        return None
    store._refresh_read_snapshot()
    with store._lock, known_indexes(store):
        walk = find_walk(store, database, collection, query, *order)
        return None if walk is None else _read(store, database, collection, walk, query, count, let)


def find_walk(
    store: Any, database: str, collection: str, query: dict[str, Any], field: str, direction: int
) -> Walk | None:
    """Return where an index has the documents of `query` in the order of `field`; None if there is no such index, or
    if another one has fewer documents that may match."""
    fields = {name: value for name, value in query.items() if not name.startswith("$")}
    if not query.keys() - fields.keys() <= REST:
        return None
    if "_id" in fields and storage._id_point_lookup_keys(fields["_id"]) is not None:
        return None
    part = indexed_part(store, database, collection, query)
    if part is None and "$or" in query:
        return None
    for name, key, options in store._iter_indexes(database, collection):
        partial = options.get("partialFilterExpression") or {}
        special = options.get("collation") or options.get("sparse") or not set(key.values()) <= {1, -1}
        if special or field not in key or not implies_partial(fields, partial):
            continue
        prefix = list(key)[: list(key).index(field)]
        is_multikey = bool(options.get("multikey"))
        if not all(each in fields and is_value(fields[each]) for each in prefix):
            continue
        if is_multikey and any("." in each for each in (*prefix, field)):
            continue
        if part is not None and not part.used <= {*prefix, field}:
            continue
        values = [storage.encode_value_directed(fields[each], key[each]) + storage.COMPOUND_SEP for each in prefix]
        candidate = Candidate(name, b"".join(values), field, key[field], is_multikey)
        walk = _walk_of(store, database, collection, candidate, fields.get(field, {}), direction)
        if walk is not None:
            return walk
    return None


def _walk_of(
    store: Any, database: str, collection: str, candidate: Candidate, condition: Any, direction: int
) -> Walk | None:
    """Return the walk over a candidate, within the bounds of the `condition` on its field, if all its values have one
    type of SORTED."""
    if not isinstance(condition, dict) or not all(name.startswith("$") for name in condition):
        return None
    if not {"$eq", "$in"}.isdisjoint(condition):
        return None
    backwards = candidate.direction != direction
    bounds = {name: bound for name, bound in condition.items() if name in COMPARISONS}
    start = storage._escape_kb(candidate.prefix)
    whole = Walk(candidate.name, start, start + END, candidate.field, backwards)
    if not bounds:
        first = next(_entries(store, database, collection, whole._replace(backwards=False)), None)
        last = next(_entries(store, database, collection, whole._replace(backwards=True)), None)
        if first is None or last is None:
            return whole
        ranks = {_rank(entry[len(start)], candidate.direction) for entry in (first, last)}
    else:
        ranks = {storage.encode_value_directed(bound, 1)[0] for bound in bounds.values()}
    rank = ranks.pop()
    if ranks or rank not in SORTED or (rank == sortkey.RANK_STRING and candidate.direction == -1):
        return None
    if not bounds:
        return whole
    if candidate.is_multikey:
        # An array has an entry as a whole beside those of its elements.
        low, high = _span(start, sortkey.RANK_ARRAY, candidate.direction)
        if next(_entries(store, database, collection, whole._replace(start=low, end=high)), None) is not None:
            return None
    low, high = _span(start, rank, candidate.direction)
    for name, bound in bounds.items():
        value = start + storage._escape_kb(storage.encode_value_directed(bound, candidate.direction))
        if (name in ("$gt", "$gte")) == (candidate.direction == 1):
            low = max(low, value)
        else:
            high = min(high, value + BEHIND)
    return whole._replace(start=low, end=high)


def _rank(byte: int, direction: int) -> int:
    """Return the rank of a type from the first byte of a value in an index, or the other way round."""
    return byte if direction == 1 else 0xFF - byte


def _span(start: bytes, rank: int, direction: int) -> tuple[bytes, bytes]:
    """Return where all values of a type are behind `start`."""
    first = _rank(rank, direction)
    return start + bytes([first]), start + bytes([first + 1])


def _entries(store: Any, database: str, collection: str, walk: Walk) -> Iterator[bytes]:
    """Iterate over the entries of a walk."""
    cursor = store._cursor(storage._IDX_ENTRIES_TABLE)
    head = f"{database}\0{collection}\0{walk.name}\0".encode()
    first, last = head + walk.start, head + walk.end
    cursor.set_key(database, collection, walk.name, walk.end if walk.backwards else walk.start)
    found = cursor.search_near()
    step = cursor.prev if walk.backwards else cursor.next
    is_outside = found > 0 if walk.backwards else found < 0
    if found == wiredtiger.WT_NOTFOUND or (is_outside and step() != 0):
        return
    while first <= (entry := cursor._get_key()) < last:
        yield entry[len(head) :]
        if step() != 0:
            return


def _read(
    store: Any,
    database: str,
    collection: str,
    walk: Walk,
    query: dict[str, Any],
    count: int,
    let: dict[str, Any] | None,
) -> list[dict[str, Any]]:
    """Return the first `count` documents of a walk that match, and all that have the same value as the last of them."""
    entries = _entries(store, database, collection, walk)
    seen: set[int] = set()
    found: list[dict[str, Any]] = []
    last = b""
    while True:
        # At least half as many as before: few may match.
        record_ids = [
            record_id
            for entry in islice(entries, max(1, count + 1 - len(found), len(seen) // 2))
            if (record_id := storage._unpack_entry(entry)[1]) is not None
        ]
        if not record_ids:
            return found
        new = [record_id for record_id in dict.fromkeys(record_ids) if record_id not in seen]
        seen.update(new)
        for document in store._docs_by_recordids(database, collection, new):
            deadline.check()
            if len(found) >= count and last != storage.encode_value(storage.get_path(document, walk.field)):
                return found
            if storage.matches(document, query, vars=let):
                found.append(document)
                if len(found) == count:
                    last = storage.encode_value(storage.get_path(document, walk.field))
