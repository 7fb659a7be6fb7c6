"""The store of conversations: late counter updates for users who have left or been deleted since."""

from datetime import timedelta
from typing import Any

import pytest
from bson import ObjectId

from service.chat.counter_update import CounterUpdate
from service.common.errors import NotFound
from service.common.times import now
from tests.chat.chat_process import ADA, BOB, CAY, ChatProcess
from tests.conftest import Datastores
from tests.recorded_commands import recording

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


async def test_first_page_after_an_earlier_one(datastores: Datastores) -> None:
    """What has been active since the end of the earlier page is enough, unless the user has left one of these."""
    async with recording(datastores) as (mongo, commands):
        process = ChatProcess(mongo.database)
        await process.create_indexes()
        groups = [ObjectId(await process.group(ADA, BOB)) for _ in range(6)]
        lists = process.conversation_store.lists

        async def page() -> list[int]:
            commands.recorded.clear()
            return [groups.index(each["_id"]) for each in await lists.page(ObjectId(ADA), 3)]

        async def activate(number: int, minutes: int) -> None:
            at = now() + timedelta(minutes=minutes)
            update = CounterUpdate(rev=9, seq=7, message_id=ObjectId(), at=at)
            await process.conversation_store.apply_counters({groups[number]: update})

        for _ in range(2):
            assert [5, 4, 3] == await page()
        assert ["find conversations", "find memberships"] == commands.recorded
        await activate(1, 1)
        assert [1, 5, 4] == await page()
        await activate(5, 2)
        await activate(0, 3)
        assert [0, 5, 1] == await page()
        assert ["find conversations", "find memberships"] == commands.recorded
        await process.groups.remove_participant(ADA, str(groups[5]), ADA)
        assert [0, 1, 4] == await page()
        await process.close()
