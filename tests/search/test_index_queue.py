"""What waits to be indexed: it is written in larger steps, and what was deleted meanwhile is not."""

import asyncio
from typing import Any

import pytest
from bson import ObjectId

from service.chat.message_store import MessageStore
from service.common.tasks import cancel_and_wait
from service.common.times import now
from service.datastores.change_follower import Change
from service.search import index_queue
from service.search.index_builder import IndexBuilder
from service.search.index_queue import IndexQueue
from tests.attachments.in_database import LINKS
from tests.chat.chat_process import ADA, BOB
from tests.search.searching import Searching
from tests.search.test_search import terms_stored

ENOUGH = 4


def created(message: dict[str, Any]) -> Change:
    key = {"_id": ObjectId(message["id"])}
    fields = {
        "conversation_id": ObjectId(message["conversation_id"]),
        "sender_id": ObjectId(message["sender_id"]),
        "seq": message["seq"],
        "content": message["content"],
    }
    return Change("messages", key["_id"], True, fields, now(), key)


def edited(message: dict[str, Any]) -> Change:
    return created(message)._replace(created=False)


async def indexed(searching: Searching, group: str) -> int:
    key = ObjectId(group)
    return (await searching.store.heads([key]))[key].indexed


async def test_few_messages_wait_and_are_found(unindexed: Searching) -> None:
    queue = IndexQueue(unindexed.builder, ENOUGH)
    group = await unindexed.process.group(ADA, BOB)
    ids: list[str] = []
    for number in range(ENOUGH):
        assert 0 == await indexed(unindexed, group)
        message = await unindexed.say(ADA, group, f"Hương {number}")
        ids.insert(0, message["id"])
        await queue.handle([created(message)])
        assert ids == await unindexed.found(BOB, "huong")
    assert ENOUGH == await indexed(unindexed, group)
    assert 0 == queue.lag


async def test_what_has_waited_long_enough_is_written(unindexed: Searching, monkeypatch: pytest.MonkeyPatch) -> None:
    """But not what an earlier run has left: it may have been deleted since."""
    monkeypatch.setattr(index_queue, "INTERVAL", 0.01)
    monkeypatch.setattr(index_queue, "MAX_DELAY", 0.05)
    queue = IndexQueue(unindexed.builder, ENOUGH)
    left, group = [await unindexed.process.group(ADA, BOB) for _ in range(2)]
    await queue.handle([created(await unindexed.say(ADA, left, "Hương"))])
    task = asyncio.create_task(queue.run())
    await asyncio.sleep(0)
    await queue.handle([created(await unindexed.say(ADA, group, "Hương"))])
    assert queue.lag > 0
    async with asyncio.timeout(20):
        while not await indexed(unindexed, group):
            await asyncio.sleep(0.01)
    await cancel_and_wait(task)
    assert 0 == await indexed(unindexed, left)


async def test_a_process_that_no_longer_indexes_has_no_lag(unindexed: Searching) -> None:
    queue = IndexQueue(unindexed.builder, ENOUGH)
    task = asyncio.create_task(queue.run())
    await asyncio.sleep(0)
    group = await unindexed.process.group(ADA, BOB)
    await queue.handle([created(await unindexed.say(ADA, group, "Hương"))])
    assert queue.lag > 0
    await cancel_and_wait(task)
    assert 0 == queue.lag


async def test_more_than_fits_is_written_at_once(unindexed: Searching, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_queue, "MAX_WAITING", 1)
    queue = IndexQueue(unindexed.builder, ENOUGH)
    groups = [await unindexed.process.group(ADA, BOB) for _ in range(2)]
    await queue.handle([created(await unindexed.say(ADA, group, "Hương")) for group in groups])
    assert [1, 1] == [await indexed(unindexed, group) for group in groups]


@pytest.mark.parametrize("who", ["this process", "another process"])
async def test_what_was_deleted_while_it_waited_is_not_indexed(unindexed: Searching, who: str) -> None:
    """Nor as it was before an edit; whoever follows the deletion."""
    process = unindexed.process
    queue = IndexQueue(unindexed.builder, ENOUGH)
    store = MessageStore(unindexed.mongo.database, LINKS)
    other = IndexQueue(IndexBuilder(store, unindexed.store), ENOUGH)
    group = await process.group(ADA, BOB)
    for number in range(ENOUGH):
        await queue.handle([created(await unindexed.say(ADA, group, f"before {number}"))])
    # The process knows what it has written last, and reads no message again.
    deleted, changed = (
        await unindexed.say(BOB, group, "secretdeleted"),
        await unindexed.say(ADA, group, "secretchanged"),
    )
    await queue.handle([created(deleted), created(changed)])
    await process.messages.delete(BOB, group, deleted["id"])
    await process.messages.edit(ADA, group, changed["id"], "harmless")
    follower = queue if who == "this process" else other
    await follower.handle([edited(deleted), edited(changed)])
    for number in range(ENOUGH):
        await queue.handle([created(await unindexed.say(ADA, group, f"after {number}"))])
    assert 2 * ENOUGH <= await indexed(unindexed, group)
    terms = await terms_stored(unindexed.mongo)
    assert "harmless" in terms
    assert not {term for term in terms if term.startswith("secret") or term == "@" + BOB[::-1]}
