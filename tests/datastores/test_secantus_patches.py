"""What the embedded MongoDB does otherwise than SecantusDB."""

import asyncio
import random
from datetime import UTC, datetime, timedelta
from itertools import chain, permutations
from pathlib import Path
from typing import Any

import pytest
import wiredtiger
from bson import SON, Code, Decimal128, MaxKey, MinKey, ObjectId, Regex, Timestamp
from pymongo import IndexModel, UpdateOne
from pymongo.errors import BulkWriteError, DuplicateKeyError, OperationFailure
from secantus import ordering, query, storage
from secantus.sessions import SessionRegistry
from secantus.storage import Storage

from service.datastores.mongo import Collection, Document, Mongo
from service.datastores.secantus_patches.changes import first_change_since
from service.datastores.secantus_patches.copies import deep_copy
from service.datastores.secantus_patches.expiry import EXPIRED_BATCH, create_index, delete_all_expired, delete_expired
from service.datastores.secantus_patches.lookups import (
    MAX_LOOKUPS,
    implies_partial,
    pick_compound_index,
    range_scan_index,
    record_ids,
)
from service.datastores.secantus_patches.matching import match_clause, op_matches
from service.datastores.secantus_patches.packing import pack, unpack
from service.datastores.secantus_patches.seldom import PRUNE_INTERVAL, prune_seldom
from service.datastores.secantus_patches.snapshots import release_snapshot
from service.datastores.secantus_patches.sorting import sort_documents
from service.datastores.secantus_patches.walks import find_matching, find_walk

VALUES = (None, 0, 1, 1.0, True, False, "1", "", "ắ", [], [1], [1, "1"], {}, {"c": 1}, {"c": True}, {"c": [1, 2]})
ALIKE = ((0, False), (1, True), ([1], [True]), ({"c": 1}, {"c": True}), ({"a": 1, "b": 2}, {"b": 2, "a": 1}))
"""Values that are equal in Python, and not in MongoDB."""
PATCHED = {
    "_query_implies_partial": staticmethod(implies_partial),
    "_pick_compound_eq_index": pick_compound_index,
    "_range_scan_index": range_scan_index,
    "_try_index_id_keys": record_ids,
}
"""The functions of SecantusDB that look documents up."""
FIELDS = ("a", "b", "c", "d")
INDEXES: dict[str, dict[str, Any]] = {
    "a": {"keys": [("a", 1)]},
    "a_b": {"keys": [("a", 1), ("b", -1)]},
    "nested": {"keys": [("b.c", 1)]},
    "unique": {"keys": [("c", 1), ("_id", 1)], "unique": True},
    "sparse": {"keys": [("d", 1)], "sparse": True},
    "partial": {"keys": [("a", 1)], "partialFilterExpression": {"d": 1}},
    "partial_exists": {"keys": [("c", 1), ("b", 1)], "partialFilterExpression": {"c": {"$exists": True}}},
    "partial_type": {"keys": [("b", 1), ("d", 1)], "partialFilterExpression": {"d": {"$type": "string"}}},
    "partial_above": {"keys": [("d", 1), ("a", 1)], "partialFilterExpression": {"b": {"$gt": 0}}},
}


async def ids(documents: Collection, query: dict[str, Any], **options: Any) -> list[Any]:
    return sorted([document["_id"] async for document in documents.find(query, **options)])


def test_old_sessions_are_dropped_once_in_an_interval() -> None:
    """A search with each command would go through all sessions."""
    now = 0.0
    sessions = SessionRegistry(idle_ttl_seconds=1, time_func=lambda: now)
    prune_seldom(sessions, "_prune_locked", lambda: now)
    old, new = b"o" * 16, b"n" * 16
    sessions.register(old)
    now = PRUNE_INTERVAL - 0.1
    sessions.register(new)
    assert sessions.is_known(old)
    now = PRUNE_INTERVAL
    sessions.register(new)
    assert (False, True) == (sessions.is_known(old), sessions.is_known(new))


@pytest.mark.parametrize(
    ("packing", "values"),
    [
        ("S", ("",)),
        ("SS", ("loa", "tin nhắn")),
        ("SSS", ("loa", "messages", "conversation_id_1_seq_1")),
        ("SSu", ("loa", "messages", b"")),
        ("SSSu", ("loa", "messages", "", b"\0\1\0")),
        *[("SSq", ("loa", "messages", number)) for number in (0, 63, 64, -1, -65, 2**40, -(2**40))],
        ("q", (7,)),
        ("u", (b"",)),
        ("u", (b"\0a",)),
        ("S", ("ends\0here",)),
        ("uS", (b"ab", "c")),
        ("SSSu", ("a", "b", "c", "text")),
    ],
)
def test_keys_and_values_are_packed_as_wiredtiger_packs_them(packing: str, values: tuple[Any, ...]) -> None:
    packed = wiredtiger.pack(packing, *values)
    assert packed == pack(packing, *values)
    assert wiredtiger.unpack(packing, packed) == unpack(packing, packed)


@pytest.mark.parametrize("name", INDEXES)
async def test_after_any_update_an_index_finds_what_a_scan_finds(mongo: Mongo, name: str) -> None:
    """An update changes only the indexes that it affects."""
    choose = random.Random(5)
    options = INDEXES[name]
    documents = mongo.database["documents"]
    await documents.create_index(name=name, **options)
    await documents.insert_many([{"_id": number} for number in range(6)])
    for _ in range(60):
        field, value = choose.choice(FIELDS), choose.choice(VALUES)
        change = choose.choice([{"$set": {field: value}}, {"$unset": {field: ""}}])
        if choose.random() < 0.8:
            await documents.update_one({"_id": choose.randrange(6)}, change)
        else:
            await documents.update_many({"b": choose.choice(VALUES)}, change)
    for value in VALUES:
        query = {options["keys"][0][0]: value, **options.get("partialFilterExpression", {})}
        assert await ids(documents, query, hint=[("$natural", 1)]) == await ids(documents, query), query


async def test_an_index_finds_a_value_that_differs_from_the_former_one_by_its_type(mongo: Mongo) -> None:
    documents = mongo.database["documents"]
    await documents.create_index("a", name="a")
    await documents.insert_one({"_id": 1})
    for old, new in chain.from_iterable(permutations(values, 2) for values in ALIKE):
        await documents.update_one({}, {"$set": {"a": old}})
        await documents.update_one({}, {"$set": {"a": new}})
        assert [1] == await ids(documents, {"a": new}), (old, new)


async def test_an_index_is_used_from_its_creation_until_it_is_dropped(mongo: Mongo) -> None:
    documents = mongo.database["documents"]
    await documents.insert_one({"a": 1})
    await documents.create_index("a", name="a")
    await documents.insert_one({"a": 1})
    assert 2 == await documents.count_documents({"a": 1})
    await documents.drop_index("a")
    await documents.insert_one({"a": 1})
    assert 3 == await documents.count_documents({"a": 1})
    await documents.create_index("a", name="a")
    assert 3 == await documents.count_documents({"a": 1})


async def test_a_unique_key_is_free_after_an_update_and_taken_again_by_another(mongo: Mongo) -> None:
    users = mongo.database["users"]
    await users.create_index("name", unique=True)
    await users.insert_many([{"_id": 1, "name": "ann", "age": 1}, {"_id": 2, "name": "binh", "age": 1}])
    await users.update_one({"_id": 1}, {"$set": {"age": 2}})
    with pytest.raises(DuplicateKeyError):
        await users.update_one({"_id": 2}, {"$set": {"name": "ann"}})
    await users.update_one({"_id": 1}, {"$set": {"name": "chi"}})
    await users.update_one({"_id": 2}, {"$set": {"name": "ann"}})
    with pytest.raises(DuplicateKeyError):
        await users.insert_one({"name": "ann"})
    await users.insert_one({"name": "binh"})


async def test_a_document_that_is_refused_leaves_none_of_its_unique_keys(mongo: Mongo) -> None:
    """Whichever of its keys another document has; of an array, one element that is the same is enough."""
    collection = mongo.database["refused"]
    for name in ("a", "b", "c"):
        await collection.create_index(name, unique=True, partialFilterExpression={name: {"$exists": True}})
    await collection.insert_one({"_id": 0, "a": 0, "b": [1, 2], "c": "0"})
    refused = [{"a": 1, "b": [2, 3]}, {"a": 2, "b": 4, "c": "0"}, {"a": 0, "b": 5, "c": "1"}, {"_id": 0, "a": 3}]
    for each in refused:
        with pytest.raises(DuplicateKeyError):
            await collection.insert_one(dict(each))
    with pytest.raises(BulkWriteError) as failed:
        await collection.insert_many([*map(dict, refused), {"_id": 1, "a": 4, "b": [6, 6]}], ordered=False)
    assert (4, 1) == (len(failed.value.details["writeErrors"]), failed.value.details["nInserted"])
    keys: dict[str, list[Any]] = {"a": [1, 2, 3], "b": [[3], 4, 5], "c": ["1"]}
    for name, values in keys.items():
        await collection.insert_many([{name: value} for value in values])
        for value in values:
            assert (
                1 == len(await ids(collection, {name: value})) == len(await ids(collection, {name: {"$in": [value]}}))
            )
    with pytest.raises(DuplicateKeyError):
        await collection.insert_one({"b": [[3], 6]})
    await collection.delete_one({"_id": 1})
    await collection.insert_one({"b": [6], "a": 4})


@pytest.mark.parametrize(("ordered", "left"), [(True, [1, 1, 0, 0]), (False, [1, 1, 0, 1])])
async def test_of_updates_in_one_command_those_that_can_be_done_are_done(
    mongo: Mongo, ordered: bool, left: list[int]
) -> None:
    """They are done in one transaction, and one by one if one of them fails."""
    users = mongo.database["users"]
    await users.create_index("name", unique=True)
    await users.insert_many([{"_id": number, "name": str(number), "age": 0} for number in range(4)])
    changes = [{"age": 1}, {"age": 1}, {"name": "0", "age": 1}, {"age": 1}]
    with pytest.raises(BulkWriteError) as caught:
        await users.bulk_write(
            [UpdateOne({"_id": number}, {"$set": change}) for number, change in enumerate(changes)], ordered=ordered
        )
    assert [2] == [error["index"] for error in caught.value.details["writeErrors"]]
    assert left == [user["age"] async for user in users.find(sort=[("_id", 1)])]


async def test_concurrent_commands_with_the_same_updates_lose_none(mongo: Mongo) -> None:
    """Also beside single updates and inserts, which have transactions of their own."""
    counters, others = mongo.database["counters"], mongo.database["others"]
    increments = [UpdateOne({"_id": number}, {"$inc": {"count": 1}}, upsert=True) for number in range(8)]
    await asyncio.gather(
        *[counters.bulk_write(increments, ordered=bool(turn % 2)) for turn in range(12)],
        *[counters.update_one({"_id": 0}, {"$inc": {"count": 1}}, upsert=True) for _ in range(12)],
        *[others.insert_one({"_id": number}) for number in range(12)],
    )
    assert [24] + [12] * 7 == [counter["count"] async for counter in counters.find(sort=[("_id", 1)])]


async def test_indexes_can_be_created_after_one_of_them_has_failed(mongo: Mongo) -> None:
    users = mongo.database["users"]
    await users.insert_many([{"name": "ann", "age": 1}, {"name": "binh", "age": 1}])
    with pytest.raises(OperationFailure):
        await users.create_indexes([IndexModel("name", name="name"), IndexModel("age", name="age", unique=True)])
    await users.create_indexes([IndexModel("name", name="name"), IndexModel("age", name="age")])
    assert {"_id_", "name", "age"} == set(await users.index_information())
    assert ["binh"] == [user["name"] async for user in users.find({"name": "binh"})]


def test_expired_documents_are_deleted_in_batches_and_no_others(tmp_path: Path) -> None:
    store = Storage(str(tmp_path), ttl_sweep_seconds=0)
    try:
        now = datetime.now(UTC)
        store.create_index("loa", "sessions", "expires_at", {"expires_at": 1}, {"expireAfterSeconds": 60})
        expired = [{"_id": number, "expires_at": now - timedelta(seconds=61)} for number in range(EXPIRED_BATCH + 1)]
        kept = [
            {"_id": "later", "expires_at": now - timedelta(seconds=59)},
            {"_id": "never"},
            {"_id": "no date", "expires_at": 0},
        ]
        store.insert("loa", "sessions", expired + kept)
        assert EXPIRED_BATCH + 1 == delete_expired(store, "loa", "sessions", now=now)
        assert 0 == delete_expired(store, "loa", "sessions", now=now)
        assert 0 == delete_expired(store, "loa", "none", now=now)
        assert 3 == store.count_matching("loa", "sessions", {})
    finally:
        store.close()


def test_expired_documents_are_deleted_from_collections_of_the_time_before_a_start_and_after(tmp_path: Path) -> None:
    old = {"_id": 1, "at": datetime(2020, 1, 1, tzinfo=UTC)}
    store = Storage(str(tmp_path), ttl_sweep_seconds=0)
    try:
        store.create_index("loa", "before", "at", {"at": 1}, {"expireAfterSeconds": 0})
        for name in ("before", "no index"):
            store.insert("loa", name, [old])
        assert 1 == delete_all_expired(store)
        create_index(store, "loa", "after", "at", {"at": 1}, {"expireAfterSeconds": 0})
        create_index(store, "loa", "no index", "at", {"at": 1})
        for name in ("before", "after"):
            store.insert("loa", name, [old])
        assert 2 == delete_all_expired(store)
        store.drop_database("loa")
        assert 0 == delete_all_expired(store)
    finally:
        store.close()


def test_a_query_that_names_an_id_reads_no_other_document(tmp_path: Path) -> None:
    store = Storage(str(tmp_path), ttl_sweep_seconds=0)
    try:
        store.create_index("loa", "groups", "members", {"members": 1})
        store.insert("loa", "groups", [{"_id": number, "members": ["ann", "binh"]} for number in range(20)])
        for query in ({"_id": 3, "members": "ann"}, {"members": "ann", "_id": {"$in": [3, 99]}}):
            assert 1 == len(record_ids(store, "loa", "groups", query) or [])
        assert 20 == len(record_ids(store, "loa", "groups", {"members": "ann"}) or [])
        assert record_ids(store, "loa", "groups", {"other": 1}) is None
        assert [] == record_ids(store, "loa", "none", {"_id": 3})
    finally:
        store.close()


def test_a_query_reads_what_the_best_index_gives_for_its_part_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Storage, "_query_implies_partial", staticmethod(implies_partial))
    monkeypatch.setattr(Storage, "_pick_compound_eq_index", pick_compound_index)
    store = Storage(str(tmp_path), ttl_sweep_seconds=0)
    try:
        store.create_index("loa", "inbox", "user_seq", {"user": 1, "seq": 1}, {"unique": True})
        partial = {"partialFilterExpression": {"key": {"$exists": True}}}
        store.create_index("loa", "inbox", "user_key", {"user": 1, "key": 1}, partial)
        store.insert("loa", "inbox", [{"_id": seq, "user": "ann", "seq": seq, "key": str(seq)} for seq in range(20)])
        for query, number in (
            ({"user": "ann", "seq": {"$gte": 4, "$lt": 7}, "deleted": None}, 3),
            ({"deleted": None, "seq": {"$in": [1, 2, 99]}, "user": "ann"}, 2),
            ({"user": "ann", "seq": 5, "$or": [{"deleted": None}, {"shown": True}]}, 1),
            ({"user": "ann", "seq": {"$eq": 5, "$type": "int"}, "deleted": None}, 1),
            ({"user": "ann", "key": "7", "deleted": None}, 1),
            ({"user": "ann", "$or": [{"deleted": None}, {"shown": True}]}, 20),
        ):
            assert number == len(record_ids(store, "loa", "inbox", query) or []), query
        # No index begins with what these name.
        for query in ({"$or": [{"user": "ann"}, {"seq": 1}]}, {"key": "7"}):
            assert record_ids(store, "loa", "inbox", query) is None
    finally:
        store.close()


def test_a_list_of_values_matches_what_secantusdb_compares_with_each() -> None:
    """Text and ids by one look, everything else as before."""
    known = ObjectId("0" * 24)
    candidates = [*VALUES, known, ObjectId("1" * 24), "2", Regex("^1"), Code("1"), str(known)]
    lists = [list(pair) for pair in permutations(candidates, 2)]
    lists += [[], ["1", "2", known], [known], list(map(str, range(9)))]
    found = 0
    for values in [[candidate] for candidate in candidates] + [["1", "2"], [query.MISSING], []]:
        for listed in lists:
            expected = query._op_matches(values, "$in", listed)
            assert (expected, expected) == (op_matches(values, "$in", listed), op_matches(values, "$in", listed))
            found += expected
    assert 100 < found


def test_alternatives_match_what_secantusdb_compares_with_each() -> None:
    """Those that begin with another id, and any others; errors, too."""
    choose = random.Random(13)
    known = [ObjectId(str(number) * 24) for number in range(3)]
    values = [*known, *known, None, [known[0]], [], str(known[0]), 1]
    found = 0
    for _ in range(2000):
        document = {name: choose.choice(values) for name in choose.sample("abc", choose.randint(0, 3))}
        conditions = [*values, {"$in": known[:2]}, {"$gt": known[0]}, {"$ne": known[1]}, {"$exists": False}]
        alternatives = [
            {name: choose.choice(conditions) for name in choose.sample(("a", "b", "a.c"), choose.randint(0, 2))}
            for _ in range(choose.randint(1, 3))
        ]
        expected = query._match_clause(document, "$or", alternatives, None, None)
        assert expected == match_clause(document, "$or", alternatives, None, None), (document, alternatives)
        found += expected
    assert 500 < found < 1500
    for wrong in ([], [1], {}, [{"a": known[0]}, 1]):
        with pytest.raises(query.QueryError):
            match_clause({"a": known[1]}, "$or", wrong, None, None)


def test_documents_are_sorted_as_secantusdb_sorts_them() -> None:
    """By fields of one type, of several types, and by missing ones; those that are equal keep their order."""
    choose = random.Random(3)
    ids = [ObjectId() for _ in range(5)]
    times = [datetime(2026, 1, day, tzinfo=UTC) for day in range(1, 6)]
    columns: list[Any] = [
        range(5),
        ids,
        times,
        ("", "a", "a\0", "ắ", "👍", "\uffff"),
        VALUES,
        (True, 1),
        (1, 1.5),
        (None,),
    ]
    for _ in range(200):
        chosen = [choose.choice(columns) for _ in range(3)]
        documents = [
            {"_id": number, **{name: choose.choice(column) for name, column in zip("abc", chosen, strict=True)}}
            for number in range(choose.randint(0, 30))
        ]
        order = {name: choose.choice((1, -1)) for name in choose.sample("abcd", choose.randint(1, 3))}
        assert ordering.sort_docs(documents, order) == sort_documents(documents, order), (chosen, order)


def test_a_copy_of_a_document_shares_nothing_that_can_be_changed() -> None:
    document = {
        "a": [{"b": [1, ObjectId(), None]}],
        "c": {"d": SON(e=[1])},
        "f": Regex("x"),
        "g": b"",
        "h": Code("1", {}),
    }
    copied = deep_copy(document)
    assert repr(document) == repr(copied)
    copied["a"][0]["b"].append(2)
    copied["c"]["d"]["e"].append(2)
    copied["h"].scope["x"] = 1
    assert (3, [1], {}) == (len(document["a"][0]["b"]), document["c"]["d"]["e"], document["h"].scope)


def test_a_partial_index_is_used_only_if_it_has_all_documents_of_the_query() -> None:
    """Those without the field match a comparison with null, and with the lowest and the highest key."""
    exists = {"a": {"$exists": True}}
    for clause in (
        1,
        "",
        True,
        {"$gt": 0},
        {"$lte": "x"},
        {"$in": [1, "x"]},
        {"$exists": True},
        {"$gte": None, "$lt": 3},
    ):
        assert implies_partial({"a": clause, "b": 1}, exists), clause
    for clause in (None, {"$gte": None}, {"$gt": MinKey()}, {"$lt": MaxKey()}, {"$in": [1, None]}, {"$ne": 1}):
        assert not implies_partial({"a": clause, "b": 1}, exists), clause
    assert not implies_partial({"b": 1}, exists)
    assert not implies_partial({"a": 1}, {"a": True})
    assert implies_partial({"a": True, "b": 2}, {"a": True, "b": {"$gt": 1}})


@pytest.mark.parametrize("direction", [1, -1])
async def test_a_range_in_the_middle_of_an_index_includes_its_bounds(mongo: Mongo, direction: int) -> None:
    collection = mongo.database[f"ranges{direction}"]
    await collection.create_index([("a", 1), ("b", direction), ("c", -direction)])
    # In a descending index, SecantusDB has texts in another order if one begins with the other.
    texts = ["", "a", "a\0", "ab", "b"] if direction == 1 else ["a", "b"]
    await collection.insert_many([{"a": 1, "b": b, "c": c} for b in [*range(5), *texts] for c in (None, 0, "x")])
    for low, high in [*permutations(range(5), 2), *permutations(texts, 2)]:
        for bounds in ({"$gte": low}, {"$lte": high}, {"$gt": low, "$lte": high}, {"$gte": low, "$lt": high}):
            query = {"a": 1, "b": bounds}
            assert await ids(collection, query, hint={"$natural": 1}) == await ids(collection, query), query


async def test_any_query_finds_what_a_scan_finds(mongo: Mongo) -> None:
    """Values, ranges, lists and alternatives, of fields with and without an index."""
    collection = mongo.database["queries"]
    await collection.create_indexes(
        [IndexModel(name=name, **index) for name, index in INDEXES.items() if "unique" not in index]
    )
    await collection.create_index([("c", 1), ("b", 1), ("a", 1)])
    choose = random.Random(7)
    documents = [
        {"_id": number, **{name: choose.choice(VALUES) for name in FIELDS if choose.random() < 0.8}}
        for number in range(300)
    ]
    for document in documents:
        # SecantusDB's index does not find an array by two bounds between which it has no value.
        if isinstance(document.get("a"), list):
            del document["a"]
    await collection.insert_many(documents)

    def condition(name: str) -> Any:
        value = choose.choice(VALUES)
        if name == "a" and choose.random() < 0.3:
            return {choose.choice(("$gt", "$gte")): 0, choose.choice(("$lt", "$lte")): 1}
        text = {"$eq": value, "$type": "string"}
        return choose.choice((value, {"$in": [value, 1]}, {"$eq": value}, {"$exists": True}, {"$gt": 0}, text))

    found = 0
    for _ in range(400):
        query = {name: condition(name) for name in choose.sample(FIELDS, choose.randint(1, 4))}
        if choose.random() < 0.4:
            query["$or"] = [{name: condition(name)} for name in choose.sample(FIELDS, 2)]
        scanned = await ids(collection, query, hint={"$natural": 1})
        assert scanned == await ids(collection, query), query
        found += len(scanned)
    assert 1000 < found


def test_a_range_behind_a_list_of_values_is_read_for_each_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, function in PATCHED.items():
        monkeypatch.setattr(Storage, name, function)
    store = Storage(str(tmp_path), ttl_sweep_seconds=0)
    try:
        store.create_index("loa", "inbox", "user_seq", {"user": 1, "seq": 1, "kind": 1})
        users, kinds = [f"user{number}" for number in range(8)], ("x", "y")
        store.insert(
            "loa",
            "inbox",
            [{"user": user, "seq": seq, "kind": kind} for user in users for seq in range(20) for kind in kinds],
        )
        three, some = {"$in": users[:3]}, {"$gte": 5, "$lte": 7}
        for query, number in (
            ({"user": three, "seq": some}, 18),
            ({"user": three, "seq": some, "deleted": None}, 18),
            ({"seq": 7, "user": {"$in": [*users[:3], users[0], "nobody", None]}}, 6),
            ({"user": three, "seq": {"$in": [1, 2]}, "kind": "x"}, 6),
            ({"user": three, "seq": {"$in": [1, 2]}, "kind": {"$gte": "y"}}, 6),
            ({"user": {"$in": []}, "seq": some}, 0),
            ({"$or": [{"user": user, "seq": {"$gte": 18 - number}} for number, user in enumerate(users[:3])]}, 18),
            ({"$or": [{"user": users[0], "seq": some}, {"user": three, "seq": some}], "deleted": None}, 18),
            # A lookup for each combination would read more than the whole collection.
            ({"user": three, "seq": {"$in": list(range(MAX_LOOKUPS))}, "kind": "x"}, 120),
        ):
            assert number == len(record_ids(store, "loa", "inbox", query) or []), query
        assert record_ids(store, "loa", "inbox", {"$or": [{"user": users[0]}, {"kind": "x"}]}) is None
    finally:
        store.close()


LISTED = (None, -3, -1.5, 0, 1, 1.0, 2, True, False, "", "a", "B", ObjectId("0" * 24), datetime(2026, 1, 1), {"c": 1})
"""Values of several types, that an index finds by a range."""
LISTING: dict[str, dict[str, Any]] = {
    "plain": {"keys": [("a", 1), ("b", 1)]},
    "descending": {"keys": [("a", -1), ("b", -1), ("c", 1)]},
    "unique": {"keys": [("a", 1), ("b", 1), ("_id", 1)], "unique": True},
    "partial": {"keys": [("a", 1), ("b", 1)], "partialFilterExpression": {"c": {"$exists": True}}},
    "partial_key": {"keys": [("a", 1), ("b", 1)], "partialFilterExpression": {"b": {"$gt": 0}}},
    "sparse": {"keys": [("a", 1), ("b", 1)], "sparse": True},
    "collation": {"keys": [("a", 1), ("b", 1)], "collation": {"locale": "en", "strength": 2}},
    "nested": {"keys": [("a", 1), ("d.c", 1), ("b", 1)]},
}


@pytest.mark.parametrize("arrays", ["none", "a", "a,b"])
@pytest.mark.parametrize("index", LISTING)
async def test_lists_of_values_and_ranges_find_what_a_scan_finds(mongo: Mongo, index: str, arrays: str) -> None:
    """With missing fields, and with arrays in those fields that are named."""
    choose = random.Random(f"{index} {arrays}")
    collection = mongo.database["listed"]
    await collection.create_index(name=index, **LISTING[index])

    def value(name: str) -> Any:
        some = [choose.choice(LISTED) for _ in range(choose.randint(0, 3))]
        return some if name in arrays.split(",") and choose.random() < 0.2 else choose.choice(LISTED)

    def nested() -> Any:
        of = [{"c": choose.choice(LISTED)} if choose.random() < 0.7 else {} for _ in range(choose.randint(0, 2))]
        return of if arrays != "none" and choose.random() < 0.3 else {"c": choose.choice(LISTED)}

    await collection.insert_many(
        [
            {name: value(name) for name in "abc" if choose.random() < 0.9}
            | ({"d": nested()} if choose.random() < 0.5 else {})
            for _ in range(300)
        ]
    )

    def listed() -> Document:
        return {"$in": [choose.choice(LISTED) for _ in range(choose.randint(0, 4))]}

    def bounds() -> Document:
        low = {choose.choice(("$gt", "$gte")): choose.choice(LISTED[:-1])}
        high = {choose.choice(("$lt", "$lte")): choose.choice(LISTED[:-1])}
        return choose.choice((low, high) if "b" in arrays else (low, high, low | high))

    def selection() -> Document:
        chosen: Document = {"a": choose.choice((listed(), listed(), choose.choice(LISTED)))}
        for name in choose.sample(("b", "c", "d.c"), choose.randint(0, 2)):
            exists = {"$exists": True}
            chosen[name] = choose.choice((bounds(), bounds(), listed(), choose.choice(LISTED), exists))
        return chosen

    found = 0
    for _ in range(250):
        query = choose.choice((selection(), selection(), {"$or": [selection() for _ in range(choose.randint(1, 4))]}))
        options: dict[str, Any] = {"collation": {"locale": "en", "strength": 2}} if choose.random() < 0.2 else {}
        scanned = await ids(collection, query, hint={"$natural": 1}, **options)
        assert scanned == await ids(collection, query, **options), query
        found += len(scanned)
    assert 500 < found


MOMENTS = [datetime(1600, 1, 1), *(datetime(2026, 1, 1) + timedelta(milliseconds=257 * step) for step in range(12))]
SORTABLE: dict[str, list[Any]] = {
    "times": MOMENTS,
    "ids": [ObjectId(f"{number:024x}") for number in (0, 1, 255, 256, 65536, 2**90)],
    "texts": ["", "a", "a\0", "a\0b", "ab", "B", "ắ", "👍", "\uffff"],
    "truths": [True, False],
    "numbers": [1, 2.5, -3, 1e300, 1e-300, -1e300, float("nan"), Decimal128("1.5")],
    "nulls": [None],
    "times and nulls": [*MOMENTS, None],
    "mixed": [None, 1, "x", True, {"c": 1}, ObjectId("1" * 24), *MOMENTS[:3]],
}


def test_the_first_documents_of_an_order_are_those_of_a_sorted_scan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By indexes of any directions, of values of any types, behind values, within bounds, with arrays, partial ones."""
    for name, function in PATCHED.items():
        monkeypatch.setattr(Storage, name, function)
    choose = random.Random(11)
    store = Storage(str(tmp_path), ttl_sweep_seconds=0)
    walked = 0

    def value(name: str, arrays: str) -> Any:
        some = columns[name][: choose.choice((2, 100))]
        listed = [choose.choice(some) for _ in range(choose.randint(0, 3))]
        return listed if name in arrays and choose.random() < 0.1 else choose.choice(some)

    def condition(name: str) -> Any:
        low = {choose.choice(("$gt", "$gte")): choose.choice(columns[name])}
        high = {choose.choice(("$lt", "$lte")): choose.choice(columns[name])}
        other: Document = {choose.choice(("$ne", "$eq")): choose.choice(columns[name])}
        others = (other, {"$exists": True}, {"$in": columns[name][:2]})
        # By a range of numbers, an index does not find very small ones.
        return choose.choice(others if columns[name] is SORTABLE["numbers"] else (low, high, low | high, *others))

    try:
        for number in range(90):
            collection = f"sorted{number}"
            columns = {name: SORTABLE[choose.choice(list(SORTABLE))] for name in "abc"}
            partial = choose.choice(({}, {}, {"partialFilterExpression": {"b": {"$exists": True}}}, {"sparse": True}))
            keys = [
                {name: choose.choice((1, -1)) for name in choose.sample(["a", "b", "c", "_id"], choose.randint(1, 4))}
                for _ in range(choose.randint(1, 2))
            ]
            for place, key in enumerate(keys):
                store.create_index("loa", collection, str(place), key, dict(partial))
            arrays = choose.choice(("", "", "a", "ab"))
            documents = [
                {"_id": number} | {name: value(name, arrays) for name in "abc" if choose.random() < 0.98}
                for number in choose.sample(range(60), choose.choice((1, 60)))
            ]
            store.insert("loa", collection, documents)
            for _ in range(30):
                key = choose.choice(keys)
                place = choose.randrange(len(key))
                query = {name: choose.choice(documents).get(name) for name in list(key)[:place]}
                field = list(key)[place]
                if field != "_id" and choose.random() < 0.6:
                    query[field] = condition(field)
                if choose.random() < 0.3:
                    query.setdefault(choose.choice("abc"), {"$exists": True})
                order = {field: choose.choice((1, -1))}
                order |= {name: choose.choice((1, -1)) for name in choose.sample("abc", choose.randint(0, 2))}
                order = {name: direction for name, direction in order.items() if name not in query or name == field}
                order.setdefault("_id", choose.choice((1, -1)))
                page: Any = {"sort": order, "skip": choose.choice((0, 0, 3)), "limit": choose.choice((1, 5, 30))}
                page["projection"] = choose.choice((None, {"a": 1}))
                scanned = store.find_matching("loa", collection, dict(query), hint={"$natural": 1}, **page)
                assert repr(scanned) == repr(find_matching(store, "loa", collection, query, **page)), (
                    keys,
                    query,
                    page,
                )
                walked += find_walk(store, "loa", collection, query, *next(iter(order.items()))) is not None
    finally:
        store.close()
    assert 300 < walked


def test_of_an_order_only_the_first_documents_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And those that have the same place as the last of them."""
    for name, function in PATCHED.items():
        monkeypatch.setattr(Storage, name, function)
    read: list[int] = []
    by_record_ids = Storage._docs_by_recordids

    def counted(self: Any, database: str, collection: str, record_ids: list[int]) -> Any:
        read.append(len(record_ids))
        return by_record_ids(self, database, collection, record_ids)

    monkeypatch.setattr(Storage, "_docs_by_recordids", counted)
    store = Storage(str(tmp_path), ttl_sweep_seconds=0)
    try:
        store.create_index("loa", "chats", "members_at", {"members": 1, "at": -1, "_id": -1})
        store.create_index("loa", "chats", "kind", {"kind": 1, "state": 1})
        moments = [datetime(2026, 1, 1) + timedelta(seconds=number // 2) for number in range(200)]
        kinds = [{"kind": "x" if number % 50 == 0 else "y", "state": number % 2} for number in range(200)]
        store.insert(
            "loa",
            "chats",
            [
                {"_id": number, "members": ["ann", "binh"], "at": at, **kind}
                for number, (at, kind) in enumerate(zip(moments, kinds, strict=True))
            ],
        )
        latest = {"at": -1, "_id": -1}
        for query, order, page, first, most in (
            ({"members": "ann"}, latest, {"limit": 10}, 199, 12),
            ({"members": "ann"}, {"at": -1, "_id": 1}, {"limit": 1}, 198, 4),
            ({"members": "ann"}, {"at": 1, "_id": 1}, {"limit": 10}, 0, 12),
            ({"members": "ann"}, latest, {"limit": 10, "skip": 10}, 189, 22),
            ({"members": "ann", "at": {"$lt": moments[100]}}, latest, {"limit": 5}, 99, 9),
            ({"members": "ann", "at": {"$gte": moments[100]}}, {"at": 1, "_id": 1}, {"limit": 5}, 100, 9),
            ({"members": "ann", "state": 0}, latest, {"limit": 10}, 198, 40),
            # Another index has fewer of them.
            ({"members": "ann", "kind": "x", "state": 0}, latest, {"limit": 2}, 150, 4),
            ({"_id": {"$in": [3, 4]}, "members": "ann"}, latest, {"limit": 2}, 4, 2),
        ):
            read.clear()
            found = find_matching(store, "loa", "chats", query, sort=order, **page)
            assert (first, page["limit"]) == (found[0]["_id"], len(found)), query
            assert sum(read) <= most, query
    finally:
        store.close()


def test_a_change_stream_starts_at_the_first_change_since_a_time(tmp_path: Path) -> None:
    store = Storage(str(tmp_path), ttl_sweep_seconds=0, oplog_max_entries=40)
    try:
        for number in range(60):
            store.insert("loa", "messages", [{"_id": number}])
            if number == 50:
                store.prune_oplog()
        changes = store.read_oplog(start_seq=0, limit=100)
        assert 41 <= len(changes) < 60
        for _, change in changes:
            for timestamp in (change["ts"], Timestamp(change["ts"].time, change["ts"].inc + 1)):
                assert store._find_seq_for_ts_scan(timestamp) == first_change_since(store, timestamp)
        assert changes[0][0] == first_change_since(store, Timestamp(0, 1))
        assert changes[-1][0] + 1 == first_change_since(store, Timestamp(changes[-1][1]["ts"].time + 1, 0))
    finally:
        store.close()


def test_a_connection_keeps_no_snapshot_after_a_command(tmp_path: Path) -> None:
    """What a thread has read last may be read by nobody any more, so its cursors are reset."""
    store = Storage(str(tmp_path), ttl_sweep_seconds=0)
    try:
        store.insert("loa", "messages", [{"_id": number} for number in range(3)])
        cursor = store._cursor(storage._doc_table_for("loa", "messages"))
        assert 0 == cursor.next()
        release_snapshot(store)
        with pytest.raises(wiredtiger.WiredTigerError):
            cursor.get_key()
    finally:
        store.close()
