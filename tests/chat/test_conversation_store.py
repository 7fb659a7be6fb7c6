"""The store of conversations: late counter updates for users who have left or been deleted since."""

from datetime import timedelta
from typing import Any

import pytest
from bson import ObjectId

from service.chat.counter_update import CounterUpdate
from service.common.errors import NotFound
from service.common.times import now
from tests.chat.chat_process import ADA, BOB, CAY, ChatProcess

LATER = now() + timedelta(hours=1)


async def document(process: ChatProcess, conversation_id: str) -> dict[str, Any]:
    (found,) = await process.conversation_store.lists.page(ObjectId(ADA), 1)
    assert conversation_id == str(found["_id"])
    return found


async def test_former_participant_gets_no_read_mark(process: ChatProcess) -> None:
    """The counters and the read marks of other participants are written all the same."""
    group = await process.group(ADA, BOB, CAY)
    other = await process.group(BOB, CAY)
    await process.groups.remove_participant(BOB, group, BOB)
    update = CounterUpdate(rev=9, seq=7, message_id=ObjectId(), at=LATER, reads={BOB: 6, CAY: 7})
    elsewhere = CounterUpdate(rev=4, seq=3, message_id=ObjectId(), at=LATER, reads={BOB: 3})
    await process.conversation_store.apply_counters({ObjectId(group): update, ObjectId(other): elsewhere})
    left = await document(process, group)
    assert {CAY: 7} == left["reads"]
    assert (9, 7, LATER) == (left["last_rev"], left["last"]["seq"], left["last_activity"])
    stays = await process.conversation_store.get(ObjectId(other), ObjectId(BOB))
    assert ({BOB: 3}, 4) == (stays["reads"], stays["last_rev"])


async def test_deleted_user_gets_no_read_mark(process: ChatProcess) -> None:
    """They remain a participant of a direct conversation, but neither their messages nor a late `read` set a mark."""
    direct = await process.conversation(ADA, BOB)
    await process.conversation_store.mark_read(ObjectId(direct), ObjectId(BOB), 1)
    await process.conversation_store.erase_read_marks([ObjectId(direct)], ObjectId(BOB))
    update = CounterUpdate(rev=9, seq=7, message_id=ObjectId(), at=LATER, reads={BOB: 6, ADA: 7})
    await process.conversation_store.apply_counters({ObjectId(direct): update})
    with pytest.raises(NotFound):
        await process.conversation_store.mark_read(ObjectId(direct), ObjectId(BOB), 7)
    found = await document(process, direct)
    assert ({ADA: 7}, 7) == (found["reads"], found["last"]["seq"])
