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


@pytest.fixture
def queue(unindexed: Searching) -> IndexQueue:
    """A queue that gets what is said."""
    queue = IndexQueue(unindexed.builder, ENOUGH)
    unindexed.process.messages.on_created = queue.add
    return queue


def edited(*messages: dict[str, Any]) -> list[Change]:
    ids = [ObjectId(each["id"]) for each in messages]
    return [Change("messages", each, False, {}, now(), {"_id": each}) for each in ids]


async def indexed(searching: Searching, group: str) -> int:
    key = ObjectId(group)
    return (await searching.store.heads([key]))[key].indexed


async def test_few_messages_wait_and_are_found(unindexed: Searching, queue: IndexQueue) -> None:
    group = await unindexed.process.group(ADA, BOB)
    ids: list[str] = []
    for number in range(ENOUGH):
        await queue.write_due()
        assert 0 == await indexed(unindexed, group)
        ids.insert(0, (await unindexed.say(ADA, group, f"Hương {number}"))["id"])
        assert ids == await unindexed.found(BOB, "huong")
    assert queue.lag > 0
    await queue.write_due()
    assert ENOUGH == await indexed(unindexed, group)
    assert 0 == queue.lag


async def test_the_process_that_fills_a_block_writes_what_others_have_stored(
    unindexed: Searching, queue: IndexQueue
) -> None:
    """What the others have of it is then written for the second time, which changes nothing."""
    other = IndexQueue(IndexBuilder(unindexed.process.message_store, unindexed.store), ENOUGH)
    group = await unindexed.process.group(ADA, BOB)
    unindexed.process.messages.on_created = other.add
    ids = [(await unindexed.say(ADA, group, f"Hương {number}"))["id"] for number in range(ENOUGH - 1)]
    unindexed.process.messages.on_created = queue.add
    ids.append((await unindexed.say(ADA, group, "Hương"))["id"])
    await other.write_due()
    assert 0 == await indexed(unindexed, group)
    await queue.write_due()
    for _ in range(2):
        assert ENOUGH == await indexed(unindexed, group)
        assert ids[::-1] == await unindexed.found(BOB, "huong")
        await other.write(list(other.waiting))


async def test_what_has_waited_long_enough_is_written(
    unindexed: Searching, queue: IndexQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_queue, "INTERVAL", 0.01)
    monkeypatch.setattr(index_queue, "MAX_DELAY", 0.05)
    group = await unindexed.process.group(ADA, BOB)
    task = asyncio.create_task(queue.run())
    await unindexed.say(ADA, group, "Hương")
    async with asyncio.timeout(20):
        while not await indexed(unindexed, group):
            await asyncio.sleep(0.01)
    await cancel_and_wait(task)


async def test_what_does_not_fit_is_indexed_with_the_next_message(
    unindexed: Searching, queue: IndexQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_queue, "MAX_WAITING", 1)
    full, group = [await unindexed.process.group(ADA, BOB) for _ in range(2)]
    for each in (full, group):
        await unindexed.say(ADA, each, "Hương")
    await queue.write_due()
    assert [1, 0] == [await indexed(unindexed, each) for each in (full, group)]
    await unindexed.say(ADA, group, "Hương")
    await queue.write_due()
    assert 2 == await indexed(unindexed, group)


@pytest.mark.parametrize("who", ["this process", "another process"])
async def test_what_was_deleted_while_it_waited_is_not_indexed(
    unindexed: Searching, queue: IndexQueue, who: str
) -> None:
    """Nor as it was before an edit; whoever follows the deletion."""
    process = unindexed.process
    store = MessageStore(unindexed.mongo.database, LINKS)
    group = await process.group(ADA, BOB)
    for number in range(ENOUGH):
        await unindexed.say(ADA, group, f"before {number}")
    # The process knows what it has written last, and reads no message again.
    await queue.write_due()
    deleted = await unindexed.say(BOB, group, "secretdeleted")
    changed = await unindexed.say(ADA, group, "secretchanged")
    await process.messages.delete(BOB, group, deleted["id"])
    await process.messages.edit(ADA, group, changed["id"], "harmless")
    follower = unindexed.builder if who == "this process" else IndexBuilder(store, unindexed.store)
    await follower.handle(edited(deleted, changed))
    for number in range(ENOUGH):
        await unindexed.say(ADA, group, f"after {number}")
    await queue.write_due()
    assert 2 * ENOUGH <= await indexed(unindexed, group)
    terms = await terms_stored(unindexed.mongo)
    assert "harmless" in terms
    assert not {term for term in terms if term.startswith("secret") or term == "@" + BOB[::-1]}
