"""The documents that a query may match."""

import re
from collections.abc import Mapping
from types import NoneType
from typing import Any

import bson
from bson.max_key import MaxKey
from bson.min_key import MinKey
from bson.regex import Regex
from secantus import storage
from secantus.storage import Storage

_range_scan_index = Storage._range_scan_index
_record_ids = Storage._try_index_id_keys
_pick_compound_index = Storage._pick_compound_eq_index

REST = frozenset({"$and", "$or", "$nor", "$expr", "$comment"})
"""Conditions that only narrow down what the fields of a query select."""
RANGE = frozenset(Storage._RANGE_OPS)
COMPARISONS = RANGE - {"$in"}
MATCH_MISSING = (NoneType, MinKey, MaxKey)
"""Documents without the field may match a comparison with these."""


def record_ids(
    self: Any, database: str, collection: str, query: dict[str, Any], *, collation: Any = None
) -> list[int] | None:
    """Return the record ids of the documents that `query` may match, in place of `Storage._try_index_id_keys`; None for
    all.

    If it names ids, those. SecantusDB prefers any other index: `{_id, participants}` read all chats of a participant.
    Otherwise those that the best index gives for its part of the query; the caller checks the rest. SecantusDB uses
    an index on several fields only for queries of nothing else: `{user_id, seq, deleted}` read all notifications of the
    user, and a query with `$or` the whole collection.
    """
    if collation is None and not self._is_timeseries(database, collection):
        if "_id" in query:
            keys = storage._id_point_lookup_keys(query["_id"])
            if keys is not None:
                found = [self._doc_recordid(database, collection, key) for key in keys]
                return [record_id for record_id in found if record_id is not None]
        part = indexed_part(self, database, collection, query)
        if part is not None:
            ids: list[int] | None = _record_ids(self, database, collection, part)
            if ids is not None:
                return ids
    ids = _record_ids(self, database, collection, query, collation=collation)
    return ids


def indexed_part(store: Any, database: str, collection: str, query: dict[str, Any]) -> dict[str, Any] | None:
    """Return the conditions of `query` that one index answers, as many as possible; None if SecantusDB finds them."""
    fields = {name: value for name, value in query.items() if not name.startswith("$")}
    if len(fields) == len(query) < 3 or not query.keys() - fields.keys() <= REST:
        return None
    best: dict[str, Any] = {}
    most = 0
    for _, key, options in store._iter_indexes(database, collection):
        partial = options.get("partialFilterExpression") or {}
        if options.get("collation") or not implies_partial(fields, partial):
            continue
        used = _usable(key, fields, is_multikey=bool(options.get("multikey")))
        if len(used) > most:
            most = len(used)
            best = {name: fields[name] for name in partial} | used
    return best if best and best != query else None


def pick_compound_index(
    self: Any, database: str, collection: str, query: dict[str, Any], *, collation: Any = None
) -> tuple[str, dict[str, Any]] | None:
    """Return the index for a query of values, in place of `Storage._pick_compound_eq_index`; None if there is none.

    That one also takes a partial index of which the query has a later field, but not the first: SecantusDB then looks
    for the value among those of the first field.
    """
    picked: tuple[str, dict[str, Any]] | None = _pick_compound_index(
        self, database, collection, query, collation=collation
    )
    if picked is not None:
        used = [name in query for name in picked[1]]
        if used != sorted(used, reverse=True):
            return None
    return picked


def _usable(key: dict[str, Any], fields: dict[str, Any], *, is_multikey: bool) -> dict[str, Any]:
    """Return the conditions on the first fields of an index: values, and behind them at most one range."""
    used: dict[str, Any] = {}
    for name, direction in key.items():
        value = fields.get(name)
        if name not in fields or direction not in (1, -1) or isinstance(value, (list, re.Pattern, Regex)):
            break
        if isinstance(value, dict):
            # Different values of one array may be below and above.
            bounds = {} if is_multikey else {operator: bound for operator, bound in value.items() if operator in RANGE}
            return used | {name: bounds} if bounds else used
        used[name] = value
    return used


def range_scan_index(
    self: Any,
    database: str,
    collection: str,
    name: str,
    lower: bytes | None,
    lower_inclusive: bool,
    upper: bytes | None,
    upper_inclusive: bool,
    *,
    prefix: bytes | None = None,
) -> list[int]:
    """Return the record ids in a range of an index, in place of `Storage._range_scan_index`. Behind a `prefix`, that
    one leaves out those at an inclusive upper bound if the index has a further field."""
    if prefix is not None and upper is not None and upper_inclusive:
        # Behind all keys that begin with the bound and go on with another field.
        upper += storage.COMPOUND_SEP + b"\xff\xff"
    found: list[int] = _range_scan_index(
        self, database, collection, name, lower, lower_inclusive, upper, upper_inclusive, prefix=prefix
    )
    return found


def implies_partial(query: Mapping[str, Any], partial: Mapping[str, Any]) -> bool:
    """Return whether a partial index with the filter `partial` has all documents that match `query`, in place of
    `Storage._query_implies_partial`.

    That one takes `{$exists: true}` and `$type` for implied by nothing, so that no query uses an index which has one,
    and `{deleted: true}` for implied by `{deleted: 1}`.
    """
    return all(name in query and _implies(query[name], wanted) for name, wanted in partial.items())


def _implies(clause: Any, wanted: Any) -> bool:
    stated = clause if _is_operators(clause) else {"$eq": clause}
    if not _is_operators(wanted):
        return "$eq" in stated and _is_same(stated["$eq"], wanted)
    return all(_implies_operator(stated, operator, operand) for operator, operand in wanted.items())


def _implies_operator(stated: Mapping[str, Any], operator: str, operand: Any) -> bool:
    if operator in stated and _is_same(stated[operator], operand):
        return True
    if operator == "$exists":
        exists = any(not isinstance(stated.get(each), MATCH_MISSING) for each in COMPARISONS)
        listed = any(isinstance(each, MATCH_MISSING) for each in stated.get("$in", [None]))
        return operand is True and (exists or not listed)
    return bool(storage._clause_implies_bounds(stated, {operator: operand}))


def _is_operators(clause: Any) -> bool:
    return isinstance(clause, Mapping) and bool(clause) and all(name.startswith("$") for name in clause)


def _is_same(left: Any, right: Any) -> bool:
    """Return whether two values are the same in MongoDB. In Python, `True == 1`."""
    return bson.encode({"": left}) == bson.encode({"": right})
