"""The index is made of what is stored: by `python -m service reindex`, in the background, or again from nothing."""

import asyncio
import random

import pytest
from bson import ObjectId

from config.settings import Settings
from service.commands.database import CannotUseDatabase
from service.commands.reindex import reindex
from service.common.tasks import cancel_and_wait
from service.common.times import now
from service.datastores.mongo import Mongo
from service.search import index_builder
from service.search.backfill import MAX_MISSED, Backfill
from service.search.index_store import IndexStore
from tests.chat.chat_process import ADA, BOB
from tests.search.searching import Searching

pytestmark = pytest.mark.usefixtures("small")
COUNT = 37


async def spoken(searching: Searching) -> tuple[str, list[str]]:
    """Return a conversation of COUNT messages that nobody has indexed, and their ids, the newest first."""
    group = await searching.process.group(ADA, BOB)
    ids = [(await searching.say(ADA, group, f"word {number}"))["id"] for number in range(COUNT)]
    await searching.process.messages.flush_counters()
    return group, ids[::-1]


async def test_the_command_indexes_what_is_missing(unindexed: Searching, settings: Settings) -> None:
    """It shows its progress, and does nothing the second time."""
    _, ids = await spoken(unindexed)
    assert [] == await unindexed.found(BOB, "word")
    lines: list[str] = []
    progress = await reindex(settings, lines.append)
    assert ids == await unindexed.found(BOB, "word")
    assert [f"{COUNT} messages indexed, 1 conversations done. The search index is complete."] == lines
    assert COUNT == progress.messages
    assert 0 == (await reindex(settings, lines.append)).messages


async def test_a_rebuild_can_be_interrupted_and_continued(
    unindexed: Searching, settings: Settings, mongo: Mongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything is found afterwards, also what was missing or damaged before; nothing of the old index remains."""
    monkeypatch.setattr(index_builder, "READ_SIZE", 10)
    _, ids = await spoken(unindexed)
    _, others = await spoken(unindexed)
    expected = sorted([*ids, *others], reverse=True)
    await reindex(settings, lambda line: None)
    # Something that no message has, and a message that the index does not have.
    await mongo.database["search_heads"].update_many({}, {"$set": {"terms": "wrong", "counts": b"\1\0"}})
    await mongo.database["search_buckets"].update_many({}, {"$set": {"terms": "wrong", "counts": b"\1\0"}})
    assert expected != await unindexed.found(BOB, "word")
    await unindexed.store.next_generation()
    backfill = Backfill(mongo.database, unindexed.process.message_store, unindexed.store, unindexed.builder)
    async for progress in backfill.index_all():
        if progress.messages > COUNT / 2:
            break
    assert not await unindexed.store.is_complete()
    progress = await reindex(settings, lambda line: None)
    assert COUNT / 2 < progress.messages < 2 * COUNT
    assert expected == sorted(await unindexed.found(BOB, "word"), reverse=True)
    for name in ("search_heads", "search_buckets"):
        assert not await mongo.database[name].count_documents({"terms": {"$regex": "wrong"}})


async def test_without_a_database_the_command_says_so(settings: Settings) -> None:
    with pytest.raises(CannotUseDatabase, match=r"^DATA_DIR: no Loa is running"):
        await reindex(settings.model_copy(update={"mongodb_uri": None}), lambda line: None)


@pytest.mark.parametrize("who", ["this process", "the holder of the lease"])
async def test_messages_of_earlier_versions_are_indexed_in_the_background(
    unindexed: Searching, mongo: Mongo, who: str
) -> None:
    """A conversation with so many of them is not indexed with its next message: others would wait for it."""
    group, ids = await spoken(unindexed)
    backfill = Backfill(mongo.database, unindexed.process.message_store, unindexed.store, unindexed.builder)
    await unindexed.store.set_complete(0)
    unindexed.builder.on_backlog = backfill.add
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index_builder, "MAX_GAP", 5)
        async with unindexed.following():
            ids.insert(0, (await unindexed.say(BOB, group, "word of today"))["id"])
            await unindexed.indexed()
            assert [] == await unindexed.found(BOB, "word")
            # Should the process end now, the next one looks at all conversations.
            assert not await unindexed.store.is_complete()
            task = asyncio.create_task(backfill.run() if who == "this process" else backfill.index_missing(now()))
            async with asyncio.timeout(20):
                while ids != await unindexed.found(BOB, "word"):
                    await asyncio.sleep(0.02)
            await cancel_and_wait(task)


async def test_what_killed_processes_left_is_indexed(unindexed: Searching, mongo: Mongo) -> None:
    """And nothing that was written long before: that would cost as much as all."""
    long_ago = now()
    _, earlier = await spoken(unindexed)
    since = now()
    _, ids = await spoken(unindexed)
    await unindexed.store.set_complete(0)
    backfill = Backfill(mongo.database, unindexed.process.message_store, unindexed.store, unindexed.builder)
    task = asyncio.create_task(backfill.index_missing(since))
    async with asyncio.timeout(20):
        while ids != await unindexed.found(BOB, "word"):
            await asyncio.sleep(0.02)
    await cancel_and_wait(task)
    task = asyncio.create_task(backfill.index_missing(long_ago - MAX_MISSED))
    async with asyncio.timeout(20):
        while ids + earlier != await unindexed.found(BOB, "word"):
            await asyncio.sleep(0.02)
    await cancel_and_wait(task)


async def test_a_lost_change_is_made_up_for_by_the_next_message(unindexed: Searching) -> None:
    group, ids = await spoken(unindexed)
    async with unindexed.following():
        ids.insert(0, (await unindexed.say(BOB, group, "word of today"))["id"])
        await unindexed.indexed()
    assert ids == await unindexed.found(BOB, "word")


@pytest.mark.parametrize("seed", range(2))
async def test_several_processes_index_one_conversation(unindexed: Searching, mongo: Mongo, seed: int) -> None:
    """Each of them may be killed between any two of its commands. Whatever they do to each other, all is indexed once,
    and what was deleted meanwhile is not."""
    choose = random.Random(seed)
    group, ids = await spoken(unindexed)
    removed = ids[5]
    key = ObjectId(group)

    async def index() -> None:
        while True:
            await unindexed.builder.catch_up(key, COUNT)
            await asyncio.sleep(0)

    tasks = [asyncio.create_task(index()) for _ in range(3)]
    for _ in range(12):
        await asyncio.sleep(choose.uniform(0, 0.02))
        victim = choose.randrange(len(tasks))
        tasks[victim].cancel()
        tasks[victim] = asyncio.create_task(index())
    await unindexed.process.messages.delete(ADA, group, removed)
    await unindexed.builder.replace(key, [ObjectId(removed)])
    for task in tasks:
        await cancel_and_wait(task)
    while await unindexed.builder.catch_up(key, COUNT):
        pass
    ids.remove(removed)
    assert ids == await unindexed.found(BOB, "word")
    head = (await IndexStore(mongo.database).heads([key]))[key]
    assert COUNT == head.indexed
