"""The MongoDB client and the translation of its errors."""

import time

import pytest
from pymongo import UpdateOne
from pymongo.errors import BulkWriteError, DuplicateKeyError, OperationFailure, WriteError, WTimeoutError

from service.common.errors import Unavailable
from service.datastores.mongo import Mongo, committed_reads, unavailable, update_all


async def test_each_test_gets_an_empty_database(mongo: Mongo) -> None:
    """It answers, and stores documents."""
    await mongo.ping()
    assert [] == await mongo.database.list_collection_names()
    await mongo.database.things.insert_one({"_id": 1})
    assert 1 == await mongo.database.things.count_documents({})


async def test_unreachable_database_is_unavailable_within_seconds() -> None:
    """Callers get Unavailable instead of waiting for the driver's default timeout."""
    mongo = Mongo("mongodb://127.0.0.1:1/loa")
    began = time.monotonic()
    with pytest.raises(Unavailable):
        await mongo.ping()
    assert time.monotonic() - began < 5
    mongo.close()


async def test_write_without_majority_confirmation_is_unavailable() -> None:
    """The write may or may not be durable."""
    with pytest.raises(Unavailable):
        async with unavailable():
            raise WTimeoutError("waited", 64)


async def test_duplicate_key_passes_unchanged(mongo: Mongo) -> None:
    """The caller of the write interprets it."""
    await mongo.database.things.insert_one({"_id": 1})
    with pytest.raises(DuplicateKeyError):
        async with unavailable():
            await mongo.database.things.insert_one({"_id": 1})


@pytest.mark.parametrize("kind", [OperationFailure, WriteError])
@pytest.mark.parametrize("code", [1, 112, 146, 8000, 14031])
async def test_temporary_server_errors_are_unavailable(kind: type[OperationFailure], code: int) -> None:
    """An internal error, a write conflict, out of memory, a quota, a full disk: a retry may succeed."""
    with pytest.raises(Unavailable) as refused:
        async with unavailable():
            raise kind("refused", code)
    assert refused.value.retry_after


async def test_invalid_request_is_not_reported_as_unavailable(mongo: Mongo) -> None:
    """Otherwise clients would retry forever what can never succeed."""
    with pytest.raises(OperationFailure, match=r"(?i)unknown operator"):
        async with unavailable():
            await mongo.database.things.find_one({"_id": {"$mistake": 1}})


async def test_bulk_write_error_passes_unchanged(mongo: Mongo) -> None:
    """Its details name the documents that are stored."""
    with pytest.raises(BulkWriteError) as refused:
        async with unavailable():
            await mongo.database.things.insert_many([{"_id": 1}, {"_id": 1}])
    assert 1 == refused.value.details["nInserted"]


async def test_update_all_is_unavailable_if_some_updates_fail(mongo: Mongo) -> None:
    """The other updates are made; repeating all of them is harmless."""
    await mongo.database.create_collection("things", validator={"n": {"$lt": 3}})
    with pytest.raises(Unavailable):
        await update_all(
            mongo.database.things, [UpdateOne({"_id": n}, {"$max": {"n": n}}, upsert=True) for n in (1, 5, 2)]
        )
    assert [1, 2] == sorted([thing["_id"] async for thing in mongo.database.things.find()])


async def test_writes_wait_for_a_majority_and_its_journal(mongo: Mongo) -> None:
    """The write concern of every collection."""
    concern = mongo.database.write_concern.document
    assert ("majority", True) == (concern["w"], concern["j"])


@pytest.mark.parametrize(
    "options",
    [
        "readPreference=secondaryPreferred&readConcernLevel=available",
        "readPreference=nearest&maxStalenessSeconds=120&readPreferenceTags=dc:east",
        "readConcernLevel=linearizable&w=1&journal=false&wtimeoutMS=1",
        "w=0&retryWrites=false&tz_aware=false&socketTimeoutMS=600000",
    ],
)
async def test_the_uri_does_not_change_where_loa_reads_nor_what_a_write_waits_for(options: str) -> None:
    """Such options come with the URIs that people paste."""
    mongo = Mongo(f"mongodb://127.0.0.1:1/loa?{options}")
    for target in (mongo.database, mongo.database.things):
        assert "primary" == target.read_preference.mongos_mode
        assert {"level": "local"} == target.read_concern.document
        assert {"w": "majority", "j": True, "wtimeout": 10_000} == target.write_concern.document
        assert target.codec_options.tz_aware
    assert {"level": "majority"} == committed_reads(mongo.database.things).read_concern.document
    mongo.close()


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("mongodb://127.0.0.1:1", "loa"),
        ("mongodb://127.0.0.1:1/?directConnection=true", "loa"),
        ("mongodb://127.0.0.1:1/other?directConnection=true", "other"),
        ("mongodb://user:word@127.0.0.1:1,127.0.0.1:2/other", "other"),
    ],
)
async def test_uri_names_the_database(uri: str, name: str) -> None:
    """Without a name in the URI the database is called loa."""
    mongo = Mongo(uri)
    assert name == mongo.database.name
    mongo.close()
