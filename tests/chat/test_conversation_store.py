"""The store of conversations: what is raised late, about people who have gone since."""

from datetime import timedelta
from typing import Any

import pytest
from bson import ObjectId

from service.chat.conversation_store import CounterUpdate
from service.common.errors import NotFound
from service.common.times import now
from tests.chat.world import ADA, BOB, CAY, World

LATER = now() + timedelta(hours=1)


async def document(world: World, conversation_id: str) -> dict[str, Any]:
    (found,) = await world.conversations.page(ObjectId(ADA), 1)
    assert conversation_id == str(found["_id"])
    return found


async def test_who_has_left_gets_no_read_mark_from_what_they_said(world: World) -> None:
    """The write behind it came later than their leaving: the numbers are raised, and the others' marks."""
    group = await world.group(ADA, BOB, CAY)
    other = await world.group(BOB, CAY)
    await world.membership.remove(BOB, group, BOB)
    said = CounterUpdate(rev=9, seq=7, message_id=ObjectId(), at=LATER, reads={BOB: 6, CAY: 7})
    elsewhere = CounterUpdate(rev=4, seq=3, message_id=ObjectId(), at=LATER, reads={BOB: 3})
    await world.conversations.apply_counters({ObjectId(group): said, ObjectId(other): elsewhere})
    left = await document(world, group)
    assert {CAY: 7} == left["reads"]
    assert (9, 7, LATER) == (left["last_rev"], left["last"]["seq"], left["last_activity"])
    stays = await world.conversations.get(ObjectId(other), ObjectId(BOB))
    assert ({BOB: 3}, 4) == (stays["reads"], stays["last_rev"])


async def test_who_has_been_deleted_gets_no_read_mark(world: World) -> None:
    """A direct conversation keeps them as its other half: neither what they said nor a late `read` is noted."""
    direct = await world.conversation(ADA, BOB)
    await world.conversations.read(ObjectId(direct), ObjectId(BOB), 1)
    await world.conversations.forget_reads([ObjectId(direct)], ObjectId(BOB))
    said = CounterUpdate(rev=9, seq=7, message_id=ObjectId(), at=LATER, reads={BOB: 6, ADA: 7})
    await world.conversations.apply_counters({ObjectId(direct): said})
    with pytest.raises(NotFound):
        await world.conversations.read(ObjectId(direct), ObjectId(BOB), 7)
    stands = await document(world, direct)
    assert ({ADA: 7}, 7) == (stands["reads"], stands["last"]["seq"])
