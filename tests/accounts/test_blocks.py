"""The store of blocks."""

from itertools import pairwise

import pytest

from service.accounts import block_store
from service.accounts.block_store import BlockStore
from service.common.blocks import Block, blockers
from service.common.errors import ValidationFailed
from service.common.ids import new_id
from service.datastores.mongo import Mongo

ANN, BINH, CHI = new_id(), new_id(), new_id()


@pytest.fixture
async def blocks(mongo: Mongo) -> BlockStore:
    store = BlockStore(mongo.database)
    await store.create_indexes()
    return store


async def test_a_block_has_a_direction(blocks: BlockStore) -> None:
    await blocks.add(ANN, BINH)
    both = {Block(ANN, BINH), Block(BINH, ANN)}
    assert {Block(ANN, BINH)} == await blocks.existing(both)
    assert {BINH} == await blocks.blocked_by(ANN)
    assert set() == await blocks.blocked_by(BINH)


async def test_blocking_and_unblocking_twice_is_the_same_as_once(blocks: BlockStore) -> None:
    await blocks.add(ANN, BINH)
    [first] = await blocks.page(ANN, 10)
    await blocks.add(ANN, BINH)
    assert [first] == await blocks.page(ANN, 10)
    for _ in range(2):
        await blocks.remove(ANN, BINH)
        assert set() == await blocks.existing([Block(ANN, BINH)])


async def test_those_of_many_recipients_who_block_the_sender_are_found(blocks: BlockStore) -> None:
    recipients = [new_id() for _ in range(300)]
    for recipient in recipients[::100]:
        await blocks.add(recipient, BINH)
    await blocks.add(BINH, recipients[1])
    await blocks.add(recipients[2], CHI)
    assert set(recipients[::100]) == await blockers(blocks, BINH, recipients)
    assert set() == await blockers(blocks, BINH, [])


async def test_the_latest_block_comes_first_and_pages_have_each_once(blocks: BlockStore) -> None:
    others = [new_id() for _ in range(7)]
    for other in others:
        await blocks.add(ANN, other)
    await blocks.add(BINH, ANN)
    found, before = [], None
    while page := await blocks.page(ANN, 3, before):
        found += page
        before = page[-1].key
    assert set(others) == {row.blocked_id for row in found}
    assert len(others) == len(found)
    assert all(earlier.key > later.key for earlier, later in pairwise(found))


async def test_a_user_blocks_a_limited_number_of_others(blocks: BlockStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(block_store, "MAX_BLOCKS", 2)
    await blocks.add(ANN, BINH)
    await blocks.add(ANN, CHI)
    with pytest.raises(ValidationFailed):
        await blocks.add(ANN, new_id())
    # One that exists is no further one.
    await blocks.add(ANN, BINH)
    assert {BINH, CHI} == await blocks.blocked_by(ANN)


async def test_everyone_is_found_whom_the_deletion_of_a_user_concerns(blocks: BlockStore) -> None:
    await blocks.add(ANN, BINH)
    await blocks.add(CHI, ANN)
    await blocks.add(CHI, BINH)
    assert {BINH, CHI} == await blocks.concerned_by(ANN)
    assert {ANN, CHI} == await blocks.concerned_by(BINH)
