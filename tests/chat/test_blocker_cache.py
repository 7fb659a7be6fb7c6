"""Who blocks a user who types in a group: what is remembered of it, and for how long."""

import asyncio
from collections.abc import Iterable

import pytest

from service.accounts.block_store import BlockStore
from service.chat import blocker_cache
from service.chat.blocker_cache import MAX_AGE, BlockerCache
from service.common.blocks import Block
from service.datastores.mongo import Mongo
from tests.chat.chat_process import ADA, BOB, CAY, DAN, ChatProcess, received
from tests.conftest import Datastores
from tests.recorded_commands import recording


async def test_typing_in_a_group_looks_for_blocks_once_in_a_while(datastores: Datastores) -> None:
    """For each user who types there; again once the participants or the blocks have changed."""
    async with recording(datastores) as (mongo, commands):
        process = ChatProcess(mongo.database)
        await process.create_indexes()
        group = await process.group(ADA, BOB)

        async def lookups() -> int:
            commands.recorded.clear()
            for user in (ADA, BOB):
                for active in (True, True, False):
                    await process.conversations.publish_typing(user, group, active)
            return commands.recorded.count("find blocks")

        assert 2 == await lookups()
        assert 0 == await lookups()
        await process.blocks.add(CAY, BOB)
        await process.groups.add_participants(ADA, group, [CAY])
        before = process.listen(CAY)
        assert 2 == await lookups()
        assert [ADA] == [event["data"]["user_id"] for event in received(before, "typing")]
        await process.blocks.add(CAY, ADA)
        await process.conversations.on_block_changed(CAY, ADA)
        after = process.listen(CAY)
        assert 1 == await lookups()
        assert [] == received(after, "typing")
        await process.close()


async def test_a_block_by_another_process_counts_after_a_while(mongo: Mongo) -> None:
    process, moment = ChatProcess(mongo.database), 100.0
    cache = BlockerCache(process.blocks, clock=lambda: moment)

    async def blockers() -> frozenset[str]:
        return await cache.in_group(ADA, "group", 1, [BOB, CAY])

    assert frozenset() == await blockers()
    await process.blocks.add(CAY, ADA)
    moment += MAX_AGE - 0.1
    assert frozenset() == await blockers()
    moment += 0.1
    assert {CAY} == await blockers()
    await process.close()


async def test_what_was_read_before_a_block_changed_is_not_remembered(mongo: Mongo) -> None:
    """The block is stored while the response of the first read is on its way."""
    read, arrives = asyncio.Event(), asyncio.Event()

    class DistantBlocks(BlockStore):
        async def existing(self, blocks: Iterable[Block]) -> set[Block]:
            found = await super().existing(blocks)
            read.set()
            await arrives.wait()
            return found

    blocks = DistantBlocks(mongo.database)
    cache = BlockerCache(blocks)
    first = asyncio.create_task(cache.in_group(ADA, "group", 1, [BOB]))
    await read.wait()
    await blocks.add(BOB, ADA)
    cache.forget([BOB, ADA])
    arrives.set()
    assert frozenset() == await first
    assert {BOB} == await cache.in_group(ADA, "group", 1, [BOB])


async def test_the_number_of_remembered_users_is_limited(
    datastores: Datastores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those who asked first are forgotten first."""
    monkeypatch.setattr(blocker_cache, "MAX_USERS", 2)
    async with recording(datastores) as (mongo, commands):
        process = ChatProcess(mongo.database)
        cache = BlockerCache(process.blocks)
        for user in (ADA, BOB, CAY, CAY, BOB, ADA):
            await cache.in_group(user, "group", 1, [DAN])
        assert 4 == commands.recorded.count("find blocks")
        await process.close()
