"""Invitations: who may invite, whom an invitation admits, and when it ends."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

import pytest
from bson import ObjectId

from service.chat import invitation_store
from service.chat.conversation_announcer import RECOVERY_AGE
from service.common.errors import Forbidden, NotFound, Unavailable
from service.datastores.mongo import Mongo
from tests.chat.chat_process import ADA, BOB, CAY, DAN, ChatProcess, Writes, received, wait_for_events
from tests.chat.test_membership_races import before

pytestmark = pytest.mark.usefixtures("group_writes")

ERIN = "e" * 24


async def a_group(process: ChatProcess) -> str:
    """Create a group of Ada, its owner, Bob, an admin, and Cay."""
    group = await process.group(ADA, BOB, CAY)
    await process.groups.set_role(ADA, group, BOB, "admin")
    return group


async def invited(process: ChatProcess, group: str, by: str = ADA) -> str:
    return str((await process.invitations.invite(by, group))["token"])


async def assert_gone(process: ChatProcess, user: str, token: str) -> None:
    for call in (process.invitations.preview(user, token), process.invitations.accept(user, token)):
        with pytest.raises(NotFound):
            await call


async def test_any_number_of_users_join_by_an_invitation(process: ChatProcess) -> None:
    """Everybody learns of it; a repeated request changes nothing."""
    group = await a_group(process)
    token = await invited(process, group, BOB)
    preview = await process.invitations.preview(DAN, token)
    shown = preview["conversation_id"], preview["title"], preview["participant_count"], preview["inviter"]["id"]
    assert shown == (None, "A group", 3, BOB)
    listeners = [process.listen(CAY), process.listen(DAN)]
    for user in (DAN, ERIN):
        joined = await process.invitations.accept(user, token)
        assert (joined["id"], joined["role"]) == (group, "member")
    assert joined["participant_ids"] == [ADA, BOB, CAY, DAN, ERIN]
    updates = [received(listener, "conversation_updated") for listener in listeners]
    counts = [[event["data"]["participant_count"] for event in events] for events in updates]
    assert counts == [[4, 5], [4, 5]]
    assert (await process.invitations.preview(DAN, token))["conversation_id"] == group
    assert (await process.invitations.accept(DAN, token))["participant_count"] == 5


async def test_only_owner_and_admins_invite(process: ChatProcess) -> None:
    group = await a_group(process)
    for user, error in ((CAY, Forbidden), (DAN, NotFound)):
        for call in (process.invitations.invite(user, group), process.invitations.end_all(user, group)):
            with pytest.raises(error):
                await call
    direct = await process.conversation(ADA, BOB)
    with pytest.raises(Forbidden):
        await process.invitations.invite(ADA, direct)


async def test_invitation_that_does_not_exist(process: ChatProcess) -> None:
    """Whatever its form is."""
    for token in ("", "x", "é" * 43, "A" * 43, "$" * 43, "A" * 10_000):
        await assert_gone(process, DAN, token)


async def test_token_is_not_stored(process: ChatProcess, mongo: Mongo) -> None:
    token = await invited(process, await a_group(process))
    stored = await mongo.database["invitations"].find_one({})
    assert token not in str(stored)
    assert token.encode() not in bytes(stored["_id"])


async def test_invitation_expires(process: ChatProcess, monkeypatch: pytest.MonkeyPatch, mongo: Mongo) -> None:
    """After seven days; the database deletes it."""
    group = await a_group(process)
    invitation = await process.invitations.invite(ADA, group)
    stored = await mongo.database["invitations"].find_one({})
    assert stored["expires_at"] - stored["created_at"] == timedelta(days=7)
    expires = await mongo.database["invitations"].index_information()
    assert expires["expires_at_1"]["expireAfterSeconds"] == 0
    monkeypatch.setattr(invitation_store, "now", lambda: stored["expires_at"] - timedelta(seconds=1))
    await process.invitations.preview(DAN, invitation["token"])
    monkeypatch.setattr(invitation_store, "now", lambda: stored["expires_at"])
    await assert_gone(process, DAN, invitation["token"])


@pytest.mark.parametrize("end", ["member", "removed", "left", "all ended", "group ended"])
async def test_invitation_ends(process: ChatProcess, end: str) -> None:
    """With its inviter's role, however they lose it, even if they get it back; with the group; and on request."""
    group = await a_group(process)
    token, other = await invited(process, group, BOB), await invited(process, group, ADA)
    if end == "member":
        await process.groups.set_role(ADA, group, BOB, "member")
        await process.groups.set_role(ADA, group, BOB, "admin")
    elif end == "removed":
        await process.groups.remove_participant(ADA, group, BOB)
    elif end == "left":
        await process.groups.remove_participant(BOB, group, BOB)
    elif end == "all ended":
        await process.invitations.end_all(ADA, group)
        await assert_gone(process, DAN, other)
    else:
        for user in (BOB, CAY, ADA):
            await process.groups.remove_participant(user, group, user)
        await assert_gone(process, DAN, other)
    await assert_gone(process, DAN, token)
    if end in ("member", "removed", "left"):
        assert (await process.invitations.accept(DAN, other))["id"] == group


async def test_role_of_the_inviter_is_checked_by_the_write(
    start_process: Callable[..., ChatProcess], group_writes: Writes
) -> None:
    """They lose it, by another process that is killed before it ends their invitations."""
    here, there = start_process(), start_process()
    group = await a_group(here)
    token = await invited(here, group, BOB)

    async def demote() -> None:
        await there.conversation_store.groups.set_role(ObjectId(group), ObjectId(ADA), ObjectId(BOB), "member")

    before(group_writes(here), "_update", demote)
    with pytest.raises(NotFound):
        await here.invitations.accept(DAN, token)
    await assert_gone(here, DAN, token)
    assert (await here.conversations.get(ADA, group))["participant_ids"] == [ADA, BOB, CAY]


async def test_oldest_of_too_many_invitations_ends(process: ChatProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the same group: the invitations of others remain."""
    monkeypatch.setattr(invitation_store, "MAX_OPEN", 2)
    group, other = await a_group(process), await a_group(process)
    moment = invitation_store.now()
    tokens = []
    for number, id_ in enumerate((group, other, group, group)):
        monkeypatch.setattr(invitation_store, "now", lambda number=number: moment + timedelta(seconds=number))
        tokens.append(await invited(process, id_))
    await assert_gone(process, DAN, tokens[0])
    for token in tokens[1:]:
        await process.invitations.preview(DAN, token)


async def test_who_left_returns_only_by_an_invitation(process: ChatProcess) -> None:
    """Nobody adds them, not even together with others; any invitation lets them in."""
    group = await a_group(process)
    token = await invited(process, group)
    await process.groups.remove_participant(CAY, group, CAY)
    for new in ([CAY], [DAN, CAY]):
        with pytest.raises(Forbidden):
            await process.groups.add_participants(ADA, group, new)
    assert (await process.conversations.get(ADA, group))["participant_ids"] == [ADA, BOB]
    await process.invitations.accept(CAY, token)
    assert (await process.conversations.get(CAY, group))["participant_ids"] == [ADA, BOB, CAY]


async def test_who_was_removed_returns_only_by_a_newer_invitation(
    process: ChatProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The link that they have kept does not let them in; it lets others in."""
    group = await a_group(process)
    old = await invited(process, group)
    await process.groups.remove_participant(ADA, group, CAY)
    with pytest.raises(Forbidden):
        await process.groups.add_participants(ADA, group, [CAY])
    await assert_gone(process, CAY, old)
    await process.invitations.accept(DAN, old)
    moment = invitation_store.now()
    monkeypatch.setattr(invitation_store, "now", lambda: moment + timedelta(seconds=1))
    assert (await process.invitations.accept(CAY, await invited(process, group)))["role"] == "member"


async def test_leaving_is_checked_by_the_write_that_adds(
    start_process: Callable[..., ChatProcess], group_writes: Writes
) -> None:
    """They join by an invitation and leave, by another process, at the moment of the write."""
    here, there = start_process(), start_process()
    group = await a_group(here)
    token = await invited(there, group)

    async def join_and_leave() -> None:
        await there.invitations.accept(DAN, token)
        await there.groups.remove_participant(DAN, group, DAN)

    before(group_writes(here), "_update", join_and_leave)
    with pytest.raises(Forbidden):
        await here.groups.add_participants(ADA, group, [DAN])
    assert (await here.conversations.get(ADA, group))["participant_ids"] == [ADA, BOB, CAY]


async def test_who_joins_by_an_invitation_sees_no_earlier_message(process: ChatProcess) -> None:
    """Nor what was sent while they were away."""
    group = await a_group(process)
    token = await invited(process, group)
    await process.messages.send(CAY, group, "old")
    await process.groups.remove_participant(CAY, group, CAY)
    await process.messages.send(ADA, group, "among us")
    assert (await process.invitations.accept(CAY, token))["last_message"]["kind"] == "joined"
    await process.messages.send(ADA, group, "welcome back")
    seen = (await process.messages.history(CAY, group, None, 50)).items
    assert [(message["kind"], message["content"]) for message in seen] == [("joined", ""), ("text", "welcome back")]


async def test_full_group_admits_nobody(
    start_process: Callable[..., ChatProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two who join at once when there is room for one, one joins."""
    for module in ("large_group_changes", "invitation_service"):
        monkeypatch.setattr(f"service.chat.{module}.MAX_PARTICIPANTS", 4)
    # The one more that makes a group too large is refused as well.
    monkeypatch.setattr("service.chat.large_groups.MAX_EMBEDDED", 3)
    processes = [start_process() for _ in range(2)]
    group = await a_group(processes[0])
    token = await invited(processes[0], group)
    outcomes = await asyncio.gather(
        *(process.invitations.accept(user, token) for process, user in zip(processes, (DAN, ERIN), strict=True)),
        return_exceptions=True,
    )
    assert sum(isinstance(outcome, Forbidden) for outcome in outcomes) == 1
    assert (await processes[0].conversations.get(ADA, group))["participant_count"] == 4


async def test_joining_that_was_not_announced_is_announced_by_a_repeated_request(
    start_process: Callable[..., ChatProcess],
) -> None:
    """The process that stored it was killed."""
    dying, living = start_process(), start_process()
    group = await a_group(dying)
    token = await invited(dying, group)

    async def killed(*args: object) -> None:
        raise asyncio.CancelledError

    dying.conversations.announcer.announce = killed  # type: ignore[method-assign, assignment]
    with pytest.raises(asyncio.CancelledError):
        await dying.invitations.accept(DAN, token)
    listener = living.listen(CAY)
    await living.invitations.accept(DAN, token)
    assert [event["data"]["participant_count"] for event in received(listener, "conversation_updated")] == [4]


CHANGES = {
    "removed": lambda process, group: process.groups.remove_participant(ADA, group, BOB),
    "made a member": lambda process, group: process.groups.set_role(ADA, group, BOB, "member"),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_change_is_announced_at_once_if_its_invitations_cannot_be_ended(
    process: ChatProcess, change: str
) -> None:
    """The change is stored: its participants need not wait for the search for lost announcements."""
    group = await a_group(process)
    listener = process.listen(CAY)
    await process.conversations.start()

    async def fail() -> None:
        raise Unavailable

    before(process.invitation_store, "end_all", fail)
    with pytest.raises(Unavailable):
        await CHANGES[change](process, group)
    async with asyncio.timeout(RECOVERY_AGE.total_seconds() / 2):
        await wait_for_events(listener, "conversation_updated", 1)
