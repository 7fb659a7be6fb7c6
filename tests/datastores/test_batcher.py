"""Group commit: what waits together is written together, and nobody waits for ever."""

import asyncio

import pytest

from service.chat import message_service as module
from service.chat.message_service import MessageService
from service.common.errors import Unavailable
from service.datastores.mongo import Mongo
from tests.chat.world import ADA, BOB, World
from tests.conftest import Datastores
from tests.proxy import Proxy

BATCH_TIMEOUT = 0.2
SLOW = 0.5


async def refused(chat: MessageService, conversation: str, nonce: str) -> float:
    """Seconds until it was."""
    began = asyncio.get_running_loop().time()
    with pytest.raises(Unavailable):
        await chat.send(ADA, conversation, "Are you there?", nonce)
    return asyncio.get_running_loop().time() - began


async def test_a_write_that_takes_too_long_is_given_up_by_who_waits_and_not_by_who_writes(
    mongo: Mongo, datastores: Datastores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its submitter is told in time, who waits behind it or comes then at once; it ends, and all goes on from there."""
    async with Proxy(datastores.database(mongo.database.name)) as cable:
        far = Mongo(cable.url)
        monkeypatch.setattr(module, "BATCH_TIMEOUT", BATCH_TIMEOUT)
        world = World(far.database)
        await world.create_indexes()
        conversation = await world.group(ADA, BOB)
        await world.chat.send(ADA, conversation, "Hello")
        listener = world.listen(BOB)
        try:
            cable.delay = SLOW
            first = asyncio.create_task(refused(world.chat, conversation, "first"))
            await asyncio.sleep(BATCH_TIMEOUT / 2)
            assert await refused(world.chat, conversation, "behind") < BATCH_TIMEOUT
            assert BATCH_TIMEOUT <= await first < SLOW
            assert await refused(world.chat, conversation, "later") < BATCH_TIMEOUT / 2
            cable.delay = 0
            assert world.chat._commits._task
            await world.chat._commits._task
            again, new = await world.chat.send(ADA, conversation, "Are you there?", "first")
            assert not new
            others = [(await world.chat.send(ADA, conversation, "Well?", nonce))[0] for nonce in ("behind", "later")]
            assert [2, 3, 4] == [message["seq"] for message in (again, *others)]
            assert 3 == len([event for event in listener.queue.events() if event.type == "new_message"])
        finally:
            await world.close()
            # Closing says good-bye to the server and waits for it, and the cable is on this loop.
            await asyncio.to_thread(far.close)
