"""Muting and archiving, in small groups and in large ones."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from bson import ObjectId

from service.chat.settings_store import FOREVER
from service.common.errors import NotFound, ValidationFailed
from service.common.ids import new_id
from service.common.times import iso, now
from tests.chat.chat_process import ADA, BOB, CAY, ChatProcess, received

SIZES = pytest.mark.parametrize("others", [1, 120], ids=["small", "large"])


async def group_of(process: ChatProcess, others: int) -> str:
    return await process.group(ADA, BOB, *(new_id() for _ in range(others - 1)))


async def listed(process: ChatProcess, user_id: str) -> list[str]:
    return [each["id"] for each in (await process.conversations.page(user_id, 10, None))[0]]


async def archived(process: ChatProcess, user_id: str) -> list[str]:
    return [each["id"] for each in (await process.conversations.archived_page(user_id, 10, None))[0]]


@SIZES
async def test_a_conversation_is_muted_for_one_user_until_a_time(process: ChatProcess, others: int) -> None:
    group = await group_of(process, others)
    until = now() + timedelta(hours=1)
    streams = {user: process.listen(user) for user in (ADA, BOB)}
    assert iso(until) == (await process.settings.mute(ADA, group, until))["muted_until"]
    assert iso(until) == (await process.conversations.get(ADA, group))["muted_until"]
    assert None is (await process.conversations.get(BOB, group))["muted_until"]
    [event] = received(streams[ADA], "conversation_updated")
    assert (iso(until), False) == (event["data"]["muted_until"], event["data"]["archived"])
    assert [] == received(streams[BOB])
    assert None is (await process.settings.unmute(ADA, group))["muted_until"]


async def test_a_mute_that_has_expired_is_none(process: ChatProcess) -> None:
    group = await process.group(ADA, BOB)
    assert None is (await process.settings.mute(ADA, group, now() - timedelta(milliseconds=1)))["muted_until"]
    assert iso(FOREVER) == (await process.settings.mute(ADA, group, None))["muted_until"]


@SIZES
async def test_an_archived_conversation_leaves_the_list_until_a_message_arrives(
    process: ChatProcess, others: int
) -> None:
    group = await group_of(process, others)
    await process.messages.send(BOB, group, "first")
    assert (await process.settings.archive(ADA, group))["archived"]
    assert ([], [group]) == (await listed(process, ADA), await archived(process, ADA))
    assert ([group], []) == (await listed(process, BOB), await archived(process, BOB))
    await process.messages.send(BOB, group, "second")
    assert ([group], []) == (await listed(process, ADA), await archived(process, ADA))
    assert not (await process.conversations.get(ADA, group))["archived"]
    await process.settings.archive(ADA, group)
    assert not (await process.settings.unarchive(ADA, group))["archived"]
    assert ([group], []) == (await listed(process, ADA), await archived(process, ADA))


async def test_archiving_and_muting_do_not_change_each_other(process: ChatProcess) -> None:
    group = await process.group(ADA, BOB)
    await process.settings.archive(ADA, group)
    muted = await process.settings.mute(ADA, group, None)
    assert (iso(FOREVER), True) == (muted["muted_until"], muted["archived"])
    unmuted = await process.settings.unmute(ADA, group)
    assert (None, True) == (unmuted["muted_until"], unmuted["archived"])


async def test_archived_conversations_are_paged_the_latest_first(process: ChatProcess) -> None:
    groups = [await process.group(ADA, BOB) for _ in range(5)]
    for group in groups:
        await process.settings.archive(ADA, group)
    await process.messages.send(BOB, groups[3], "not archived any more")
    found, before = [], None
    while True:
        items, before = await process.conversations.archived_page(ADA, 2, before)
        found += [item["id"] for item in items]
        if before is None:
            break
    assert [groups[index] for index in (4, 2, 1, 0)] == found
    with pytest.raises(ValidationFailed):
        await process.conversations.archived_page(ADA, 2, "nonsense")


async def test_a_page_of_the_list_is_full_although_many_conversations_are_archived(process: ChatProcess) -> None:
    groups = [await process.group(ADA, BOB) for _ in range(9)]
    for group in groups[2:8]:
        await process.settings.archive(ADA, group)
    items, before = await process.conversations.page(ADA, 2, None)
    assert [groups[8], groups[1]] == [item["id"] for item in items]
    items, before = await process.conversations.page(ADA, 2, before)
    assert ([groups[0]], None) == ([item["id"] for item in items], before)


async def test_others_settings_and_conversations_are_not_there(process: ChatProcess) -> None:
    group = await process.group(ADA, BOB)
    for attempt in (process.settings.archive, process.settings.unarchive, process.settings.unmute):
        with pytest.raises(NotFound):
            await attempt(CAY, group)
    with pytest.raises(NotFound):
        await process.settings.mute(CAY, group, None)
    assert {} == await process.settings_store.of_conversation(ObjectId(group), [ObjectId(CAY)])


async def test_an_announcement_says_to_each_participant_what_they_have_set(process: ChatProcess) -> None:
    group = await process.group(ADA, BOB)
    await process.settings.mute(ADA, group, None)
    streams = {user: process.listen(user) for user in (ADA, BOB)}
    await process.groups.change(ADA, group, {"title": "Another"})
    muted = {user: received(stream, "conversation_updated")[-1]["data"] for user, stream in streams.items()}
    assert (iso(FOREVER), None) == (muted[ADA]["muted_until"], muted[BOB]["muted_until"])
    assert [False, False] == [muted[user]["archived"] for user in (ADA, BOB)]


async def test_an_announcement_of_a_large_group_says_nothing_of_settings(process: ChatProcess) -> None:
    group = await group_of(process, 120)
    await process.settings.mute(ADA, group, None)
    stream = process.listen(ADA)
    await process.groups.change(ADA, group, {"title": "Another"})
    [event] = received(stream, "conversation_updated")
    assert (None, None) == (event["data"]["muted_until"], event["data"]["archived"])


async def test_who_leaves_leaves_no_settings(process: ChatProcess) -> None:
    group = await process.group(ADA, BOB)
    await process.settings.mute(BOB, group, None)
    await process.groups.remove_participant(ADA, group, BOB)
    assert {} == await process.settings_store.of_conversation(ObjectId(group), [ObjectId(BOB)])


async def test_settings_at_the_same_time_are_all_kept(start_process: Callable[..., ChatProcess]) -> None:
    """The first ones of a user in a conversation insert a document."""
    one, other = start_process(), start_process()
    for _ in range(5):
        user, conversation = ObjectId(), ObjectId()
        await asyncio.gather(
            one.settings_store.set_muted(user, conversation, FOREVER),
            other.settings_store.set_archived(user, conversation, 7),
        )
        assert {conversation: (FOREVER, 7)} == await one.settings_store.of_user(user, [conversation])
        await one.settings_store.delete_all(user)
        assert {} == await one.settings_store.of_user(user, [conversation])


@SIZES
async def test_a_deleted_history_begins_after_the_newest_message_for_that_user(
    start_process: Callable[..., ChatProcess], others: int
) -> None:
    """On every path, on any process; the others see what they have seen."""
    one, other = start_process(), start_process()
    group = await group_of(one, others)
    sent = [(await one.messages.send(BOB, group, f"@ada {number}"))[0] for number in range(3)]
    await other.messages.send(BOB, group, "@ada the last")
    stream, others_stream = one.listen(ADA), one.listen(BOB)
    await one.settings.clear_history(ADA, group)
    [event] = received(stream, "history_cleared")
    last: int = event["data"]["seq"]
    for process in (one, other):
        shown = await process.conversations.get(ADA, group)
        assert (None, 0, 0) == (shown["last_message"], shown["unread_count"], shown["mention_count"])
        assert ([], None) == await process.messages.history(ADA, group, None, 50)
        assert [] == (await process.messages.changes(ADA, group, 0, 50)).items
        assert last == (await process.conversations.get(BOB, group))["last_message"]["seq"]
    [(_, read)] = await other.messages.catch_up(ADA, {group: 0})
    assert [] == (await read()).messages
    with pytest.raises(NotFound):
        await one.messages.react(ADA, group, sent[0]["id"], "👍", on=True)
    with pytest.raises(ValidationFailed):
        await one.messages.send(ADA, group, "what?", reply_to=sent[0]["id"])
    await one.messages.react(BOB, group, sent[0]["id"], "👍", on=True)
    assert [] == received(stream, "message_updated")
    assert 1 == len(received(stream, "rev_skipped"))
    elsewhere = other.listen(ADA)
    await other.messages.react(BOB, group, sent[0]["id"], "🎉", on=True)
    assert ["rev_skipped"] == [event["type"] for event in received(elsewhere)]
    assert 1 == len(received(others_stream, "message_updated"))
    new, _ = await other.messages.send(BOB, group, "new")
    assert [new] == (await other.messages.history(ADA, group, None, 50)).items
    assert [] == [event for event in received(others_stream) if event["type"] == "conversation_updated"]


async def test_deleting_the_history_twice_or_of_an_empty_conversation_changes_nothing(process: ChatProcess) -> None:
    conversation = await process.conversation(ADA, BOB)
    await process.settings.clear_history(ADA, conversation)
    await process.messages.send(BOB, conversation, "hello")
    await process.settings.clear_history(ADA, conversation)
    before = await process.conversation_store.find(ObjectId(conversation))
    await process.settings.clear_history(ADA, conversation)
    assert before == await process.conversation_store.find(ObjectId(conversation))
    with pytest.raises(NotFound):
        await process.settings.clear_history(CAY, conversation)


@pytest.mark.parametrize("others", [20, 120], ids=["small", "large"])
async def test_processes_agree_on_the_recipients_although_one_knows_that_a_history_was_deleted(
    start_process: Callable[..., ChatProcess], monkeypatch: pytest.MonkeyPatch, others: int
) -> None:
    """Otherwise every process would read each message of the other one from the database, and the participants anew."""
    one, other = start_process(), start_process()
    group = await group_of(one, others)
    published: list[int] = []

    def record(process: ChatProcess) -> None:
        publish = process.bus.publish

        def recorded(kind: str, head: dict[str, Any], *args: Any, **kwargs: Any) -> None:
            if "members" in head:
                published.append(head["members"])
            publish(kind, head, *args, **kwargs)

        monkeypatch.setattr(process.bus, "publish", recorded)

    record(one)
    record(other)
    await one.messages.send(BOB, group, "first")
    await other.messages.send(BOB, group, "second")
    await one.settings.clear_history(ADA, group)
    third, _ = await one.messages.send(BOB, group, "third")
    # A reply makes the process read what has changed; the other one has no reason to.
    await one.messages.send(BOB, group, "fourth", reply_to=third["id"])
    await other.messages.send(BOB, group, "fifth")
    assert (5, 1) == (len(published), len(set(published)))
    await one.groups.remove_participant(ADA, group, BOB)
    await other.messages.send(ADA, group, "sixth")
    assert published[0] < published[-1]
