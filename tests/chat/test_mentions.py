"""Mentions in messages: whom a message names, and how many unread ones name a user."""

from collections.abc import Callable

import pytest

from service.chat import mention_counter
from service.common.ids import new_id
from tests.chat.chat_process import ADA, BOB, CAY, DAN, ChatProcess, received
from tests.conftest import Datastores
from tests.recorded_commands import recording


async def mentions(process: ChatProcess, group: str, content: str) -> list[str]:
    message, _ = await process.messages.send(ADA, group, content)
    found: list[str] = message["mentions"]
    return found


async def mention_count(process: ChatProcess, group: str, user_id: str) -> int:
    count: int = (await process.conversations.get(user_id, group))["mention_count"]
    return count


async def test_a_message_mentions_the_participants_whom_it_names(process: ChatProcess) -> None:
    group = await process.group(ADA, BOB, CAY)
    assert [CAY, BOB] == await mentions(process, group, "@cay and @Bob, @cay.")
    assert [] == await mentions(process, group, "@dan is not here, nor is bob@example.org")
    assert [] == await mentions(process, group, "nobody")
    assert [ADA, BOB, CAY] == await mentions(process, group, "@all: look")


async def test_all_names_nobody_in_a_group_of_more_than_100(process: ChatProcess) -> None:
    small = await process.group(ADA, BOB, *(new_id() for _ in range(98)))
    large = await process.group(ADA, BOB, *(new_id() for _ in range(99)))
    assert (100, 0) == (len(await mentions(process, small, "@all")), len(await mentions(process, large, "@all")))
    assert [BOB] == await mentions(process, large, "@all @bob")


async def test_an_edit_changes_the_mentions_and_a_deletion_removes_them(process: ChatProcess) -> None:
    group = await process.group(ADA, BOB, CAY)
    message, _ = await process.messages.send(ADA, group, "@bob")
    stream = process.listen(BOB)
    edited = await process.messages.edit(ADA, group, message["id"], "@cay")
    assert [CAY] == edited["mentions"]
    assert [CAY] == received(stream, "message_updated")[0]["data"]["mentions"]
    assert (0, 1) == (await mention_count(process, group, BOB), await mention_count(process, group, CAY))
    assert [] == (await process.messages.edit(ADA, group, message["id"], "nobody"))["mentions"]
    await process.messages.edit(ADA, group, message["id"], "@cay again")
    assert [] == (await process.messages.delete(ADA, group, message["id"]))["mentions"]
    assert 0 == await mention_count(process, group, CAY)


async def test_unread_messages_that_mention_a_user_are_counted(start_process: Callable[..., ChatProcess]) -> None:
    """Others' messages, after the read mark, on any process."""
    one, other = start_process(), start_process()
    group = await one.group(ADA, BOB, CAY)
    for content in ("@bob", "nobody", "@bob @cay", "@all"):
        await one.messages.send(ADA, group, content)
    await one.messages.flush_counters()
    for process in (one, other):
        assert [0, 3, 2] == [await mention_count(process, group, user) for user in (ADA, BOB, CAY)]
    await other.conversations.mark_read(BOB, group, 3)
    assert 1 == await mention_count(one, group, BOB)
    [listed] = (await other.conversations.page(CAY, 10, None))[0]
    assert 2 == listed["mention_count"]


async def test_mentions_by_a_blocked_user_do_not_count(process: ChatProcess) -> None:
    """The message says that it mentions them all the same: its sender is told nothing of the block."""
    group = await process.group(ADA, BOB, CAY)
    await process.blocks.add(BOB, ADA)
    assert [BOB, CAY] == await mentions(process, group, "@bob @cay")
    assert (0, 1) == (await mention_count(process, group, BOB), await mention_count(process, group, CAY))


async def test_mentions_far_back_do_not_count(process: ChatProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mention_counter, "MAX_SPAN", 2)
    group = await process.group(ADA, BOB)
    for content in ("@bob", "@bob", "@bob"):
        await process.messages.send(ADA, group, content)
    assert 2 == await mention_count(process, group, BOB)


async def test_an_announcement_counts_for_each_participant(process: ChatProcess) -> None:
    group = await process.group(ADA, BOB, CAY)
    await process.messages.send(ADA, group, "@bob")
    streams = {user: process.listen(user) for user in (BOB, CAY)}
    await process.groups.add_participants(ADA, group, [DAN])
    counts = {
        user: received(each, "conversation_updated")[-1]["data"]["mention_count"] for user, each in streams.items()
    }
    assert {BOB: 1, CAY: 0} == counts


async def test_a_message_without_an_at_sign_costs_no_read(datastores: Datastores) -> None:
    """One insert, and later the counters."""
    async with recording(datastores) as (mongo, commands):
        process = ChatProcess(mongo.database)
        await process.create_indexes()
        group = await process.group(ADA, BOB)
        await process.messages.send(ADA, group, "the first loads the head")
        await process.messages.flush_counters()
        commands.recorded.clear()
        await process.messages.send(ADA, group, "nobody")
        assert ["insert messages"] == commands.recorded[:1]
        assert {"insert messages", "update conversations"} >= set(commands.recorded)
        await process.close()
