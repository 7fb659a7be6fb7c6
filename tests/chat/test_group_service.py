"""Groups: who may do what, who becomes the owner, and the changes that reach the participants."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import ujson
from bson import ObjectId

from service.chat.members import Role
from service.common.errors import Forbidden, NotFound, ValidationFailed
from service.datastores.mongo import Mongo
from tests.chat.chat_process import ADA, BOB, CAY, DAN, ChatProcess, Writes, received
from tests.chat.test_membership_races import before
from tests.realtime.wire import queued

pytestmark = pytest.mark.usefixtures("group_writes")

ERIN, FAY = "e" * 24, "f" * 24

Change = Callable[[ChatProcess, str, str], Awaitable[object]]

CHANGES: dict[str, Change] = {
    "rename": lambda process, user, group: process.groups.change(user, group, {"title": "New"}),
    "add": lambda process, user, group: process.groups.add_participants(user, group, [ERIN]),
    "remove a member": lambda process, user, group: process.groups.remove_participant(user, group, FAY),
    "remove an admin": lambda process, user, group: process.groups.remove_participant(user, group, BOB),
    "remove the owner": lambda process, user, group: process.groups.remove_participant(user, group, ADA),
    "make an admin": lambda process, user, group: process.groups.set_role(user, group, DAN, "admin"),
    "make a member": lambda process, user, group: process.groups.set_role(user, group, BOB, "member"),
    "take over": lambda process, user, group: process.groups.set_role(user, group, user, "owner"),
}
ALLOWED = {
    (ADA, "rename"), (ADA, "add"), (ADA, "remove a member"), (ADA, "remove an admin"), (ADA, "make an admin"),
    (ADA, "make a member"), (ADA, "take over"), (ADA, "remove the owner"),
    (CAY, "rename"), (CAY, "add"), (CAY, "remove a member"),
}  # fmt: skip
"""Ada is the owner, Bob and Cay are admins, Dan and Fay are members. The last two of Ada: no change, and leaving."""
USERS = {"owner": ADA, "admin": CAY, "member": DAN, "stranger": ERIN}


async def a_group(process: ChatProcess) -> str:
    group = await process.group(ADA, BOB, CAY, DAN, FAY)
    for admin in (BOB, CAY):
        await process.groups.set_role(ADA, group, admin, "admin")
    return group


async def roles(process: ChatProcess, group: str) -> dict[str, Role]:
    document = await process.conversation_store.find(ObjectId(group))
    assert document
    items, _ = await process.conversations.participants(str(document["participants"][0]), group, 100, None)
    return {item["user"]["id"]: item["role"] for item in items}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("role", USERS)
async def test_roles_determine_which_changes_are_allowed(process: ChatProcess, role: str, change: str) -> None:
    """What is not allowed changes nothing: Forbidden for participants, NotFound for everybody else."""
    group, user = await a_group(process), USERS[role]
    await process.messages.flush_counters()
    stored = await process.conversation_store.find(ObjectId(group))
    if (user, change) in ALLOWED:
        await CHANGES[change](process, user, group)
    else:
        with pytest.raises(NotFound if role == "stranger" else Forbidden):
            await CHANGES[change](process, user, group)
        assert await process.conversation_store.find(ObjectId(group)) == stored


async def test_everyone_may_leave(process: ChatProcess) -> None:
    """With any role, and as the last participant."""
    group = await a_group(process)
    for user in (CAY, DAN, ADA, BOB, FAY):
        await process.groups.remove_participant(user, group, user)
        with pytest.raises(NotFound):
            await process.conversations.get(user, group)


@pytest.mark.parametrize("change", ["rename", "add", "remove a member"])
async def test_role_is_checked_by_the_write(
    start_process: Callable[..., ChatProcess], group_writes: Writes, change: str
) -> None:
    """An admin who becomes a member, by another process, at the moment of the write."""
    here, there = start_process(), start_process()
    group = await a_group(here)

    async def demote() -> None:
        await there.groups.set_role(ADA, group, CAY, "member")

    before(group_writes(here), "_update", demote)
    with pytest.raises(Forbidden):
        await CHANGES[change](here, CAY, group)
    document = await here.conversations.get(ADA, group)
    assert (document["title"], document["participant_ids"]) == ("A group", [ADA, BOB, CAY, DAN, FAY])


async def test_owner_hands_over(process: ChatProcess) -> None:
    """The former owner becomes an admin; a repeated request is answered like the first one."""
    group = await a_group(process)
    listener = process.listen(DAN)
    for _ in range(2):
        answer = await process.groups.set_role(ADA, group, DAN, "owner")
        assert (answer["owner_id"], answer["role"]) == (DAN, "admin")
    assert await roles(process, group) == {ADA: "admin", BOB: "admin", CAY: "admin", DAN: "owner", FAY: "member"}
    data = received(listener, "conversation_updated")[0]["data"]
    assert (data["owner_id"], data["role"]) == (DAN, "owner")


async def test_owner_keeps_the_role_until_they_hand_over(process: ChatProcess) -> None:
    """Otherwise the group would have no owner; and only participants get a role."""
    group = await a_group(process)
    with pytest.raises(Forbidden):
        await process.groups.set_role(ADA, group, ADA, "member")
    with pytest.raises(NotFound):
        await process.groups.set_role(ADA, group, ERIN, "owner")
    assert (await roles(process, group))[ADA] == "owner"


async def test_longest_standing_admin_else_member_succeeds_the_owner(process: ChatProcess) -> None:
    """In the order of joining, not of becoming an admin."""
    group = await process.group(ADA, BOB, CAY, DAN)
    for admin in (DAN, CAY):
        await process.groups.set_role(ADA, group, admin, "admin")
    owners = []
    for user in (ADA, CAY, DAN):
        await process.groups.remove_participant(user, group, user)
        owners += [user for user, role in (await roles(process, group)).items() if role == "owner"]
    assert owners == [CAY, DAN, BOB]


async def test_owner_leaves_while_the_successor_does(
    start_process: Callable[..., ChatProcess], group_writes: Writes
) -> None:
    """The ownership moves in the write that removes the owner, to somebody who is still there."""
    here, there = start_process(), start_process()
    group = await a_group(here)

    async def leave() -> None:
        await there.groups.remove_participant(BOB, group, BOB)

    before(group_writes(here), "_update", leave)
    await here.groups.remove_participant(ADA, group, ADA)
    assert await roles(here, group) == {CAY: "owner", DAN: "member", FAY: "member"}


async def test_everyone_leaves_at_once(start_process: Callable[..., ChatProcess]) -> None:
    """From several processes: all of them are out, and while somebody is left, the group has an owner."""
    processes = [start_process() for _ in range(4)]
    group = await a_group(processes[0])
    await asyncio.gather(
        *(
            process.groups.remove_participant(user, group, user)
            for process, user in zip(processes, (ADA, BOB, CAY), strict=False)
        )
    )
    assert await roles(processes[3], group) == {DAN: "owner", FAY: "member"}


async def test_role_ends_with_the_membership(process: ChatProcess) -> None:
    """An admin who is removed has no role left, nor the time of joining."""
    group = await a_group(process)
    await process.groups.add_participants(ADA, group, [ERIN])
    await process.groups.set_role(ADA, group, ERIN, "admin")
    await process.groups.remove_participant(ADA, group, ERIN)
    document = await process.conversation_store.find(ObjectId(group))
    assert document
    assert ObjectId(ERIN) not in document["admins"]
    assert document.get("joined", []) == []


@pytest.mark.parametrize("group_writes", ["listed"], indirect=True)
async def test_groups_of_earlier_versions_have_an_owner(process: ChatProcess, mongo: Mongo) -> None:
    """The creator; if they had left and the process ended before their successor was stored, the latter."""
    group = await process.group(ADA, BOB, CAY)
    collection = mongo.database["conversations"]
    assert await roles(process, group) == {ADA: "owner", BOB: "member", CAY: "member"}
    await collection.update_one({"_id": ObjectId(group)}, {"$pull": {"participants": ObjectId(ADA)}})
    assert await roles(process, group) == {BOB: "owner", CAY: "member"}
    with pytest.raises(Forbidden):
        await process.groups.remove_participant(CAY, group, BOB)
    await process.groups.change(BOB, group, {"title": "Ours"})
    await process.groups.remove_participant(BOB, group, CAY)
    assert (await process.conversations.get(BOB, group))["participant_ids"] == [BOB]


async def test_participants_are_paged_in_the_order_of_joining(process: ChatProcess) -> None:
    """Pages neither overlap nor leave anybody out, even if the last one of a page leaves before the next is read."""
    people = [f"{number:024x}" for number in range(1, 8)]
    group = await process.group(*people)
    await process.groups.add_participants(people[0], group, [ADA])
    first, cursor = await process.conversations.participants(ADA, group, 3, None)
    assert [item["user"]["id"] for item in first] == people[:3]
    await process.groups.remove_participant(people[2], group, people[2])
    second, cursor = await process.conversations.participants(ADA, group, 3, cursor)
    assert [item["user"]["id"] for item in second] == people[3:6]
    third, end = await process.conversations.participants(ADA, group, 3, cursor)
    assert ([item["user"]["id"] for item in third], end) == ([people[6], ADA], None)
    created = (await process.conversations.get(ADA, group))["created_at"]
    assert third[0]["joined_at"] == created < third[1]["joined_at"]
    with pytest.raises(ValidationFailed):
        await process.conversations.participants(ADA, group, 3, "no cursor")


async def test_change_of_a_large_group_is_a_small_event(process: ChatProcess) -> None:
    """A rename of a group of 1,501 is sent to each of them: 4 KB at most, with the exact number of participants."""
    people = [f"{number:024x}" for number in range(1, 1502)]
    group = await process.group(*people)
    listener = process.listen(people[-1])
    await process.groups.change(people[0], group, {"title": "A new title"})
    message, event = queued(listener)
    assert len(message.json) < 1024
    assert len(event.json) < 4096
    data = ujson.loads(event.json)["data"]
    unknown = {"archived": None, "mention_count": None}
    assert data == {**await process.conversations.get(people[-1], group), **unknown}
    assert shape(data) == ("A new title", 1501, people[:100], people[:5], None)


def shape(data: dict[str, Any]) -> tuple[object, ...]:
    profiles = [profile["id"] for profile in data["participants"]]
    return data["title"], data["participant_count"], data["participant_ids"], profiles, data["read_marks"]


@pytest.mark.parametrize("group_writes", ["listed"], indirect=True)
@pytest.mark.parametrize("kind", ["removed", "left"])
async def test_document_of_a_group_does_not_grow_with_those_who_have_left(
    process: ChatProcess, mongo: Mongo, kind: str
) -> None:
    """When users joined who were added together is forgotten with each of them, and not when the others did."""
    group = await process.group(ADA, BOB)
    for people in ([CAY, DAN], [ERIN, FAY]):
        await process.groups.add_participants(ADA, group, people)
    for member in (CAY, DAN, ERIN):
        await process.groups.remove_participant(ADA if kind == "removed" else member, group, member)
    await process.groups.remove_participant(ADA, group, BOB)
    document = await mongo.database["conversations"].find_one({"_id": ObjectId(group)})
    assert document
    assert [entry["users"] for entry in document["joined"]] == [[ObjectId(FAY)]]
