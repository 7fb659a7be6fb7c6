"""The documents that a query may match."""

import re
from collections.abc import Iterable, Mapping, Set
from itertools import product
from types import NoneType
from typing import Any, NamedTuple

import bson
from bson.max_key import MaxKey
from bson.min_key import MinKey
from bson.regex import Regex
from secantus import storage
from secantus.storage import Storage

from service.datastores.secantus_patches.definitions import known_indexes

_range_scan_index = Storage._range_scan_index
_record_ids = Storage._try_index_id_keys
_pick_compound_index = Storage._pick_compound_eq_index

REST = frozenset({"$and", "$or", "$nor", "$expr", "$comment"})
"""Conditions that only narrow down what the fields of a query select."""
RANGE = frozenset(Storage._RANGE_OPS)
COMPARISONS = RANGE - {"$in"}
MATCH_MISSING = (NoneType, MinKey, MaxKey)
"""Documents without the field may match a comparison with these."""
MAX_LOOKUPS = 1024
"""Lookups in an index for one query: for each combination of the values that it lists."""


class Part(NamedTuple):
    """The `conditions` of a query that one index answers, those on its fields in `used`. A lookup takes one value of
    each of the `lists`."""

    conditions: dict[str, Any]
    used: Set[str]
    lists: dict[str, list[Any]]

    def lookups(self) -> Iterable[dict[str, Any]]:
        """Iterate over the queries of values, and of at most one range, that are the alternatives of this part."""
        for values in product(*self.lists.values()):
            yield self.conditions | dict(zip(self.lists, values, strict=True))


def record_ids(
    self: Any, database: str, collection: str, query: dict[str, Any], *, collation: Any = None
) -> list[int] | None:
    """Return the record ids of the documents that `query` may match, in place of `Storage._try_index_id_keys`; None for
    all.

    If it names ids, those. SecantusDB prefers any other index: `{_id, participants}` read all chats of a participant.
    Otherwise those that the best index gives for its part of the query; the caller checks the rest. SecantusDB uses
    an index on several fields only for queries of nothing else: `{user_id, seq, deleted}` read all notifications of the
    user, and a query with `$or` the whole collection. It takes one list of values and no range behind it, so that of
    several users it read all notifications, too.
    """
    with known_indexes(self):
        if collation is None and not self._is_timeseries(database, collection):
            query = reliable(self, database, collection, query)
            found = _ids(self, database, collection, query)
            if found is not None:
                return found
        ids: list[int] | None = _record_ids(self, database, collection, query, collation=collation)
        return ids


def reliable(store: Any, database: str, collection: str, query: dict[str, Any]) -> dict[str, Any]:
    """Return the query without those conditions for which SecantusDB's indexes may lack documents.

    In a descending index, it has texts in another order if one begins with the other. Of an array of which one element
    lacks a nested field, an index does not have that one.
    """
    texts = {name for name, condition in query.items() if _is_text_range(condition)}
    missing = {name for name, condition in query.items() if "." in name and _may_be_missing(condition)}
    if not texts and not missing:
        return query
    lacking = set()
    for _, key, options in store._iter_indexes(database, collection):
        lacking |= {name for name in texts if key.get(name) == -1}
        lacking |= {name for name in missing if name in key and options.get("multikey")}
    return {name: condition for name, condition in query.items() if name not in lacking}


def _is_text_range(condition: Any) -> bool:
    return isinstance(condition, dict) and any(isinstance(condition.get(each), str) for each in COMPARISONS - {"$eq"})


def _may_be_missing(condition: Any) -> bool:
    """Return whether a condition may match documents without the field."""
    if not isinstance(condition, dict):
        return isinstance(condition, MATCH_MISSING)
    listed = condition.get("$in")
    values = [*condition.values(), *(listed if isinstance(listed, list) else [])]
    return any(isinstance(value, MATCH_MISSING) for value in values)


def _ids(store: Any, database: str, collection: str, query: dict[str, Any]) -> list[int] | None:
    found = _named_ids(store, database, collection, query)
    if found is None and (part := indexed_part(store, database, collection, query)):
        found = _all_of(_record_ids(store, database, collection, lookup) for lookup in part.lookups())
    alternatives = query.get("$or")
    if found is None and isinstance(alternatives, list) and alternatives:
        found = _all_of(_alternative_ids(store, database, collection, alternative) for alternative in alternatives)
    return found


def _alternative_ids(store: Any, database: str, collection: str, alternative: Any) -> list[int] | None:
    if not isinstance(alternative, dict):
        return None
    return _ids(store, database, collection, reliable(store, database, collection, alternative))


def _named_ids(store: Any, database: str, collection: str, query: dict[str, Any]) -> list[int] | None:
    keys = storage._id_point_lookup_keys(query["_id"]) if "_id" in query else None
    if keys is None:
        return None
    found = [store._doc_recordid(database, collection, key) for key in keys]
    return [record_id for record_id in found if record_id is not None]


def _all_of(lookups: Iterable[list[int] | None]) -> list[int] | None:
    """Return the record ids of all lookups, each once; None if no index answers one of them."""
    found: dict[int, None] = {}
    for ids in lookups:
        if ids is None:
            return None
        found |= dict.fromkeys(ids)
    return list(found)


def indexed_part(store: Any, database: str, collection: str, query: dict[str, Any]) -> Part | None:
    """Return the conditions of `query` that one index answers, as many as possible; None if there is no such index."""
    fields = {name: value for name, value in query.items() if not name.startswith("$")}
    if not query.keys() - fields.keys() <= REST:
        return None
    best: dict[str, Any] = {}
    most: dict[str, Any] = {}
    for _, key, options in store._iter_indexes(database, collection):
        partial = options.get("partialFilterExpression") or {}
        if options.get("collation") or not implies_partial(fields, partial):
            continue
        used = _usable(key, fields, is_multikey=bool(options.get("multikey")))
        if len(used) > len(most):
            most = used
            best = {name: fields[name] for name in partial} | used
    # SecantusDB itself takes a list of values in the last place.
    lists = {name: listed for name in list(most)[:-1] if (listed := _listed(most[name])) is not None}
    return Part(best, most.keys(), lists) if best else None


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
    """Return the conditions on the first fields of an index: values or lists of values, and behind them at most one
    range."""
    used: dict[str, Any] = {}
    lookups = 1
    for name, direction in key.items():
        value = fields.get(name)
        if name not in fields or direction not in (1, -1) or isinstance(value, (list, re.Pattern, Regex)):
            break
        listed = _listed(value)
        if listed is not None and lookups * len(listed) <= MAX_LOOKUPS:
            lookups *= len(listed)
        elif isinstance(value, dict):
            bounds = {operator: bound for operator, bound in value.items() if operator in RANGE}
            # Different values of one array may be below and above.
            bounds = dict(list(bounds.items())[:1]) if is_multikey else bounds
            return used | {name: bounds} if bounds else used
        used[name] = value
    return used


def _listed(condition: Any) -> list[Any] | None:
    """Return the values of a condition that lists values, for a lookup of each; None for other conditions."""
    if not isinstance(condition, dict) or condition.keys() != {"$in"}:
        return None
    values = condition["$in"]
    return values if isinstance(values, list) and all(map(is_value, values)) else None


def is_value(condition: Any) -> bool:
    """Return whether a condition is a value that an index has in one place."""
    return not isinstance(condition, (dict, list, re.Pattern, Regex))


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
