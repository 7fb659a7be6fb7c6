"""The optimistic append: numbers without holes, whatever is refused, repeated or lost on the way."""

import asyncio
from collections.abc import Collection, Mapping
from typing import Any

import pytest
from bson import ObjectId
from pymongo.errors import PyMongoError

from service.common.errors import Unavailable
from service.datastores import sequenced_log
from service.datastores.mongo import Database, Document, Mongo
from service.datastores.sequenced_log import SequencedLog
from tests.conftest import Datastores
from tests.proxy import Proxy


class List:
    """Documents `{list, place, name}`; the name is the key where there is one."""

    def __init__(self, database: Database) -> None:
        self.documents = database["documents"]
        self.append = SequencedLog(
            self.documents, scope="list", number="place", identity=self._identity, hints=self._hints
        )

    async def create_indexes(self) -> None:
        await self.documents.create_index([("list", 1), ("place", 1)], unique=True)
        await self.documents.create_index("name", unique=True, partialFilterExpression={"name": {"$exists": True}})

    async def places(self, scope: str) -> list[int]:
        return sorted(document["place"] for document in await self.documents.find({"list": scope}).to_list(None))

    @staticmethod
    def _identity(document: Document) -> Document | None:
        return {"name": document["name"]} if "name" in document else None

    async def _hints(self, scopes: Collection[Any]) -> Mapping[Any, int]:
        return {}


@pytest.fixture
async def documents(mongo: Mongo) -> List:
    found = List(mongo.database)
    await found.create_indexes()
    return found


async def test_each_list_is_numbered_by_itself(documents: List) -> None:
    """1, 2, 3 … in the order of appending."""
    appended = await asyncio.gather(*[documents.append.append({"list": scope}) for scope in "abaab"])
    assert [1, 1, 2, 3, 2] == [result.document["place"] for result in appended]


async def test_write_that_meets_itself_is_done(documents: List) -> None:
    """The driver repeats an insert whose answer was lost: that is not somebody else's, nor one more."""
    again = {"_id": ObjectId(), "list": "a"}
    await documents.append.append(dict(again))
    repeated, later = await asyncio.gather(documents.append.append(again), documents.append.append({"list": "a"}))
    assert (1, True) == (repeated.document["place"], repeated.created)
    assert 2 == later.document["place"]
    assert [1, 2] == await documents.places("a")


async def test_one_key_is_one_document_in_whichever_list(documents: List) -> None:
    """What is there already is found, and its would-be number goes to the next."""
    first = await documents.append.append({"list": "a", "name": "x"})
    second, third = await asyncio.gather(
        documents.append.append({"list": "b", "name": "x"}), documents.append.append({"list": "b", "name": "y"})
    )
    assert (first.document["_id"], False) == (second.document["_id"], second.created)
    assert ("b", 1) == (third.document["list"], third.document["place"])


async def test_refused_document_leaves_no_hole(mongo: Mongo, documents: List) -> None:
    """What the database refuses for good fails alone, and takes no number."""
    await mongo.database.command("collMod", "documents", validator={"name": {"$ne": "refused"}})
    await documents.append.append({"list": "a"})
    with pytest.raises(PyMongoError):
        await documents.append.append({"list": "a", "name": "refused"})
    assert 2 == (await documents.append.append({"list": "a"})).document["place"]


async def test_numbers_go_on_after_an_outage(mongo: Mongo, datastores: Datastores, documents: List) -> None:
    """Who appends while the database is away is told so; afterwards the numbers go on where they stopped."""
    async with Proxy(datastores.database(mongo.database.name)) as cable:
        far = Mongo(cable.url)
        try:
            beyond = List(far.database)
            await beyond.append.append({"list": "a"})
            cable.cut()
            with pytest.raises(Unavailable):
                await beyond.append.append({"list": "a"})
            await documents.append.append({"list": "a"})
            await cable.mend()
            assert 3 == (await beyond.append.append({"list": "a"})).document["place"]
        finally:
            # Closing says good-bye to the server and waits for it, and the cable is on this loop.
            await asyncio.to_thread(far.close)


async def test_forgotten_lists_are_read_again(documents: List, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only so many last numbers are remembered; forgetting costs a read and no number."""
    monkeypatch.setattr(sequenced_log, "MAX_LAST_NUMBERS", 2)
    for _ in range(2):
        for scope in "abcde":
            await documents.append.append({"list": scope})
    assert [[1, 2]] * 5 == [await documents.places(scope) for scope in "abcde"]
    assert len(documents.append._last_numbers) <= 3


async def test_last_looks_as_far_as_it_has_to(documents: List, monkeypatch: pytest.MonkeyPatch) -> None:
    """Page after page above the floor."""
    monkeypatch.setattr(sequenced_log, "PAGE", 4)
    await asyncio.gather(*[documents.append.append({"list": "a"}) for _ in range(12)])
    assert [12] * 4 == [await documents.append.last_number("a", floor) for floor in (0, 3, 11, 12)]
    assert 0 == await documents.append.last_number("b")
