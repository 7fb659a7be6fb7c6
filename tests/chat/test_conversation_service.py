"""Conversations: who takes part, and how far each has read."""

import asyncio
from collections.abc import Callable

import pytest
from bson import ObjectId

from service.chat.models import MAX_PARTICIPANTS
from service.common.errors import Forbidden, NotFound, ValidationFailed
from tests.chat.world import ADA, BOB, CAY, DAN, World, heard

NOBODY = "0" * 24


async def test_two_people_have_one_direct_conversation(processes: Callable[..., World]) -> None:
    """Whoever of them begins it, and even if both do so at once."""
    one, two = processes(), processes()
    made = await asyncio.gather(
        *[world.membership.create(*pair, None) for world in (one, two) for pair in ((ADA, [BOB]), (BOB, [ADA]))]
    )
    assert len({conversation["id"] for conversation, _ in made}) == 1
    assert sum(new for _, new in made) == 1
    # With a title it is a group of two, and there can be many.
    group, new = await one.membership.create(ADA, [BOB], "Us")
    assert (group["kind"], new) == ("group", True)
    assert group["id"] != made[0][0]["id"]


@pytest.mark.parametrize("others", [[ADA], [NOBODY], [BOB, NOBODY]])
async def test_a_conversation_needs_others_who_exist(world: World, others: list[str]) -> None:
    """Nothing is made otherwise."""
    with pytest.raises(ValidationFailed):
        await world.membership.create(ADA, others, None)
    assert await world.membership.page(ADA, 10, None) == ([], None)


async def test_a_conversation_shows_itself_to_participants_only(world: World) -> None:
    """To others it is as if it were not there."""
    conversation = await world.conversation(ADA, BOB, CAY)
    assert (await world.membership.get(CAY, conversation))["participant_ids"] == [ADA, BOB, CAY]
    for call in (
        world.membership.get(DAN, conversation),
        world.membership.rename(DAN, conversation, "x"),
        world.membership.add(DAN, conversation, [DAN]),
        world.membership.remove(DAN, conversation, ADA),
        world.membership.read(DAN, conversation, 1),
        world.membership.typing(DAN, conversation),
    ):
        with pytest.raises(NotFound):
            await call


async def test_changes_of_a_group_are_told_to_its_members(world: World) -> None:
    """Its title, who joins, who is taken out; the last is told, and hears nothing afterwards."""
    listeners = {user: world.listen(user) for user in (ADA, BOB, CAY)}
    group = await world.group(ADA, BOB)
    await world.membership.rename(BOB, group, "Better")
    await world.membership.add(BOB, group, [CAY, ADA])
    assert heard(listeners[CAY], "conversation_updated")[0]["data"]["participant_ids"] == [ADA, BOB, CAY]
    await world.membership.remove(ADA, group, CAY)
    assert heard(listeners[CAY])[-1] == {"type": "conversation_removed", "conversation_id": group}
    before = len(heard(listeners[CAY]))
    await world.chat.send(ADA, group, "among us")
    assert len(heard(listeners[CAY])) == before
    for user in (ADA, BOB):
        events = heard(listeners[user], "conversation_updated")
        assert [event["data"]["title"] for event in events] == ["A group", "Better", "Better", "Better"]
        assert events[-1]["data"]["participant_ids"] == [ADA, BOB]
    with pytest.raises(NotFound):
        await world.chat.send(CAY, group, "let me in")


async def test_only_the_owner_takes_others_out_and_anyone_may_leave(world: World) -> None:
    """A group whose owner leaves goes on under the next."""
    group = await world.group(ADA, BOB, CAY)
    with pytest.raises(Forbidden):
        await world.membership.remove(BOB, group, CAY)
    with pytest.raises(NotFound):
        await world.membership.remove(ADA, group, DAN)
    await world.membership.remove(ADA, group, ADA)
    assert (await world.membership.get(BOB, group))["owner_id"] == BOB
    await world.membership.remove(BOB, group, CAY)
    await world.membership.remove(BOB, group, BOB)
    assert await world.membership.page(BOB, 10, None) == ([], None)


async def test_a_direct_conversation_stays_as_it_is(world: World) -> None:
    """No title, no third, no leaving."""
    direct = await world.conversation(ADA, BOB)
    for call in (
        world.membership.rename(ADA, direct, "x"),
        world.membership.add(ADA, direct, [CAY]),
        world.membership.remove(ADA, direct, BOB),
        world.membership.remove(ADA, direct, ADA),
    ):
        with pytest.raises(Forbidden):
            await call
    assert (await world.membership.get(ADA, direct))["participant_ids"] == [ADA, BOB]


async def test_a_group_is_bounded_even_when_many_add_at_once(processes: Callable[..., World]) -> None:
    """Three additions race for the room of one."""
    worlds = [processes() for _ in range(3)]
    people = [f"{n:024x}" for n in range(1, MAX_PARTICIPANTS)]
    group = await worlds[0].group(*people)
    extra = [f"{n:024x}" for n in range(90_000, 90_003)]
    outcomes = await asyncio.gather(
        *[world.membership.add(people[0], group, [who]) for world, who in zip(worlds, extra, strict=True)],
        return_exceptions=True,
    )
    assert len((await worlds[0].membership.get(people[0], group))["participant_ids"]) == MAX_PARTICIPANTS
    assert sum(isinstance(outcome, ValidationFailed | Forbidden) for outcome in outcomes) == 2


async def test_conversations_are_listed_by_their_last_activity(world: World) -> None:
    """Paged without repetition; a message brings its conversation to the front."""
    ids = [await world.group(ADA, BOB) for _ in range(7)]
    await world.chat.send(BOB, ids[2], "to the front")
    found, before = [], None
    while True:
        items, before = await world.membership.page(ADA, 3, before)
        found += [item["id"] for item in items]
        if before is None:
            break
    assert found == [ids[2], *reversed([other for other in ids if other != ids[2]])]
    first = (await world.membership.page(ADA, 1, None))[0][0]
    assert first["last_message"]["content"] == "to the front"
    with pytest.raises(ValidationFailed):
        await world.membership.page(ADA, 3, "$gt")


async def test_a_read_mark_is_not_told_after_a_later_one(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two devices read at once, and the answer to the one that has read less is the slower one."""
    group = await world.group(ADA, BOB)
    for number in range(2):
        await world.chat.send(ADA, group, f"Message {number}")
    listener = world.listen(ADA)
    store, stored, told = world.conversations.read, asyncio.Event(), asyncio.Event()

    async def answer_late(conversation_id: ObjectId, user_id: ObjectId, seq: int) -> bool:
        moved = await store(conversation_id, user_id, seq)
        if seq == 1:
            stored.set()
            await told.wait()
        return moved

    monkeypatch.setattr(world.conversations, "read", answer_late)
    slower = asyncio.create_task(world.membership.read(BOB, group, 1))
    await stored.wait()
    await world.membership.read(BOB, group, 2)
    told.set()
    await slower
    assert [{"user_id": BOB, "seq": 2}] == [event["data"] for event in heard(listener, "read")]


async def test_unread_counts_are_what_was_said_since(world: World) -> None:
    """Reading moves forward only, never past the end; who says something has read; newcomers have nothing unread."""
    group = await world.group(ADA, BOB)
    for n in range(4):
        await world.chat.send(ADA, group, f"m{n}")

    async def unread(user: str) -> int:
        return int((await world.membership.get(user, group))["unread_count"])

    assert (await unread(ADA), await unread(BOB)) == (0, 4)
    listener = world.listen(ADA)
    state = await world.membership.read(BOB, group, 3)
    assert state == {"conversation_id": group, "last_read_seq": 3, "unread_count": 1}
    assert (await world.membership.read(BOB, group, 1))["last_read_seq"] == 3
    assert (await world.membership.read(BOB, group, 99))["last_read_seq"] == 4
    read = [event["data"] for event in heard(listener, "read")]
    # A later mark takes the earlier one's place for a reader that has not taken it yet.
    assert read == [{"user_id": BOB, "seq": 4}]
    await world.chat.send(BOB, group, "mine")
    assert (await unread(ADA), await unread(BOB)) == (1, 0)
    await world.membership.add(ADA, group, [CAY])
    assert await unread(CAY) == 0


async def test_typing_is_told_to_the_others(world: World) -> None:
    """And not to those who type."""
    group = await world.group(ADA, BOB)
    mine, other = world.listen(ADA), world.listen(BOB)
    await world.membership.typing(ADA, group)
    [event] = heard(other, "typing")
    assert event == {"type": "typing", "conversation_id": group, "data": {"user_id": ADA, "expires_in": 5}}
    assert heard(mine) == []


@pytest.mark.parametrize("many", [2000, 2])
async def test_those_who_come_together_are_told_what_each_would_be_alone(
    world: World, monkeypatch: pytest.MonkeyPatch, many: int
) -> None:
    """In one read, or where that would be too much in one each: newest activity first, and one's own read mark."""
    monkeypatch.setattr("service.chat.conversation_store.MANY", many)
    monkeypatch.setattr("service.chat.conversation_service.HELLO_LIMIT", 2)
    group = await world.group(ADA, BOB, CAY)
    for other in (BOB, CAY, DAN):
        conversation = await world.conversation(ADA, other)
        await world.chat.send(ADA, conversation, "hi")
    await world.chat.send(BOB, group, "all")
    await world.chat.flush_counters()
    together = await asyncio.gather(*[world.membership.hello(user) for user in (ADA, BOB, CAY, DAN)])
    alone = [await world.membership.hello(user) for user in (ADA, BOB, CAY, DAN)]
    assert together == alone
    assert [len(stands) for stands in alone] == [2, 2, 2, 1]
    assert [stands[0]["conversation_id"] == group for stands in alone] == [True, True, True, False]
    assert [stands[0]["last_read_seq"] for stands in alone] == [0, 1, 0, 0]


async def test_hello_tells_where_conversations_stand(world: World) -> None:
    """And from there on their events are followed in order."""
    group = await world.group(ADA, BOB)
    message = (await world.chat.send(ADA, group, "one"))[0]["id"]
    await world.chat.edit(ADA, group, message, "two")
    assert await world.membership.hello(BOB) == [
        {"conversation_id": group, "last_seq": 1, "last_rev": 2, "last_read_seq": 0}
    ]


async def test_a_group_whose_owner_left_and_did_not_get_to_hand_it_over_has_an_owner(world: World) -> None:
    """Their process died, or they hung up: whoever has been in it the longest can do what owners do."""
    group = await world.group(ADA, BOB, CAY)
    hand_over = world.conversations.hand_over

    async def killed(*args: object) -> None:
        raise asyncio.CancelledError

    world.conversations.hand_over = killed  # type: ignore[method-assign]
    with pytest.raises(asyncio.CancelledError):
        await world.membership.remove(ADA, group, ADA)
    world.conversations.hand_over = hand_over  # type: ignore[method-assign]
    assert (await world.membership.get(CAY, group))["owner_id"] == BOB
    with pytest.raises(Forbidden):
        await world.membership.remove(CAY, group, BOB)
    await world.membership.remove(BOB, group, CAY)
    assert (await world.membership.get(BOB, group))["participant_ids"] == [BOB]
