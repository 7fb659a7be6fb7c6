"""Blocks in direct conversations: a message is stored before the block is acknowledged, or refused, on any process."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from bson import ObjectId

from service.chat.barrier import BARRIER, BLOCKED_BY, is_barrier
from service.common.errors import Blocked, Forbidden, NonceReused, NotFound, ValidationFailed
from tests.chat.chat_process import ADA, BOB, CAY, ChatProcess, received, texts

Start = Callable[..., ChatProcess]


async def block(process: ChatProcess, user: str, other: str) -> None:
    await process.blocks.add(user, other)
    await process.conversations.on_block_changed(user, other)


async def unblock(process: ChatProcess, user: str, other: str) -> None:
    await process.blocks.remove(user, other)
    await process.conversations.on_block_changed(user, other)


async def contents(process: ChatProcess, conversation: str) -> list[str]:
    return texts((await process.messages.history(ADA, conversation, None, 50)).items)


@pytest.mark.parametrize("empty", [False, True], ids=["with messages", "empty"])
async def test_neither_of_two_users_can_send_if_one_blocks_the_other(start_process: Start, empty: bool) -> None:
    """Also on a process that has just stored their messages, and has not heard of the block."""
    one, other = start_process(), start_process()
    conversation = await one.conversation(ADA, BOB)
    if not empty:
        await one.messages.send(ADA, conversation, "first")
        await other.messages.send(BOB, conversation, "second")
    else:
        # The process knows the conversation.
        with pytest.raises(NotFound):
            await other.messages.send(CAY, conversation, "from a stranger")
    await block(one, ADA, BOB)
    for process in (one, other):
        for user in (ADA, BOB):
            with pytest.raises(Blocked):
                await process.messages.send(user, conversation, "never")
    assert ([] if empty else ["first", "second"]) == await contents(one, conversation)


async def test_after_the_last_block_is_removed_messages_go_on_without_a_gap(start_process: Start) -> None:
    one, other = start_process(), start_process()
    conversation = await one.conversation(ADA, BOB)
    await other.messages.send(BOB, conversation, "first")
    await block(one, ADA, BOB)
    await block(other, BOB, ADA)
    await unblock(one, ADA, BOB)
    with pytest.raises(Blocked):
        await other.messages.send(BOB, conversation, "never")
    await unblock(other, BOB, ADA)
    for number, (process, user) in enumerate([(other, BOB), (one, ADA)], 2):
        message, _ = await process.messages.send(user, conversation, "again")
        assert (number, number) == (message["seq"], message["rev"])
    assert not any(map(is_barrier, await one.stored(conversation)))


async def test_blocks_and_messages_at_the_same_time_end_in_one_order(start_process: Start) -> None:
    """No message is stored after the block was acknowledged, and none that was acknowledged is missing."""
    processes = [start_process() for _ in range(3)]
    conversation = await processes[0].conversation(ADA, BOB)
    stored: list[str] = []
    is_blocked = asyncio.Event()

    async def write(process: ChatProcess, name: int) -> None:
        for count in range(100):
            late = is_blocked.is_set()
            try:
                message, _ = await process.messages.send(BOB, conversation, f"{name}.{count}")
            except Blocked:
                return
            assert not late
            stored.append(message["content"])
        pytest.fail("The block had no effect.")

    async def block_soon() -> None:
        async with asyncio.timeout(10):
            while len(stored) < 10:
                await asyncio.sleep(0)
        await block(processes[0], ADA, BOB)
        is_blocked.set()

    await asyncio.gather(block_soon(), *(write(process, name) for name, process in enumerate(processes)))
    messages = [each for each in await processes[0].stored(conversation) if not is_barrier(each)]
    assert sorted(stored) == sorted(message["content"] for message in messages)
    assert list(range(1, len(stored) + 1)) == [message["seq"] for message in messages]


async def test_a_block_holds_for_a_conversation_that_is_created_later(start_process: Start) -> None:
    one, other = start_process(), start_process()
    await block(one, ADA, BOB)
    conversation = await other.conversation(BOB, ADA)
    with pytest.raises(Blocked):
        await other.messages.send(BOB, conversation, "never")
    with pytest.raises(Blocked):
        await one.messages.send(ADA, conversation, "never")
    await unblock(one, ADA, BOB)
    await other.messages.send(BOB, conversation, "hello")


async def test_nobody_sends_in_a_new_conversation_before_blocks_were_looked_up(process: ChatProcess) -> None:
    """As when the process ends in between; creating it again looks them up."""
    ada, bob = ObjectId(ADA), ObjectId(BOB)
    document, _ = await process.conversation_store.create_direct(ada, bob, checked=False)
    with pytest.raises(Blocked):
        await process.messages.send(BOB, str(document["_id"]), "too early")
    conversation = await process.conversation(BOB, ADA)
    assert str(document["_id"]) == conversation
    await process.messages.send(BOB, conversation, "now")


@pytest.mark.parametrize("blocked", [False, True], ids=["not blocked", "blocked"])
async def test_the_blocks_in_a_new_conversation_are_looked_up_by_another_process(
    process: ChatProcess, blocked: bool
) -> None:
    """With its announcement, which says to its owner that the conversation exists."""
    document, _ = await process.conversation_store.create_direct(ObjectId(BOB), ObjectId(ADA), checked=False)
    conversation = str(document["_id"])
    if blocked:
        await process.blocks.add(ADA, BOB)
    stream = process.listen(BOB)
    await process.conversations.announcer.reannounce(document["_id"])
    assert 1 == len(received(stream, "conversation_updated"))
    if blocked:
        with pytest.raises(Blocked):
            await process.messages.send(BOB, conversation, "never")
        await unblock(process, ADA, BOB)
    await process.messages.send(BOB, conversation, "hello")


async def test_a_barrier_that_an_interrupted_change_has_left_is_removed(start_process: Start) -> None:
    one, other = start_process(), start_process()
    conversation = await one.conversation(ADA, BOB)
    await other.messages.send(BOB, conversation, "first")
    # A process ended after its barrier was outdated, and before it removed it.
    await one.message_store.add_barrier(ObjectId(conversation), ObjectId(), 1)
    await other.messages.send(BOB, conversation, "second")
    await one.message_store.add_barrier(ObjectId(conversation), ObjectId(), 2)
    await block(one, ADA, BOB)
    with pytest.raises(Blocked):
        await other.messages.send(BOB, conversation, "never")
    assert 1 == sum(map(is_barrier, await one.stored(conversation)))


async def test_an_interrupted_block_takes_effect_when_it_is_repeated(start_process: Start) -> None:
    one, other = start_process(), start_process()
    conversation = await one.conversation(ADA, BOB)
    await other.messages.send(BOB, conversation, "first")
    await block(one, ADA, BOB)
    document = await one.conversation_store.find(ObjectId(conversation))
    assert document
    assert [ObjectId(ADA)] == document[BLOCKED_BY]
    # As if it had ended before the barrier was stored: `other` does not know of the block.
    await one.message_store.remove_barrier(ObjectId(conversation), document[BARRIER])
    await block(one, ADA, BOB)
    with pytest.raises(Blocked):
        await other.messages.send(BOB, conversation, "never")


async def test_blocking_and_unblocking_at_once_leaves_no_half(start_process: Start) -> None:
    """The conversation ends as the blocks do."""
    processes = [start_process() for _ in range(3)]
    conversation = await processes[0].conversation(ADA, BOB)
    for _ in range(5):
        await asyncio.gather(
            block(processes[0], ADA, BOB), unblock(processes[1], ADA, BOB), block(processes[2], ADA, BOB)
        )
        blocked = bool(await processes[0].blocks.blocked_by(ADA))
        for process in processes:
            if blocked:
                with pytest.raises(Blocked):
                    await process.messages.send(BOB, conversation, "maybe")
            else:
                await process.messages.send(BOB, conversation, "maybe")


async def test_a_late_change_does_not_remove_the_barrier_of_a_later_one(
    start_process: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that has not heard of either block could send in between."""
    one, other = start_process(), start_process()
    conversation = await one.conversation(ADA, BOB)
    await one.messages.send(BOB, conversation, "first")
    add, remove = one.message_store.add_barrier, one.message_store.remove_barrier
    removed: list[ObjectId] = []

    async def add_late(*args: Any) -> Any:
        monkeypatch.setattr(one.message_store, "add_barrier", add)
        await block(other, BOB, ADA)
        return await add(*args)

    async def record(conversation_id: ObjectId, barrier: ObjectId) -> None:
        removed.append(barrier)
        await remove(conversation_id, barrier)

    monkeypatch.setattr(one.message_store, "add_barrier", add_late)
    monkeypatch.setattr(one.message_store, "remove_barrier", record)
    await block(one, ADA, BOB)
    document = await one.conversation_store.find(ObjectId(conversation))
    assert document
    assert [ObjectId(ADA), ObjectId(BOB)] == document[BLOCKED_BY]
    assert [document[BARRIER]] == [each["_id"] for each in await one.stored(conversation) if is_barrier(each)]
    assert document[BARRIER] not in removed


async def test_edits_and_reactions_are_refused_and_deletions_are_not(start_process: Start) -> None:
    """On another process than the block's."""
    one, other = start_process(), start_process()
    conversation = await one.conversation(ADA, BOB)
    own, _ = await other.messages.send(BOB, conversation, "first")
    await other.messages.react(BOB, conversation, own["id"], "👍", on=True)
    await block(one, ADA, BOB)
    with pytest.raises(Blocked):
        await other.messages.edit(BOB, conversation, own["id"], "look")
    with pytest.raises(Blocked):
        await other.messages.react(BOB, conversation, own["id"], "🎉", on=True)
    taken_back = await other.messages.react(BOB, conversation, own["id"], "👍", on=False)
    assert {} == taken_back["reactions"]
    assert (await other.messages.delete(BOB, conversation, own["id"]))["deleted"]


async def test_a_message_that_was_stored_before_the_block_can_be_repeated(process: ChatProcess) -> None:
    """Its sender may not have received the response."""
    conversation = await process.conversation(ADA, BOB)
    first, _ = await process.messages.send(BOB, conversation, "hello", nonce="n")
    await block(process, ADA, BOB)
    assert (first, False) == await process.messages.send(BOB, conversation, "hello", nonce="n")
    with pytest.raises(NonceReused):
        await process.messages.send(BOB, conversation, "another", nonce="n")
    with pytest.raises(Blocked):
        await process.messages.send(BOB, conversation, "hello", nonce="m")


async def test_a_barrier_is_no_message(process: ChatProcess) -> None:
    """No reader finds it, and it cannot be replied to, or reacted to."""
    conversation = await process.conversation(ADA, BOB)
    first, _ = await process.messages.send(BOB, conversation, "first")
    await block(process, ADA, BOB)
    barrier = next(each["_id"] for each in await process.stored(conversation) if is_barrier(each))
    assert ["first"] == await contents(process, conversation)
    assert [first] == (await process.messages.changes(ADA, conversation, 0, 50)).items
    shown = await process.conversations.get(BOB, conversation)
    assert (1, 1, first) == (shown["last_seq"], shown["last_rev"], shown["last_message"])
    with pytest.raises(NotFound):
        await process.messages.delete(BOB, conversation, str(barrier))
    await unblock(process, ADA, BOB)
    with pytest.raises(ValidationFailed):
        await process.messages.send(BOB, conversation, "a reply", reply_to=str(barrier))


async def test_the_blocked_user_is_told_nothing(process: ChatProcess) -> None:
    conversation = await process.conversation(ADA, BOB)
    await process.messages.send(BOB, conversation, "first")
    before = await process.conversations.get(BOB, conversation)
    stream = process.listen(BOB)
    await block(process, ADA, BOB)
    await process.conversations.publish_typing(BOB, conversation)
    await unblock(process, ADA, BOB)
    await process.messages.send(ADA, conversation, "second")
    assert ["new_message"] == [event["type"] for event in received(stream)]
    after = await process.conversations.get(BOB, conversation)
    changing = ("last_message", "last_seq", "last_rev", "last_activity_at", "unread_count", "read_marks")
    assert {name: before[name] for name in before.keys() - changing} == {
        name: after[name] for name in after.keys() - changing
    }


async def test_typing_does_not_reach_somebody_who_blocks(process: ChatProcess) -> None:
    """Neither in their direct conversation nor in a group, where the others are told."""
    direct, group = await process.conversation(ADA, BOB), await process.group(CAY, ADA, BOB)
    stream, other = process.listen(ADA), process.listen(CAY)
    await block(process, ADA, BOB)
    for conversation in (direct, group):
        await process.conversations.publish_typing(BOB, conversation)
    assert [[], ["typing"]] == [[event["type"] for event in received(each)] for each in (stream, other)]
    await unblock(process, ADA, BOB)
    for conversation in (direct, group):
        await process.conversations.publish_typing(BOB, conversation)
    assert ["typing", "typing"] == [event["type"] for event in received(stream)]


async def test_nobody_is_added_to_a_group_by_somebody_whom_they_block(process: ChatProcess) -> None:
    """Messages in the groups of both arrive all the same."""
    group = await process.group(BOB, CAY)
    shared = await process.group(CAY, ADA, BOB)
    await block(process, ADA, BOB)
    with pytest.raises(Forbidden):
        await process.groups.add_participants(BOB, group, [ADA])
    with pytest.raises(Forbidden):
        await process.conversations.create(BOB, [ADA, CAY], "Another group")
    with pytest.raises(Forbidden):
        await process.conversations.create(BOB, [ADA], "A group of two")
    assert [group, shared] == sorted(
        [each["id"] for each in (await process.conversations.page(CAY, 10, None))[0]], key=[group, shared].index
    )
    stream = process.listen(ADA)
    await process.messages.send(BOB, shared, "hello")
    assert 1 == len(received(stream, "new_message"))
    await process.conversations.create(ADA, [BOB], "The other way round")


async def test_who_blocks_while_they_are_added_leaves_the_group(
    process: ChatProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = await process.group(BOB, CAY)
    add = process.conversation_store.groups.add

    async def add_late(*args: object) -> object:
        await block(process, ADA, BOB)
        return await add(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(process.conversation_store.groups, "add", add_late)
    await process.groups.add_participants(BOB, group, [ADA])
    with pytest.raises(NotFound):
        await process.conversations.get(ADA, group)
