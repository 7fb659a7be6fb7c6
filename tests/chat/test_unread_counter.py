"""Unread counts: messages of others after the read mark that have not been deleted."""

import random
from collections.abc import Callable

import pytest
from bson import ObjectId

from service.chat import members, unread_counter
from tests.chat.chat_process import ADA, BOB, CAY, ChatProcess, received


async def unread(process: ChatProcess, conversation: str, user: str) -> int:
    """Return the unread count, after checking that list and details agree on it."""
    count = int((await process.conversations.get(user, conversation))["unread_count"])
    items, _ = await process.conversations.page(user, 10, None)
    assert [count] == [item["unread_count"] for item in items if item["id"] == conversation]
    return count


async def test_a_deleted_message_is_not_unread(start_process: Callable[..., ChatProcess]) -> None:
    """At once, also in a process that did not store the deletion, and after its counters are written."""
    one, two = start_process(), start_process()
    group = await one.group(ADA, BOB)
    messages = [(await one.messages.send(ADA, group, f"m{number}"))[0]["id"] for number in range(4)]
    await one.messages.delete(ADA, group, messages[1])
    # The processes of this test have a bus each: what other processes store, they read.
    two.dispatcher.set_position(f"c:{group}", 5, [BOB])
    assert [3, 3] == [await unread(process, group, BOB) for process in (one, two)]
    await one.messages.flush_counters()
    assert [3, 3] == [await unread(process, group, BOB) for process in (one, two)]
    assert 2 == (await one.conversations.mark_read(BOB, group, 2))["unread_count"]
    await one.messages.delete(ADA, group, messages[3])
    await one.messages.delete(ADA, group, messages[0])
    assert (1, 0) == (await unread(one, group, BOB), await unread(one, group, ADA))
    assert 0 == (await one.conversations.mark_read(BOB, group, 3))["unread_count"]
    assert 0 == await unread(one, group, BOB)


@pytest.mark.parametrize("seed", range(3))
async def test_unread_counts_are_right_after_any_sends_deletions_and_reads(process: ChatProcess, seed: int) -> None:
    """Compared with a count of all messages, for each user."""
    chance = random.Random(seed)
    group = await process.group(ADA, BOB, CAY)
    for _ in range(40):
        user = chance.choice([ADA, BOB, CAY])
        act = chance.random()
        stored = await process.stored(group)
        own = [message for message in stored if str(message["sender_id"]) == user and not message["deleted"]]
        if act < 0.5 or not own:
            await process.messages.send(user, group, "hi")
        elif act < 0.8:
            await process.messages.delete(user, group, str(chance.choice(own)["_id"]))
        else:
            await process.conversations.mark_read(user, group, chance.randrange(1, len(stored) + 1))
        if chance.random() < 0.3:
            await process.messages.flush_counters()
    stored = await process.stored(group)
    for user in (ADA, BOB, CAY):
        mark = (await process.conversations.get(user, group))["last_read_seq"]
        expected = [
            message
            for message in stored
            if message["seq"] > mark and str(message["sender_id"]) != user and not message["deleted"]
        ]
        assert len(expected) == await unread(process, group, user)


async def test_an_announced_conversation_has_the_count_of_each_participant(process: ChatProcess) -> None:
    group = await process.group(ADA, BOB, CAY)
    messages = [(await process.messages.send(ADA, group, "hi"))[0]["id"] for _ in range(3)]
    await process.conversations.mark_read(CAY, group, 2)
    await process.messages.delete(ADA, group, messages[1])
    listeners = [process.listen(user) for user in (ADA, BOB, CAY)]
    await process.groups.change(ADA, group, {"title": "Another name"})
    events = [received(listener, "conversation_updated")[0]["data"] for listener in listeners]
    assert [0, 2, 1] == [event["unread_count"] for event in events]
    assert [{BOB: 0, CAY: 2}, {ADA: 3, CAY: 2}, {ADA: 3, BOB: 0}] == [event["read_marks"] for event in events]


async def test_read_marks_are_shown_in_small_groups_only(process: ChatProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """They survive a reload: the details have the same marks as the events before."""
    monkeypatch.setattr(members, "MAX_READ_MARKS", 1)
    direct, group = await process.conversation(ADA, BOB), await process.group(ADA, BOB, CAY)
    await process.messages.send(ADA, direct, "hi")
    await process.conversations.mark_read(BOB, direct, 1)
    assert [{BOB: 1}, None] == [(await process.conversations.get(ADA, each))["read_marks"] for each in (direct, group)]
    listener = process.listen(BOB)
    await process.groups.change(ADA, group, {"title": "Another name"})
    (event,) = received(listener, "conversation_updated")
    assert (None, 3) == (event["data"]["read_marks"], event["data"]["participant_count"])


async def test_a_conversation_of_an_earlier_version_counts_as_well(process: ChatProcess) -> None:
    """Its document does not have the seq of its last deleted message."""
    group = await process.group(ADA, BOB)
    messages = [(await process.messages.send(ADA, group, "hi"))[0]["id"] for _ in range(3)]
    await process.messages.delete(ADA, group, messages[0])
    await process.messages.flush_counters()
    await process.conversation_store._collection.update_one({"_id": ObjectId(group)}, {"$unset": {"last_deleted": ""}})
    assert 2 == await unread(process, group, BOB)


async def test_deleted_messages_are_looked_for_in_a_bounded_span(
    process: ChatProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those before count as unread."""
    monkeypatch.setattr(unread_counter, "MAX_SPAN", 3)
    group = await process.group(ADA, BOB)
    messages = [(await process.messages.send(ADA, group, "hi"))[0]["id"] for _ in range(6)]
    for number in (0, 1, 4):
        await process.messages.delete(ADA, group, messages[number])
    assert 5 == await unread(process, group, BOB)
