"""Large groups: their participants in documents of their own, and changes of them that are interrupted."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from bson import ObjectId

from service.chat.large_groups import CHANGE, FIRST, MAX_FIRST
from service.chat.models import MAX_PARTICIPANTS
from service.common.errors import NotFound
from service.datastores.mongo import Document, Mongo
from service.realtime.dispatcher import MAX_ADDRESSED
from tests.chat.chat_process import ADA, BOB, CAY, DAN, ChatProcess, received, wait_for_events
from tests.chat.test_conversation_announcer import make_old
from tests.conftest import Datastores
from tests.recorded_commands import recording

Start = Callable[..., ChatProcess]

ERIN = "e" * 24


@pytest.fixture(autouse=True)
def _groups_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """From three participants on."""
    monkeypatch.setattr("service.chat.large_groups.MAX_EMBEDDED", 2)
    monkeypatch.setattr("service.chat.members.MAX_READ_MARKS", 1)


async def stored(process: ChatProcess, group: str) -> Document:
    """Return the group's document as it is in the database."""
    found: Document | None = await process.conversation_store._collection.find_one({"_id": ObjectId(group)})
    assert found
    return found


async def members(process: ChatProcess, user: str, group: str) -> list[str]:
    items, _ = await process.conversations.participants(user, group, 100, None)
    return [item["user"]["id"] for item in items]


CHANGES: dict[str, Callable[[ChatProcess, str], Awaitable[object]]] = {
    "add": lambda process, group: process.groups.add_participants(ADA, group, [DAN, ERIN]),
    "remove": lambda process, group: process.groups.remove_participant(ADA, group, CAY),
    "leave": lambda process, group: process.groups.remove_participant(ADA, group, ADA),
}
AFTER = {
    "add": ([ADA, BOB, CAY, DAN, ERIN], ADA),
    "remove": ([ADA, BOB], ADA),
    "leave": ([BOB, CAY], BOB),
}
"""The participants after each change, and the owner."""


def kill_at(process: ChatProcess, step: str) -> None:
    """Make the process end at a step of the next change of a large group: before the memberships are written, or before
    the record of the change is removed."""
    large, memberships = process.conversation_store.groups.large, process.conversation_store._memberships
    page = memberships.page

    async def end(*args: object) -> None:
        raise asyncio.CancelledError

    async def end_at_the_first_participants(*args: Any) -> list[Document]:
        if args[-1] == MAX_FIRST:
            raise asyncio.CancelledError
        return await page(*args)

    if step == "memberships":
        large._apply = end  # type: ignore[method-assign]
    else:
        memberships.page = end_at_the_first_participants  # type: ignore[method-assign]


@pytest.mark.parametrize("step", ["memberships", "record"])
@pytest.mark.parametrize("change", CHANGES)
async def test_interrupted_change_is_completed_by_the_next_reader(start_process: Start, change: str, step: str) -> None:
    """Of another process. None sees the half of it: the number, the first participants, the list and the recipients
    agree."""
    here, there = start_process(), start_process()
    group = await here.group(ADA, BOB, CAY)
    people, owner = AFTER[change]
    kill_at(here, step)
    with pytest.raises(asyncio.CancelledError):
        await CHANGES[change](here, group)
    assert CHANGE in await stored(there, group)
    shown = await there.conversations.get(BOB, group)
    assert (shown["participant_count"], shown["participant_ids"], shown["owner_id"]) == (len(people), people, owner)
    assert people == await members(there, BOB, group)
    heads = await there.conversation_store.heads([ObjectId(group)])
    assert people == heads[ObjectId(group)].participants
    assert CHANGE not in await stored(there, group)


@pytest.mark.parametrize("change", CHANGES)
async def test_interrupted_change_that_nobody_reads_is_completed_and_announced(
    start_process: Start, change: str
) -> None:
    here, there = start_process(), start_process()
    group = await here.group(ADA, BOB, CAY)
    kill_at(here, "memberships")
    with pytest.raises(asyncio.CancelledError):
        await CHANGES[change](here, group)
    people, _ = AFTER[change]
    listeners = {user: there.listen(user) for user in (ADA, BOB, CAY, DAN, ERIN)}
    await make_old(there)
    await there.conversations.start()
    for user in people:
        [event, *_] = await wait_for_events(listeners[user], "conversation_updated")
        assert event["data"]["participant_count"] == len(people)
    for user in {ADA, BOB, CAY} - set(people):
        await wait_for_events(listeners[user], "conversation_removed")


async def test_interrupted_creation_is_completed(start_process: Start) -> None:
    here, there = start_process(), start_process()
    kill_at(here, "memberships")
    with pytest.raises(asyncio.CancelledError):
        await here.group(ADA, BOB, CAY)
    listener = there.listen(CAY)
    await make_old(there)
    await there.conversations.start()
    [event] = await wait_for_events(listener, "conversation_updated")
    [listed], _ = await there.conversations.page(CAY, 10, None)
    assert event["data"]["participant_ids"] == listed["participant_ids"] == [ADA, BOB, CAY]


async def test_interrupted_growth_is_completed(start_process: Start) -> None:
    """The group was to become a large one: read marks, beginnings and roles are kept."""
    here, there = start_process(), start_process()
    group = await here.group(ADA, BOB)
    for number in range(3):
        await here.messages.send(ADA, group, f"m{number}")
    await here.conversations.mark_read(BOB, group, 2)
    await here.groups.set_role(ADA, group, BOB, "admin")
    await here.messages.flush_counters()
    before = await there.conversations.get(BOB, group)
    kill_at(here, "memberships")
    with pytest.raises(asyncio.CancelledError):
        await here.groups.add_participants(ADA, group, [CAY])
    # A process that has read the group just before still writes a read mark.
    await there.conversation_store.mark_read(ObjectId(group), ObjectId(ADA), 3)
    assert before | {"read_marks": {ADA: 3}} == await there.conversations.get(BOB, group)
    assert {"reads", "starts", "joined", "former"}.isdisjoint(await stored(there, group))
    await there.groups.add_participants(ADA, group, [CAY])
    assert await members(there, CAY, group) == [ADA, BOB, CAY]


async def test_late_helper_does_not_undo_a_newer_change(start_process: Start) -> None:
    """A process has read a recorded change, and writes the memberships when the change after it is complete."""
    here, there = start_process(), start_process()
    group = await here.group(ADA, BOB, CAY)
    kill_at(here, "memberships")
    with pytest.raises(asyncio.CancelledError):
        await here.groups.add_participants(ADA, group, [DAN])
    recorded = await stored(there, group)
    await there.groups.remove_participant(ADA, group, DAN)
    newer = await there.groups.add_participants(ADA, group, [ERIN])
    await there.conversation_store.groups.large._apply(recorded)
    assert newer["participant_ids"] == [ADA, BOB, CAY, ERIN] == await members(there, ADA, group)
    with pytest.raises(NotFound):
        await there.conversations.get(DAN, group)


async def test_two_processes_complete_a_change_at_once(start_process: Start) -> None:
    here, *others = (start_process() for _ in range(4))
    group = await here.group(ADA, BOB, CAY)
    kill_at(here, "memberships")
    with pytest.raises(asyncio.CancelledError):
        await here.groups.add_participants(ADA, group, [DAN])
    shown = await asyncio.gather(*(process.conversations.get(DAN, group) for process in others for _ in range(5)))
    assert [ADA, BOB, CAY, DAN] == shown[0]["participant_ids"]
    assert all(each == shown[0] for each in shown)
    assert await members(here, DAN, group) == [ADA, BOB, CAY, DAN]


async def test_document_of_a_large_group_does_not_list_its_participants(process: ChatProcess) -> None:
    """But for the first ones, in whose place the next ones move."""
    people = [f"{number:024x}" for number in range(1, 151)]
    group = await process.group(*people)
    first = [ObjectId(user) for user in people[:101]]
    document = await stored(process, group)
    assert (document["participants"], document[FIRST], document["participant_count"]) == ([], first[:100], 150)
    await process.groups.remove_participant(people[0], group, people[5])
    document = await stored(process, group)
    assert (document[FIRST], document["participant_count"]) == (first[:5] + first[6:], 149)


async def test_list_mixes_large_groups_with_others_by_activity(process: ChatProcess) -> None:
    """In pages of any size; also what `hello` says."""
    large = [await process.group(ADA, BOB, CAY) for _ in range(3)]
    small = [await process.group(ADA, user) for user in (BOB, CAY, DAN)]
    order = [large[1], small[2], large[0], small[0], small[1], large[2]]
    for conversation in reversed(order):
        await process.messages.send(ADA, conversation, "one")
    await process.messages.flush_counters()
    for limit in (1, 2, 4, 6, 10):
        found, cursor = [], None
        while True:
            items, cursor = await process.conversations.page(ADA, limit, cursor)
            found += [item["id"] for item in items]
            if cursor is None:
                break
        assert found == order
    heads = [await process.conversations.heads_for_hello(user) for user in (ADA, CAY)]
    assert [[head["conversation_id"] for head in each] for each in heads] == [
        order,
        [large[1], large[0], small[1], large[2]],
    ]


async def test_message_is_recorded_once_for_all_participants(datastores: Datastores) -> None:
    """A message to a large group takes the commands of any message and one for the read mark of its sender; a change of
    the participants costs a read of those who have changed."""
    async with recording(datastores) as (mongo, commands):
        process, other = ChatProcess(mongo.database), ChatProcess(mongo.database)
        await process.create_indexes()
        group = await process.group(ADA, BOB, CAY)
        await process.messages.send(ADA, group, "one")
        await process.messages.flush_counters()
        commands.recorded.clear()
        await process.messages.send(ADA, group, "two")
        await process.messages.flush_counters()
        assert commands.recorded == [
            "insert messages",
            "update memberships",
            "update conversations",
        ]
        await other.groups.add_participants(ADA, group, [DAN])
        read: list[int] = []
        changed = process.conversation_store._memberships.changed

        async def counted(*args: Any) -> list[Document]:
            read.append(len(found := await changed(*args)))
            return found

        process.conversation_store._memberships.changed = counted  # type: ignore[method-assign]
        listener = process.listen(DAN)
        await process.messages.send(ADA, group, "three")
        assert read == [1]
        assert [event["data"]["content"] for event in received(listener, "new_message")] == ["three"]
        for each in (process, other):
            await each.close()


async def test_large_groups_are_rooms(process: ChatProcess) -> None:
    """A process hears the events of those rooms that its users are in."""
    people = [f"{number:024x}" for number in range(1, MAX_ADDRESSED + 1)]
    room, _ = await process.group(ADA, *people), await process.group(ADA, BOB, CAY)
    await process.messages.send(ADA, room, "one")
    await process.messages.flush_counters()
    found = await process.conversation_store.lists.larger_than(MAX_ADDRESSED, [ObjectId(user) for user in (ADA, DAN)])
    assert found == {ObjectId(ADA): {ObjectId(room): 1}, ObjectId(DAN): {}}


async def test_large_groups_are_shared(process: ChatProcess) -> None:
    """Who shares only a large group with somebody sees their presence."""
    await process.group(ADA, BOB, CAY)
    await process.group(DAN, ERIN, BOB)
    assert await process.conversation_store.lists.sharing(ADA, [BOB, CAY, DAN, ERIN]) == {BOB, CAY}


async def test_who_is_deleted_leaves_nothing_in_large_groups(process: ChatProcess, mongo: Mongo) -> None:
    group = await process.group(ADA, BOB, CAY)
    await process.groups.remove_participant(CAY, group, CAY)
    assert await process.conversation_store.lists.groups_of(ObjectId(CAY), 10) == []
    assert await mongo.database["memberships"].count_documents({"user_id": ObjectId(CAY)}) == 1
    await process.conversation_store.groups.forget(ObjectId(CAY))
    assert await mongo.database["memberships"].count_documents({"user_id": ObjectId(CAY)}) == 0


async def test_former_participant_gets_no_late_read_mark(start_process: Start, mongo: Mongo) -> None:
    """Of a message that was sent before, whether or not the process knows that the group is large."""
    for knows in (True, False):
        here, there = start_process(), start_process()
        group = await here.group(ADA, BOB, CAY)
        await here.messages.send(CAY, group, "one")
        await here.messages.send(BOB, group, "two")
        if not knows:
            here.conversation_store._large_heads._heads.clear()
        await there.groups.remove_participant(CAY, group, CAY)
        await here.messages.flush_counters()
        found = await mongo.database["memberships"].find({"conversation_id": ObjectId(group)}).to_list(None)
        assert {str(each["user_id"]): each.get("read") for each in found} == {ADA: None, BOB: 2, CAY: None}
        assert (await stored(here, group))["last"]["seq"] == 3


@pytest.mark.scenario
async def test_ten_thousand_participants(process: ChatProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """Added by several requests; one more is refused, and messages reach all of them."""
    monkeypatch.undo()
    people = [f"{number:024x}" for number in range(1, MAX_PARTICIPANTS + 1)]
    group = await process.group(*people[:2000])
    for first in range(2000, MAX_PARTICIPANTS, 2000):
        shown = await process.groups.add_participants(people[0], group, people[first : first + 2000])
    assert shown["participant_count"] == MAX_PARTICIPANTS == 10_000
    listener = process.listen(people[-1])
    await process.messages.send(people[0], group, "to all")
    assert [event["data"]["content"] for event in received(listener, "new_message")] == ["to all"]
    assert len((await process.conversation_store.heads([ObjectId(group)]))[ObjectId(group)].participants) == 10_000


async def test_participants_of_a_version_are_those_of_no_other(start_process: Start) -> None:
    """Others join and leave while they are read."""
    here, there = start_process(), start_process()
    group = await here.group(ADA, BOB, CAY)
    for first in (True, False):
        added, removed = (DAN, BOB) if first else (ERIN, CAY)
        method = "all" if first else "changed"
        memberships = here.conversation_store._memberships
        read = getattr(memberships, method)

        async def changed_first(*args: Any) -> Any:
            setattr(memberships, method, read)  # noqa: B023
            await there.groups.add_participants(ADA, group, [added])  # noqa: B023
            await there.groups.remove_participant(ADA, group, removed)  # noqa: B023
            return await read(*args)  # noqa: B023

        if not first:
            await there.groups.change(ADA, group, {"title": "Another"})
        setattr(memberships, method, changed_first)
        head = (await here.conversation_store.heads([ObjectId(group)]))[ObjectId(group)]
        assert head.version == (await stored(there, group))["version"]
        assert head.participants == await members(there, ADA, group)
