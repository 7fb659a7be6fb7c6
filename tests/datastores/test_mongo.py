"""How Loa connects to MongoDB, and what becomes of its errors."""

import time

import pytest
from pymongo import UpdateOne
from pymongo.errors import BulkWriteError, DuplicateKeyError, OperationFailure, WriteError, WTimeoutError

from service.common.errors import Unavailable
from service.datastores.mongo import Mongo, unavailable, update_all


async def test_every_test_has_an_empty_database(mongo: Mongo) -> None:
    """Of its own; it answers, and keeps what it is given."""
    await mongo.ping()
    assert [] == await mongo.database.list_collection_names()
    await mongo.database.things.insert_one({"_id": 1})
    assert 1 == await mongo.database.things.count_documents({})


async def test_an_absent_database_is_unavailable_within_a_few_seconds() -> None:
    """Whoever asks is told 503, and not kept waiting."""
    mongo = Mongo("mongodb://127.0.0.1:1/loa")
    began = time.monotonic()
    with pytest.raises(Unavailable):
        await mongo.ping()
    assert time.monotonic() - began < 5
    mongo.close()


async def test_a_write_that_no_majority_has_confirmed_is_unavailable() -> None:
    """It may last or not: nobody can say."""
    with pytest.raises(Unavailable):
        async with unavailable():
            raise WTimeoutError("waited", 64)


async def test_a_refusal_is_no_absence(mongo: Mongo) -> None:
    """A duplicate key is for whoever wrote it to understand."""
    await mongo.database.things.insert_one({"_id": 1})
    with pytest.raises(DuplicateKeyError):
        async with unavailable():
            await mongo.database.things.insert_one({"_id": 1})


@pytest.mark.parametrize("kind", [OperationFailure, WriteError])
@pytest.mark.parametrize("code", [1, 112, 146, 8000, 14031])
async def test_a_database_that_cannot_just_now_is_unavailable(kind: type[OperationFailure], code: int) -> None:
    """A fault of its own, a conflict, no memory, a quota, no space on its disk: trying again may help."""
    with pytest.raises(Unavailable) as refused:
        async with unavailable():
            raise kind("refused", code)
    assert refused.value.retry_after


async def test_a_mistake_of_ours_is_not_hidden_as_an_outage(mongo: Mongo) -> None:
    """Or clients would try for ever what can never work."""
    with pytest.raises(OperationFailure, match=r"(?i)unknown operator"):
        async with unavailable():
            await mongo.database.things.find_one({"_id": {"$mistake": 1}})


async def test_what_became_of_a_bulk_is_for_its_writer(mongo: Mongo) -> None:
    """It says which of the documents are stored."""
    with pytest.raises(BulkWriteError) as refused:
        async with unavailable():
            await mongo.database.things.insert_many([{"_id": 1}, {"_id": 1}])
    assert 1 == refused.value.details["nInserted"]


async def test_updates_that_could_not_all_be_made_are_unavailable(mongo: Mongo) -> None:
    """The others are made: whoever repeats them does no harm."""
    await mongo.database.create_collection("things", validator={"n": {"$lt": 3}})
    with pytest.raises(Unavailable):
        await update_all(
            mongo.database.things, [UpdateOne({"_id": n}, {"$max": {"n": n}}, upsert=True) for n in (1, 5, 2)]
        )
    assert [1, 2] == sorted([thing["_id"] async for thing in mongo.database.things.find()])


async def test_a_write_counts_once_a_majority_has_it_on_disk(mongo: Mongo) -> None:
    """Acknowledged is stored."""
    concern = mongo.database.write_concern.document
    assert ("majority", True) == (concern["w"], concern["j"])


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("mongodb://127.0.0.1:1", "loa"),
        ("mongodb://127.0.0.1:1/?directConnection=true", "loa"),
        ("mongodb://127.0.0.1:1/other?directConnection=true", "other"),
        ("mongodb://user:word@127.0.0.1:1,127.0.0.1:2/other", "other"),
    ],
)
async def test_the_uri_names_the_database(uri: str, name: str) -> None:
    """Where it does not, it is called loa."""
    mongo = Mongo(uri)
    assert name == mongo.database.name
    mongo.close()
