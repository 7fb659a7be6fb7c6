"""Conversations: participants, titles, read marks, hello."""

import asyncio
from collections.abc import Callable

import pytest
from bson import ObjectId

from service.chat import events
from service.common.errors import Forbidden, NotFound, ValidationFailed
from service.realtime.dispatcher import MAX_ADDRESSED
from tests.chat.chat_process import ADA, BOB, CAY, DAN, ChatProcess, received
from tests.conftest import Datastores
from tests.recorded_commands import recording

NOBODY = "0" * 24


async def test_two_users_have_one_direct_conversation(start_process: Callable[..., ChatProcess]) -> None:
    """Even if both create it concurrently in two processes."""
    one, two = start_process(), start_process()
    made = await asyncio.gather(
        *[process.conversations.create(*pair, None) for process in (one, two) for pair in ((ADA, [BOB]), (BOB, [ADA]))]
    )
    assert len({conversation["id"] for conversation, _ in made}) == 1
    assert sum(new for _, new in made) == 1
    # With a title it is a group of two, of which there can be many.
    group, new = await one.conversations.create(ADA, [BOB], "Us")
    assert (group["kind"], new) == ("group", True)
    assert group["id"] != made[0][0]["id"]


@pytest.mark.parametrize("others", [[ADA], [NOBODY], [BOB, NOBODY]])
async def test_conversation_needs_other_existing_users(process: ChatProcess, others: list[str]) -> None:
    """Otherwise nothing is created."""
    with pytest.raises(ValidationFailed):
        await process.conversations.create(ADA, others, None)
    assert await process.conversations.page(ADA, 10, None) == ([], None)


async def test_conversation_is_visible_to_participants_only(process: ChatProcess) -> None:
    """All calls of others raise NotFound."""
    conversation = await process.conversation(ADA, BOB, CAY)
    assert (await process.conversations.get(CAY, conversation))["participant_ids"] == [ADA, BOB, CAY]
    for call in (
        process.conversations.get(DAN, conversation),
        process.groups.change(DAN, conversation, {"title": "x"}),
        process.groups.add_participants(DAN, conversation, [DAN]),
        process.groups.remove_participant(DAN, conversation, ADA),
        process.conversations.mark_read(DAN, conversation, 1),
        process.conversations.publish_typing(DAN, conversation),
    ):
        with pytest.raises(NotFound):
            await call


async def test_changes_of_a_group_are_published_to_its_participants(process: ChatProcess) -> None:
    """Title, added and removed participants; a removed one gets `conversation_removed` and nothing afterwards."""
    listeners = {user: process.listen(user) for user in (ADA, BOB, CAY)}
    group = await process.group(ADA, BOB)
    await process.groups.change(ADA, group, {"title": "Better"})
    await process.groups.add_participants(ADA, group, [CAY, BOB])
    assert received(listeners[CAY], "conversation_updated")[0]["data"]["participant_ids"] == [ADA, BOB, CAY]
    await process.groups.remove_participant(ADA, group, CAY)
    assert received(listeners[CAY])[-1] == {"type": "conversation_removed", "conversation_id": group}
    before = len(received(listeners[CAY]))
    await process.messages.send(ADA, group, "among us")
    assert len(received(listeners[CAY])) == before
    for user in (ADA, BOB):
        events = received(listeners[user], "conversation_updated")
        assert [event["data"]["title"] for event in events] == ["A group", "Better", "Better", "Better"]
        assert events[-1]["data"]["participant_ids"] == [ADA, BOB]
    with pytest.raises(NotFound):
        await process.messages.send(CAY, group, "let me in")


async def test_direct_conversation_cannot_be_changed(process: ChatProcess) -> None:
    """No title, no third participant, no leaving."""
    direct = await process.conversation(ADA, BOB)
    for call in (
        process.groups.change(ADA, direct, {"title": "x"}),
        process.groups.add_participants(ADA, direct, [CAY]),
        process.groups.remove_participant(ADA, direct, BOB),
        process.groups.remove_participant(ADA, direct, ADA),
    ):
        with pytest.raises(Forbidden):
            await call
    assert (await process.conversations.get(ADA, direct))["participant_ids"] == [ADA, BOB]


async def test_group_size_is_bounded_under_concurrent_additions(
    start_process: Callable[..., ChatProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three concurrent additions to a group with room for one."""
    most = 120
    monkeypatch.setattr("service.chat.large_group_changes.MAX_PARTICIPANTS", most)
    processes = [start_process() for _ in range(3)]
    people = [f"{n:024x}" for n in range(1, most)]
    group = await processes[0].group(*people)
    extra = [f"{n:024x}" for n in range(90_000, 90_003)]
    outcomes = await asyncio.gather(
        *[
            process.groups.add_participants(people[0], group, [who])
            for process, who in zip(processes, extra, strict=True)
        ],
        return_exceptions=True,
    )
    assert (await processes[0].conversations.get(people[0], group))["participant_count"] == most
    assert sum(isinstance(outcome, ValidationFailed | Forbidden) for outcome in outcomes) == 2


async def test_conversations_are_listed_by_last_activity(process: ChatProcess) -> None:
    """Pages do not overlap; a message moves its conversation to the front."""
    ids = [await process.group(ADA, BOB) for _ in range(7)]
    await process.messages.send(BOB, ids[2], "to the front")
    found, before = [], None
    while True:
        items, before = await process.conversations.page(ADA, 3, before)
        found += [item["id"] for item in items]
        if before is None:
            break
    assert found == [ids[2], *reversed([other for other in ids if other != ids[2]])]
    first = (await process.conversations.page(ADA, 1, None))[0][0]
    assert first["last_message"]["content"] == "to the front"
    with pytest.raises(ValidationFailed):
        await process.conversations.page(ADA, 3, "$gt")


async def test_read_mark_is_not_delivered_after_a_later_one(
    process: ChatProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two devices mark as read concurrently, and the reply to the lower mark is the slower one."""
    group = await process.group(ADA, BOB)
    for number in range(2):
        await process.messages.send(ADA, group, f"Message {number}")
    listener = process.listen(ADA)
    store, stored, published = process.conversation_store.mark_read, asyncio.Event(), asyncio.Event()

    async def answer_late(conversation_id: ObjectId, user_id: ObjectId, seq: int) -> bool:
        moved = await store(conversation_id, user_id, seq)
        if seq == 1:
            stored.set()
            await published.wait()
        return moved

    monkeypatch.setattr(process.conversation_store, "mark_read", answer_late)
    slower = asyncio.create_task(process.conversations.mark_read(BOB, group, 1))
    await stored.wait()
    await process.conversations.mark_read(BOB, group, 2)
    published.set()
    await slower
    assert [{"user_id": BOB, "seq": 2}] == [event["data"] for event in received(listener, "read")]


async def test_unread_count_is_the_number_of_messages_since_the_read_mark(process: ChatProcess) -> None:
    """The mark only moves forward, to the last message; senders have read; new participants have nothing unread."""
    group = await process.group(ADA, BOB)
    for n in range(4):
        await process.messages.send(ADA, group, f"m{n}")

    async def unread(user: str) -> int:
        return int((await process.conversations.get(user, group))["unread_count"])

    assert (await unread(ADA), await unread(BOB)) == (0, 4)
    listener = process.listen(ADA)
    state = await process.conversations.mark_read(BOB, group, 3)
    assert state == {"conversation_id": group, "last_read_seq": 3, "unread_count": 1}
    assert (await process.conversations.mark_read(BOB, group, 1))["last_read_seq"] == 3
    assert (await process.conversations.mark_read(BOB, group, 99))["last_read_seq"] == 4
    read = [event["data"] for event in received(listener, "read")]
    # In the queue of a slow connection, a later read mark replaces an earlier one.
    assert read == [{"user_id": BOB, "seq": 4}]
    await process.messages.send(BOB, group, "mine")
    assert (await unread(ADA), await unread(BOB)) == (1, 0)
    await process.groups.add_participants(ADA, group, [CAY])
    assert await unread(CAY) == 0


async def test_typing_is_published_to_the_other_participants(process: ChatProcess) -> None:
    """And not to the typing user."""
    group = await process.group(ADA, BOB)
    mine, other = process.listen(ADA), process.listen(BOB)
    await process.conversations.publish_typing(ADA, group)
    [event] = received(other, "typing")
    assert event == {"type": "typing", "conversation_id": group, "data": {"user_id": ADA, "expires_in": 5}}
    await process.conversations.publish_typing(ADA, group, active=False)
    [event] = received(other, "typing")
    assert event == {"type": "typing", "conversation_id": group, "data": {"user_id": ADA, "expires_in": 0}}
    assert received(mine) == []


@pytest.mark.parametrize("many", [2000, 2])
async def test_batched_hellos_equal_single_ones(
    process: ChatProcess, monkeypatch: pytest.MonkeyPatch, many: int
) -> None:
    """With one shared read, and with a read for each user: by last activity, with each user's own read mark."""
    monkeypatch.setattr("service.chat.conversation_lists.MAX_SHARED_READ", many)
    monkeypatch.setattr("service.chat.conversation_service.HELLO_LIMIT", 2)
    group = await process.group(ADA, BOB, CAY)
    for other in (BOB, CAY, DAN):
        conversation = await process.conversation(ADA, other)
        await process.messages.send(ADA, conversation, "hi")
    await process.messages.send(BOB, group, "all")
    await process.messages.flush_counters()
    together = await asyncio.gather(*[process.conversations.heads_for_hello(user) for user in (ADA, BOB, CAY, DAN)])
    alone = [await process.conversations.heads_for_hello(user) for user in (ADA, BOB, CAY, DAN)]
    assert together == alone
    assert [len(heads) for heads in alone] == [2, 2, 2, 1]
    assert [heads[0]["conversation_id"] == group for heads in alone] == [True, True, True, False]
    assert [heads[0]["last_read_seq"] for heads in alone] == [0, 1, 0, 0]


async def test_hellos_of_users_who_connect_together_share_their_reads(datastores: Datastores) -> None:
    """What is read also tells which conversations are rooms."""
    async with recording(datastores) as (mongo, commands):
        process = ChatProcess(mongo.database)
        await process.create_indexes()
        room = await process.group(ADA, BOB, *(f"{number:024x}" for number in range(1, MAX_ADDRESSED)))
        await process.group(BOB, CAY)
        commands.recorded.clear()
        await asyncio.gather(*[process.conversations.heads_for_hello(user) for user in (ADA, BOB, CAY)])
        assert ["find conversations", "find memberships"] == commands.recorded
        assert {ADA, BOB} == set(process.dispatcher._rooms.users(events.TOPIC + room))
        await process.close()


async def test_hello_returns_conversation_heads(process: ChatProcess) -> None:
    """Events are delivered in order from there."""
    group = await process.group(ADA, BOB)
    message = (await process.messages.send(ADA, group, "one"))[0]["id"]
    await process.messages.edit(ADA, group, message, "two")
    assert await process.conversations.heads_for_hello(BOB) == [
        {"conversation_id": group, "last_seq": 1, "last_rev": 2, "last_read_seq": 0}
    ]


async def test_a_direct_conversation_is_listed_for_the_other_once_it_has_a_message(process: ChatProcess) -> None:
    """Whoever opens one sees it at once, on every device; the other one is not bothered with an empty one."""
    mine, other = process.listen(ADA), process.listen(BOB)
    direct = await process.conversation(ADA, BOB)
    group = await process.group(ADA, BOB)

    async def listed(user: str) -> list[str]:
        items, _ = await process.conversations.page(user, 10, None)
        return sorted(item["id"] for item in items)

    assert [sorted([direct, group]), [group]] == [await listed(ADA), await listed(BOB)]
    announced = [[event["conversation_id"] for event in received(who, "conversation_updated")] for who in (mine, other)]
    assert [[direct, group], [group]] == announced
    # It is the conversation of both all the same.
    assert direct == (await process.conversations.get(BOB, direct))["id"] == await process.conversation(BOB, ADA)
    await process.messages.send(ADA, direct, "hi")
    assert [sorted([direct, group])] * 2 == [await listed(ADA), await listed(BOB)]


async def test_empty_conversations_that_others_started_take_no_place_in_the_list(process: ChatProcess) -> None:
    """Pages are full, and the last one has no cursor, however many are left out between."""
    groups = []
    for number in range(6):
        groups.append(await process.group(ADA, BOB))
        for other in range(4):
            await process.conversation(f"{number}{other}" * 12, BOB)
    seen: list[str] = []
    cursor, pages = None, 0
    while True:
        items, cursor = await process.conversations.page(BOB, 2, cursor)
        assert 2 == len(items)
        seen += [item["id"] for item in items]
        pages += 1
        if cursor is None or pages == 3:
            break
    assert groups[::-1] == seen


async def test_the_cursor_is_where_the_list_was_read(
    process: ChatProcess, start_process: Callable[..., ChatProcess]
) -> None:
    """Not where a conversation stands that another process has just written to: the next page would repeat others."""
    groups = [await process.group(ADA, BOB) for _ in range(6)]
    # Stored, and not counted yet.
    monkey = process.conversation_store.apply_counters
    process.conversation_store.apply_counters = lambda updates: asyncio.sleep(0)  # type: ignore[method-assign]
    await process.messages.send(ADA, groups[3], "new")
    first, cursor = await process.conversations.page(BOB, 3, None)
    second, _ = await process.conversations.page(BOB, 3, cursor)
    process.conversation_store.apply_counters = monkey  # type: ignore[method-assign]
    assert groups[::-1] == [item["id"] for item in first + second]
