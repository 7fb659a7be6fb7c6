"""Events that are lost between the write and the publishing: connected clients still get the database's state."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from datetime import timedelta
from typing import Any

import pytest
from bson import ObjectId

from service.chat.message_service import MessageService
from service.chat.writer_checkpoints import DEAD_AFTER
from service.common.errors import Unavailable
from service.common.times import now
from service.realtime import resets
from service.realtime.dispatcher import MAX_ADDRESSED
from tests.chat.chat_process import ADA, BOB, CAY, ChatProcess, kill_before_publishing, received, wait_for_events

Write = Callable[[MessageService, str, str], Awaitable[object]]

WRITES: dict[str, Write] = {
    "send": lambda messages, conversation, message: messages.send(ADA, conversation, "new", "nonce"),
    "edit": lambda messages, conversation, message: messages.edit(ADA, conversation, message, "new"),
    "delete": lambda messages, conversation, message: messages.delete(ADA, conversation, message),
    "react": lambda messages, conversation, message: messages.react(ADA, conversation, message, "👍", on=True),
    "react not": lambda messages, conversation, message: messages.react(ADA, conversation, message, "🎉", on=False),
}


async def with_old_message(process: ChatProcess) -> tuple[str, str]:
    """Return a conversation and a message with a reaction in it, which was created an hour ago."""
    conversation = await process.conversation(ADA, BOB)
    sent, _ = await process.messages.send(ADA, conversation, "old")
    await process.messages.react(ADA, conversation, sent["id"], "🎉", on=True)
    await process.messages.flush_counters()
    collection = process.message_store.collection
    document = await process.message_store.get(ObjectId(conversation), ObjectId(sent["id"]))
    assert document
    await collection.delete_one({"_id": document["_id"]})
    aged = ObjectId.from_datetime(now() - timedelta(hours=1))
    times = {"changed_at": now() - timedelta(hours=1)}
    await collection.insert_one(document | {"_id": aged} | times)
    return conversation, str(aged)


@pytest.fixture(params=WRITES)
def write(request: pytest.FixtureRequest) -> Write:
    return WRITES[request.param]


async def test_unpublished_write_of_a_dead_process_is_found_by_its_time(
    start_process: Callable[..., ChatProcess], write: Write
) -> None:
    """Not by the time at which its message was created."""
    killed, listening = start_process(), start_process()
    conversation, message = await with_old_message(killed)
    listener = listening.listen(BOB)
    await listening.conversations.heads_for_hello(BOB)
    with pytest.raises(asyncio.CancelledError):
        await write(kill_before_publishing(killed), conversation, message)
    assert received(listener) == []
    starting = start_process(listening.bus)
    await starting.messages.start()
    async with asyncio.timeout(10):
        while not received(listener, "new_message", "message_updated"):
            await asyncio.sleep(0.01)
    [event] = received(listener, "new_message", "message_updated")
    assert event["data"]["rev"] == 3


async def test_repeated_write_is_announced(start_process: Callable[..., ChatProcess], write: Write) -> None:
    """The process that stored it was killed; the client repeats it on another one, and no process starts."""
    killed, running = start_process(), start_process()
    conversation, message = await with_old_message(killed)
    listener = running.listen(BOB)
    await running.conversations.heads_for_hello(BOB)
    with pytest.raises(asyncio.CancelledError):
        await write(kill_before_publishing(killed), conversation, message)
    await write(running.messages, conversation, message)
    async with asyncio.timeout(10):
        while not received(listener, "new_message", "message_updated"):
            await asyncio.sleep(0.01)
    [event] = received(listener, "new_message", "message_updated")
    assert event["data"]["rev"] == 3
    await running.messages.flush_counters()
    [head] = await start_process().conversations.heads_for_hello(BOB)
    assert head["last_rev"] == 3


async def test_repeated_write_resets_clients_without_a_position(start_process: Callable[..., ChatProcess]) -> None:
    """The client connected before the conversation existed, so nobody knows which events it has received."""
    killed, running = start_process(), start_process()
    listener = running.listen(BOB)
    conversation = await killed.conversation(ADA, BOB)
    with pytest.raises(asyncio.CancelledError):
        await kill_before_publishing(killed).send(ADA, conversation, "one", "nonce")
    await running.messages.send(ADA, conversation, "one", "nonce")
    assert len(received(listener, "reset")) == 1


async def test_repeated_write_is_not_delivered_twice(process: ChatProcess) -> None:
    """The first one was published."""
    conversation = await process.conversation(ADA, BOB)
    listener = process.listen(BOB)
    await process.conversations.heads_for_hello(BOB)
    for _ in range(3):
        await process.messages.send(ADA, conversation, "one", "nonce")
    assert not process.dispatcher.gap_tasks
    assert [event["type"] for event in received(listener)] == ["new_message"]


async def test_recovery_finds_more_conversations_than_are_held_in_memory(
    start_process: Callable[..., ChatProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process is killed before it publishes a batch of messages in many conversations."""
    monkeypatch.setattr("service.chat.counter_reconciler.MAX_DIRTY", 2)
    killed, listening = start_process(), start_process()
    conversations = [await killed.conversation(ADA, f"{n:024x}") for n in range(1, 6)]
    listener = listening.listen(ADA)
    await listening.conversations.heads_for_hello(ADA)
    messages = kill_before_publishing(killed)
    sent = [messages.submit(ADA, conversation, "x") for conversation in conversations]
    await asyncio.wait(sent)
    await start_process(listening.bus).messages.start()
    events = await wait_for_events(listener, "new_message", 5)
    assert {event["conversation_id"] for event in events} == set(conversations)


async def test_writes_without_a_reply_are_recovered_beyond_those_held_in_memory(
    process: ChatProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database stores a batch of messages in many conversations, and its reply is lost."""
    monkeypatch.setattr("service.chat.counter_reconciler.MAX_DIRTY", 2)
    conversations = [await process.conversation(ADA, f"{n:024x}") for n in range(1, 6)]
    listener = process.listen(ADA)
    await process.conversations.heads_for_hello(ADA)
    write = process.messages._append.write

    async def write_without_reply(*args: Any) -> Any:
        await write(*args)
        raise Unavailable

    process.messages._append.write = write_without_reply  # type: ignore[method-assign]
    sent = [process.messages.submit(ADA, conversation, "x") for conversation in conversations]
    await asyncio.gather(*sent, return_exceptions=True)
    await process.messages.start()
    events = await wait_for_events(listener, "new_message", 5)
    assert {event["conversation_id"] for event in events} == set(conversations)


async def test_write_that_the_database_carries_out_late_is_found_by_a_recheck(
    process: ChatProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The driver gave up on it, and the conversation was reconciled before it was stored."""
    monkeypatch.setattr("service.chat.counter_reconciler.RECHECK_DELAY", 0.2)
    conversation = await process.conversation(ADA, BOB)
    listener = process.listen(BOB)
    await process.conversations.heads_for_hello(BOB)
    write = process.messages._append.write
    late: list[Any] = []

    async def give_up(items: Any, contention: Any) -> Any:
        late.extend(items)
        raise Unavailable

    reconciled = asyncio.Event()
    announce_position = process.dispatcher.announce_position

    def announced(*args: Any, **kwargs: Any) -> None:
        announce_position(*args, **kwargs)
        reconciled.set()

    process.dispatcher.announce_position = announced  # type: ignore[method-assign]
    process.messages._append.write = give_up  # type: ignore[method-assign]
    await process.messages.start()
    with pytest.raises(Unavailable):
        await process.messages.send(ADA, conversation, "late")
    async with asyncio.timeout(10):
        await reconciled.wait()
    await write(late)
    assert (await wait_for_events(listener, "new_message"))[0]["data"]["content"] == "late"


async def test_a_running_process_recovers_after_a_dead_one(start_process: Callable[..., ChatProcess]) -> None:
    """Its machine died, so no process starts in its place; a minute later its checkpoint is found to be old."""
    killed, running = start_process(), start_process()
    conversation = await killed.conversation(ADA, BOB)
    listener = running.listen(BOB)
    await running.conversations.heads_for_hello(BOB)
    with pytest.raises(asyncio.CancelledError):
        await kill_before_publishing(killed).send(ADA, conversation, "one")
    times = {"at": now() - timedelta(minutes=20), "alive_at": now() - DEAD_AFTER - timedelta(seconds=1)}
    await killed.checkpoints._collection.insert_one({"_id": "killed", **times})
    # Its last message: stored two minutes after its last checkpoint, which is as late as its window reaches.
    [message] = await killed.stored(conversation)
    stored_at = {"changed_at": times["alive_at"] + timedelta(minutes=2)}
    await killed.message_store.collection.update_one({"_id": message["_id"]}, {"$set": stored_at})
    await running.messages._reconciler._recover_dead()
    await wait_for_events(listener, "new_message")
    assert "killed" not in {checkpoint.process_id for checkpoint in await running.checkpoints.all()}


async def test_checkpoint_stays_at_the_time_of_unfinished_work(process: ChatProcess) -> None:
    """A process that cannot reconcile a conversation goes on storing messages, and is killed an hour later."""
    reconciler = process.messages._reconciler
    started = reconciler._complete_until = now() - timedelta(hours=1)
    reconciler.mark_dirty([ObjectId()])
    task = asyncio.create_task(reconciler._write_checkpoint())
    async with asyncio.timeout(10):
        while not (checkpoints := await process.checkpoints.all()):
            await asyncio.sleep(0.01)
    task.cancel()
    [checkpoint] = checkpoints
    assert abs(checkpoint.complete_until - started) < timedelta(milliseconds=2)
    assert checkpoint.alive_at > checkpoint.complete_until
    since, until = checkpoint.window
    assert since < started < checkpoint.alive_at < until


async def test_conversation_that_cannot_be_reconciled_does_not_hold_up_the_others(process: ChatProcess) -> None:
    """Nor is it forgotten."""
    conversations = [ObjectId(await process.conversation(ADA, other)) for other in (BOB, CAY)]
    failing = conversations[0]
    done: list[ObjectId] = []

    async def reconcile_one(conversation_id: ObjectId) -> None:
        if conversation_id == failing:
            raise RuntimeError
        done.append(conversation_id)

    reconciler = process.messages._reconciler
    reconciler._reconcile_one = reconcile_one  # type: ignore[method-assign]
    reconciler.mark_dirty(conversations)
    with pytest.raises(RuntimeError):
        await reconciler._reconcile()
    assert done == conversations[1:]
    assert reconciler._dirty == {failing}


async def test_first_message_of_a_new_group_is_read_if_it_is_lost(
    start_process: Callable[..., ChatProcess],
) -> None:
    """Its event is lost, the counters are written, and another device connects: the first device still gets it."""
    there = start_process()
    here = start_process(there.bus)
    first = here.listen(BOB)
    conversation = await there.group(ADA, BOB)
    killed = start_process()
    await killed.messages.send(ADA, conversation, "one", "nonce")
    await killed.messages.flush_counters()
    here.listen(BOB)
    assert (await here.conversations.heads_for_hello(BOB))[0]["last_rev"] == 1
    await there.messages.send(ADA, conversation, "one", "nonce")
    [event] = await wait_for_events(first, "new_message")
    assert event["data"]["rev"] == 1


async def test_who_missed_that_they_joined_a_room_is_in_it_before_the_reset(
    process: ChatProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its messages go to the processes with users in it. As long as the database does not say, there is no `reset`."""
    monkeypatch.setattr(resets, "RETRY_INTERVAL", 0.01)
    others = [f"{number:024x}" for number in range(1, MAX_ADDRESSED + 1)]
    group = await process.group(ADA, *others)
    listener = process.listen(CAY)
    process.registry.unregister(listener)
    await process.groups.add_participants(ADA, group, [CAY])
    process.registry.register(listener)
    read, failures = process.conversation_store.lists.larger_than, [Unavailable(), RuntimeError()]

    async def fail_first(size: int, user_ids: Collection[ObjectId]) -> dict[ObjectId, dict[ObjectId, int]]:
        assert not received(listener, "reset")
        if failures:
            raise failures.pop()
        return await read(size, user_ids)

    process.conversation_store.lists.larger_than = fail_first  # type: ignore[method-assign]
    process.dispatcher.on_bus_gap()
    await wait_for_events(listener, "reset")
    assert not failures
    assert [CAY] == list(process.dispatcher._rooms.users(f"c:{group}"))
