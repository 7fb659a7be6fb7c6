"""Who asks for conversations at the same time shares a read, and sees only their own."""

import asyncio

from service.chat.message_service import Page
from service.common.errors import NotFound
from tests.chat.chat_process import ADA, BOB, CAY, DAN, ChatProcess
from tests.conftest import Datastores
from tests.recorded_commands import recording


async def test_readers_of_histories_share_the_read_of_their_conversations(datastores: Datastores) -> None:
    """Who is no participant finds nothing, although others in the same read find the conversation."""
    async with recording(datastores) as (mongo, commands):
        process = ChatProcess(mongo.database)
        await process.create_indexes()
        one, other = await process.conversation(ADA, BOB), await process.group(BOB, CAY, DAN)
        for sender, conversation in ((ADA, one), (CAY, other), (DAN, other)):
            await process.messages.send(sender, conversation, "Hello")
        await process.messages.flush_counters()
        readers = [(ADA, one), (BOB, one), (BOB, other), (CAY, other)]
        commands.recorded.clear()
        pages = await asyncio.gather(*(process.messages.history(*reader, None, 10) for reader in readers))
        assert [one, one, other, other] == [page.items[-1]["conversation_id"] for page in pages]
        assert ["find conversations", "find messages"] == commands.recorded[:2]
        strangers = [(CAY, one), (DAN, one), (ADA, other)]
        results = await asyncio.gather(
            *(process.messages.history(*reader, None, 10) for reader in [*strangers, *readers]), return_exceptions=True
        )
        assert [NotFound] * 3 + [Page] * 4 == [type(result) for result in results]
        await process.close()


async def test_readers_of_one_conversation_see_their_own_read_marks(process: ChatProcess) -> None:
    group = await process.group(ADA, BOB, CAY)
    for _ in range(3):
        await process.messages.send(ADA, group, "Hello")
    await process.messages.flush_counters()
    marks = {ADA: 3, BOB: 1, CAY: 2}
    for user, mark in marks.items():
        await process.conversations.mark_read(user, group, mark)
    shown = await asyncio.gather(*(process.conversations.mark_read(user, group, 1) for user in marks))
    assert [3, 1, 2] == [each["last_read_seq"] for each in shown]
    assert [0, 2, 1] == [each["unread_count"] for each in shown]
