"""Lanes: lists that only one process appends to neither wait for a contended list nor need a second insert for it."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from bson import ObjectId

from service.common.errors import Unavailable
from service.datastores import lanes as module
from service.datastores.batcher import Contended
from service.datastores.lanes import Contention, Lanes
from service.datastores.mongo import Mongo
from tests.chat.chat_process import ADA, BOB, ChatProcess
from tests.conftest import Datastores
from tests.datastores.test_sequenced_log import NumberedLists
from tests.recorded_commands import recording

APPENDERS = 16


class Inserted:
    """Counts how often each document is sent to the database, by its list."""

    def __init__(self, collection: Any, scope: str) -> None:
        self._collection = collection
        self._scope = scope
        self._attempts: Counter[tuple[Any, ObjectId]] = Counter()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._collection, name)

    async def insert_many(self, documents: Sequence[dict[str, Any]], ordered: bool) -> None:
        for document in documents:
            document.setdefault("_id", ObjectId())
        self._attempts.update((document[self._scope], document["_id"]) for document in documents)
        await self._collection.insert_many(documents, ordered=ordered)

    def most(self, scope: Any) -> int:
        """Return the greatest number of inserts that a document of this list took."""
        return max(count for (of, _), count in self._attempts.items() if of == scope)


async def test_sixteen_appenders_take_two_commands_a_document_and_spare_quiet_lists(datastores: Datastores) -> None:
    """Each appends to the contended list and, beside it, to a list of its own."""
    async with recording(datastores) as (mongo, commands):
        logs = [NumberedLists(mongo.database) for _ in range(APPENDERS)]
        await logs[0].create_indexes()
        inserted = [Inserted(log.documents, "list") for log in logs]
        for log, collection in zip(logs, inserted, strict=True):
            log.log._append._collection = collection  # type: ignore[assignment]
        # Until each has met another, the list is not known to be contended.
        while not all("hot" in log.log._appends._lanes for log in logs):
            await asyncio.gather(*[log.log.append({"list": "hot"}) for log in logs])
        before, start = len(commands.recorded), await logs[0].log.last_number("hot")

        async def append(number: int) -> None:
            log = logs[number].log
            for _ in range(3):
                hot = [log.append({"list": "hot"}) for _ in range(20)]
                await log.append({"list": f"quiet {number}"})
                await asyncio.gather(*hot)

        await asyncio.gather(*map(append, range(APPENDERS)))
        documents = APPENDERS * 3 * 21
        assert len(commands.recorded) - before <= 2 * documents
        assert [1] * APPENDERS == [each.most(f"quiet {number}") for number, each in enumerate(inserted)]
        assert list(range(1, start + APPENDERS * 60 + 1)) == await logs[0].numbers("hot")


async def test_messages_of_a_quiet_conversation_need_one_insert(mongo: Mongo) -> None:
    """Two processes write to one conversation, and one of them to another, at the same time."""
    processes = [ChatProcess(mongo.database) for _ in range(2)]
    await processes[0].create_indexes()
    try:
        hot, quiet = [await processes[0].group(ADA, BOB) for _ in range(2)]
        inserted = Inserted(processes[0].message_store.collection, "conversation_id")
        processes[0].messages._append._append._collection = inserted  # type: ignore[assignment]
        while ObjectId(hot) not in processes[0].messages._writes._lanes:
            await asyncio.gather(*[process.messages.send(ADA, hot, "Hello") for process in processes])
        for _ in range(10):
            await asyncio.gather(
                *[process.messages.send(ADA, hot, "Hello") for process in processes for _ in range(5)],
                *[processes[0].messages.send(ADA, quiet, "Hello") for _ in range(5)],
            )
        assert 1 == inserted.most(ObjectId(quiet))
        assert list(range(1, 51)) == [message["seq"] for message in await processes[0].stored(quiet)]
        seqs = [message["seq"] for message in await processes[0].stored(hot)]
        assert list(range(1, len(seqs) + 1)) == seqs
    finally:
        for process in processes:
            await process.close()


class Writer:
    """Runs the batches of Lanes: in shared ones, "hot" items are contended; in a lane, each waits for `go_on`."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.shared: list[list[str]] = []
        self.laned: list[list[str]] = []
        self.contention: Contention | None = None
        self.lanes: Lanes[str, str] = Lanes(self.run, list_of=lambda item: item.split()[0])

    async def run(self, items: Sequence[str], contention: Contention | None) -> Sequence[str | Exception]:
        await asyncio.sleep(0)
        if contention is None:
            self.shared.append(list(items))
            return [Contended() if item.startswith("hot") else item for item in items]
        self.contention = contention
        self.laned.append(list(items))
        await self.go_on.wait()
        return items


async def test_quiet_list_does_not_wait_for_a_contended_one() -> None:
    """The contended list's items stay in order: those of the shared batch, those that waited, later ones."""
    writer = Writer()
    first = [writer.lanes.submit(item) for item in ("hot 1", "quiet 1", "hot 2")]
    await asyncio.sleep(0)
    waiting = [writer.lanes.submit(item) for item in ("hot 3", "quiet 2")]
    assert ["quiet 1", "quiet 2"] == [await first[1], await waiting[1]]
    last = writer.lanes.submit("hot 4")
    assert "quiet 3" == await writer.lanes.submit("quiet 3")
    assert not any(future.done() for future in (first[0], first[2], waiting[0], last))
    writer.go_on.set()
    assert ["hot 1", "hot 2", "hot 3", "hot 4"] == [await each for each in (first[0], first[2], waiting[0], last)]
    assert [["hot 1", "hot 2", "hot 3"], ["hot 4"]] == writer.laned
    await writer.lanes.close()


async def test_lane_ends_when_its_list_is_no_longer_contended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Later items share batches again; an item that is cancelled in a shared batch is still run."""
    writer = Writer()
    writer.go_on.set()
    cancelled, other = writer.lanes.submit("hot 1"), writer.lanes.submit("hot 2")
    cancelled.cancel()
    await other
    assert [["hot 1", "hot 2"]] == writer.laned
    await writer.lanes.submit("hot 3")
    assert 1 == len(writer.shared)
    await writer.lanes._lanes["hot"][0]._task  # type: ignore[misc]
    monkeypatch.setattr(module, "LANE_SECONDS", 0)
    await writer.lanes.submit("hot 4")
    assert ["hot 4"] == writer.shared[-1]
    await writer.lanes.close()


async def test_number_of_lanes_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """The items of one list too many get Unavailable; lanes that are over make room."""
    monkeypatch.setattr(module, "MAX_LANES", 1)
    writer = Writer()
    writer.go_on.set()
    await writer.lanes.submit("hot 1")
    with pytest.raises(Unavailable):
        await writer.lanes.submit("hotter 1")
    await writer.lanes._lanes["hot"][0]._task  # type: ignore[misc]
    monkeypatch.setattr(module, "LANE_SECONDS", 0)
    assert "hotter 2" == await writer.lanes.submit("hotter 2")
    await writer.lanes.close()


async def test_closing_runs_what_waits_in_lanes() -> None:
    """Items of a shared batch that become contended while closing are run, too."""
    writer = Writer()
    writer.go_on.set()
    submitted = [writer.lanes.submit(item) for item in ("hot 1", "quiet 1")]
    await writer.lanes.close()
    assert ["hot 1", "quiet 1"] == [await each for each in submitted]
    with pytest.raises(Unavailable):
        writer.lanes.submit("hot 2")


async def test_a_list_with_many_items_gets_batches_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """In order, also those of a batch that others share; afterwards it shares batches again."""
    monkeypatch.setattr(module, "MAX_LANE_BATCH", 10)
    batches: list[tuple[bool, list[str]]] = []
    go_on = asyncio.Event()

    async def run(items: Sequence[str], contention: Contention | None) -> Sequence[str | Exception]:
        batches.append((contention is None, list(items)))
        if contention:
            await go_on.wait()
        return items

    lanes: Lanes[str, str] = Lanes(run, list_of=lambda item: item.split()[0], busy_lanes=True)
    many = [f"many {number}" for number in range(25)]
    waiting = [lanes.submit(item) for item in many[:24]]
    assert "few 1" == await lanes.submit("few 1")
    waiting.append(lanes.submit(many[24]))
    assert "few 2" == await lanes.submit("few 2")
    go_on.set()
    assert many == await asyncio.gather(*waiting)
    assert [["few 1"], ["few 2"]] == [items for shared, items in batches if shared]
    assert [many[:10], many[10:20], many[20:]] == [items for shared, items in batches if not shared]
    await lanes._lanes["many"][0]._task  # type: ignore[misc]
    monkeypatch.setattr(module, "LANE_SECONDS", 0)
    await lanes.submit("many 25")
    assert (True, ["many 25"]) == batches[-1]
    await lanes.close()
