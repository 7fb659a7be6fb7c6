"""SequencedLog and the optimistic append: numbers without gaps, despite refusals, retries and outages."""

import asyncio
from collections.abc import Collection, Mapping
from typing import Any

import pytest
from bson import ObjectId
from pymongo.errors import BulkWriteError, PyMongoError

from service.common.errors import Unavailable
from service.datastores import sequenced_log
from service.datastores.mongo import Database, Document, Mongo
from service.datastores.optimistic_append import Appended
from service.datastores.sequenced_log import MAX_SHARED, Above, SequencedLog, shared_reads
from tests.conftest import Datastores
from tests.proxy import Proxy


class NumberedLists:
    """Documents `{list, number, name}`; a name, if there is one, identifies the document."""

    def __init__(self, database: Database) -> None:
        self.documents = database["documents"]
        self.log = SequencedLog(
            self.documents, scope="list", number="number", identity=self._identity, hints=self._hints
        )

    async def create_indexes(self) -> None:
        await self.documents.create_index([("list", 1), ("number", 1)], unique=True)
        await self.documents.create_index("name", unique=True, partialFilterExpression={"name": {"$exists": True}})

    async def numbers(self, scope: str) -> list[int]:
        return sorted(document["number"] for document in await self.documents.find({"list": scope}).to_list(None))

    @staticmethod
    def _identity(document: Document) -> Document | None:
        return {"name": document["name"]} if "name" in document else None

    async def _hints(self, scopes: Collection[Any]) -> Mapping[Any, int]:
        return {}


@pytest.fixture
async def documents(mongo: Mongo) -> NumberedLists:
    found = NumberedLists(mongo.database)
    await found.create_indexes()
    return found


async def test_each_list_has_its_own_numbers(documents: NumberedLists) -> None:
    """1, 2, 3 … in the order of the calls."""
    appended = await asyncio.gather(*[documents.log.append({"list": scope}) for scope in "abaab"])
    assert [1, 1, 2, 3, 2] == [result.document["number"] for result in appended]


async def test_retried_insert_that_finds_its_own_document_succeeds(documents: NumberedLists) -> None:
    """The driver retries an insert whose reply was lost: the stored document is neither a conflict nor a second one."""
    again = {"_id": ObjectId(), "list": "a"}
    await documents.log.append(dict(again))
    repeated, later = await asyncio.gather(documents.log.append(again), documents.log.append({"list": "a"}))
    assert (1, True) == (repeated.document["number"], repeated.created)
    assert 2 == later.document["number"]
    assert [1, 2] == await documents.numbers("a")


async def test_identity_is_unique_across_lists(documents: NumberedLists) -> None:
    """The existing document is returned, and the number goes to the next document."""
    first = await documents.log.append({"list": "a", "name": "x"})
    second, third = await asyncio.gather(
        documents.log.append({"list": "b", "name": "x"}), documents.log.append({"list": "b", "name": "y"})
    )
    assert (first.document["_id"], False) == (second.document["_id"], second.created)
    assert ("b", 1) == (third.document["list"], third.document["number"])


async def test_refused_document_leaves_no_gap(mongo: Mongo, documents: NumberedLists) -> None:
    """A document that a validator refuses takes no number."""
    await mongo.database.command("collMod", "documents", validator={"name": {"$ne": "refused"}})
    await documents.log.append({"list": "a"})
    with pytest.raises(PyMongoError):
        await documents.log.append({"list": "a", "name": "refused"})
    assert 2 == (await documents.log.append({"list": "a"})).document["number"]


async def test_refused_document_fails_alone_in_its_batch(mongo: Mongo, documents: NumberedLists) -> None:
    """The documents before and after it are stored, with adjacent numbers."""
    await mongo.database.command("collMod", "documents", validator={"name": {"$ne": "refused"}})
    names = ["x", "refused", "y", "refused", "z"]
    outcomes = await asyncio.gather(
        *[documents.log.append({"list": "a", "name": name}) for name in names], return_exceptions=True
    )
    assert [True, False, True, False, True] == [isinstance(outcome, Appended) for outcome in outcomes]
    assert all(isinstance(outcome, PyMongoError) for outcome in outcomes if not isinstance(outcome, Appended))
    assert [1, 2, 3] == await documents.numbers("a")


async def test_concurrent_writers_share_one_sequence(mongo: Mongo, documents: NumberedLists) -> None:
    """Three logs, as in three processes, append to one list: no gap, no number twice, each caller's order kept."""
    logs = [documents, NumberedLists(mongo.database), NumberedLists(mongo.database)]
    for _ in range(3):
        appended = await asyncio.gather(*[each.log.append({"list": "a"}) for each in logs for _ in range(5)])
        for writer in range(3):
            numbers = [result.document["number"] for result in appended[writer * 5 : writer * 5 + 5]]
            assert sorted(numbers) == numbers
    assert list(range(1, 46)) == await documents.numbers("a")


class FailingInserts:
    """A collection whose `insert_many` raises."""

    def __init__(self, collection: Any, error: Exception) -> None:
        self._collection = collection
        self._error = error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._collection, name)

    async def insert_many(self, *args: object, **kwargs: object) -> None:
        raise self._error


@pytest.mark.parametrize("index", [None, 1], ids=["unconfirmed", "unconfirmed and refused"])
async def test_unconfirmed_write_is_unavailable(documents: NumberedLists, index: int | None) -> None:
    """A write concern timed out: nobody knows what is durable, even if the same reply reports a taken number."""
    write_errors = [] if index is None else [{"index": index, "code": 11000, "errmsg": "duplicate"}]
    write_concern_errors = [{"code": 64, "errmsg": "waiting for replication timed out"}]
    error = BulkWriteError(
        {"writeErrors": write_errors, "writeConcernErrors": write_concern_errors, "nInserted": index or 2}
    )
    documents.log._append._collection = FailingInserts(documents.documents, error)  # type: ignore[assignment]
    outcomes = await asyncio.gather(*[documents.log.append({"list": "a"}) for _ in range(2)], return_exceptions=True)
    assert [Unavailable, Unavailable] == [type(outcome) for outcome in outcomes]


async def test_temporary_refusal_is_unavailable(documents: NumberedLists) -> None:
    """The database may store the document later, for example once its disk has space again."""
    refusal = {"index": 0, "code": 14031, "errmsg": "out of disk space"}
    error = BulkWriteError({"writeErrors": [refusal], "writeConcernErrors": [], "nInserted": 0})
    documents.log._append._collection = FailingInserts(documents.documents, error)  # type: ignore[assignment]
    with pytest.raises(Unavailable):
        await documents.log.append({"list": "a"})


async def test_numbering_continues_after_an_outage(
    mongo: Mongo, datastores: Datastores, documents: NumberedLists
) -> None:
    """Appends during an outage raise Unavailable; afterwards the numbers continue where they stopped."""
    async with Proxy(datastores.database(mongo.database.name)) as proxy:
        remote_client = Mongo(proxy.url)
        try:
            remote = NumberedLists(remote_client.database)
            await remote.log.append({"list": "a"})
            proxy.cut()
            with pytest.raises(Unavailable):
                await remote.log.append({"list": "a"})
            await documents.log.append({"list": "a"})
            await proxy.restore()
            assert 3 == (await remote.log.append({"list": "a"})).document["number"]
        finally:
            # Closing the client waits for the server, and the proxy in between runs on this loop.
            await asyncio.to_thread(remote_client.close)


async def test_evicted_last_numbers_are_read_again(documents: NumberedLists, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eviction from the bounded cache costs a read, but no number is skipped or repeated."""
    monkeypatch.setattr(sequenced_log, "MAX_LAST_NUMBERS", 2)
    for _ in range(2):
        for scope in "abcde":
            await documents.log.append({"list": scope})
    assert [[1, 2]] * 5 == [await documents.numbers(scope) for scope in "abcde"]
    assert len(documents.log._last_numbers) <= 3


async def test_last_number_reads_page_after_page(documents: NumberedLists, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a floor that is further below the last number than one page."""
    monkeypatch.setattr(sequenced_log, "PAGE", 4)
    await asyncio.gather(*[documents.log.append({"list": "a"}) for _ in range(12)])
    assert [12] * 4 == [await documents.log.last_number("a", floor) for floor in (0, 3, 11, 12)]
    assert 0 == await documents.log.last_number("b")


async def test_what_is_missing_of_several_lists_is_found_as_of_each_alone(
    documents: NumberedLists, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of any length, some of them longer than was known, and of one list from several numbers."""
    for name, limit in {"PAGE": 4, "AHEAD": 3, "MAX_SHARED": 20}.items():
        monkeypatch.setattr(sequenced_log, name, limit)
    lengths = {f"list-{number}": number for number in range(12)}
    before = [{"list": scope} for scope, length in lengths.items() for _ in range(length)]
    await asyncio.gather(*[documents.log.append(document) for document in before])
    wanted = [
        Above(scope, number, floor)
        for scope, length in lengths.items()
        for number, floor in {(0, 0), (length // 2, length // 3), (length, length), (2, length), (length + 1, length)}
    ]
    found = await documents.log.above_each(wanted, 100)
    assert set(wanted) == found.keys()
    for each in wanted:
        numbers = [document["number"] for document in found[each]]
        assert list(range(each.number + 1, lengths[each.scope] + 1)) == numbers, each
        assert await documents.log.above(*each, 100) == found[each]


def test_a_shared_read_is_bounded() -> None:
    """It covers a limited count of numbers, or is that of one list."""
    missing = [2] * 40 + [1000] * 3 + [400, 300]
    parts = shared_reads([Above(number, 5000 - count, 5000) for number, count in enumerate(missing)])
    assert list(range(len(missing))) == sorted(each.scope for part in parts for each in part)
    assert all(1 == len(part) or sum(each.width for each in part) <= MAX_SHARED for part in parts)
    counts = [[missing[each.scope] for each in part] for part in parts]
    assert [[2] * 30, [2] * 10 + [300], [400], [1000], [1000], [1000]] == counts


@pytest.mark.parametrize("page", [4, 64])
async def test_lists_of_which_nothing_is_known_are_read_together(
    documents: NumberedLists, mongo: Mongo, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    """Of any length, and those that are still empty among them: by a process that has just started."""
    monkeypatch.setattr(sequenced_log, "PAGE", page)
    lengths = {f"list-{number}": number % 7 for number in range(50)}
    before = [{"list": scope} for scope, length in lengths.items() for _ in range(length)]
    await asyncio.gather(*[documents.log.append(document) for document in before])
    started = NumberedLists(mongo.database)
    appended = await asyncio.gather(*[started.log.append({"list": scope}) for scope in lengths])
    assert [length + 1 for length in lengths.values()] == [result.document["number"] for result in appended]
