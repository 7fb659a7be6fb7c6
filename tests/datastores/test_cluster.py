"""A Redis Cluster is one server to those who use it: where its nodes go and slots move, their node is found again."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError

from service.datastores import cluster as datastore
from service.datastores.cluster import Address, Nodes
from service.datastores.redis import REDIS_ERRORS, TAG, connect, is_cluster
from tests.cluster import Cluster, Node, cluster, running, until
from tests.rest import free_port

KEY = f"{TAG}:test"


@pytest.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[Cluster]:
    """A cluster of this test's own, of three nodes."""
    async with cluster(tmp_path / "cluster") as made:
        yield made


@pytest.fixture
async def client(nodes: Cluster) -> AsyncIterator[Redis]:
    redis = connect(",".join([nodes.url, *(f"127.0.0.1:{node.port}" for node in nodes.nodes[1:])]))
    yield redis
    await redis.aclose()


async def test_any_node_leads_to_the_one_that_serves_the_slot(nodes: Cluster) -> None:
    """Single commands, pipelines, transactions and scripts: all that is asked for is in one slot."""
    for number, node in enumerate(nodes.nodes, 1):
        redis = connect(node.url)
        assert await is_cluster(redis)
        assert number == await redis.incr(KEY)
        for transaction in (True, False):
            pipeline = redis.pipeline(transaction=transaction)
            assert [True, b"1"] == await pipeline.set(KEY + "2", 1).get(KEY + "2").execute()
        assert str(number).encode() == await redis.eval("return redis.call('get', KEYS[1])", 1, KEY)
        await redis.aclose()
    assert b"3" == await (await nodes.owner(KEY)).redis.get(KEY)


async def test_a_single_server_is_no_cluster(redis: Redis) -> None:
    """It is asked once for each connection, and then used as ever."""
    assert not await is_cluster(redis)
    assert 1 == await redis.incr(KEY)


async def test_several_servers_that_are_no_cluster_are_refused(tmp_path: Path) -> None:
    """What one process said to the one, another would look for on the other."""
    async with running([Node(tmp_path / str(number), clustered=False) for number in range(2)]) as (one, two):
        redis = connect(f"{one.url},127.0.0.1:{two.port}")
        with pytest.raises(ConnectionError, match="not a cluster node"):
            await redis.ping()
        await redis.aclose()


async def test_a_named_node_that_is_away_does_not_keep_the_others_from_being_found(nodes: Cluster) -> None:
    """The next one that is named is asked."""
    redis = connect(f"redis://127.0.0.1:{free_port()},127.0.0.1:{nodes.nodes[2].port}")
    assert 1 == await redis.incr(KEY)
    await redis.aclose()


async def test_a_slot_that_is_moved_is_followed(nodes: Cluster, client: Redis) -> None:
    """With what is in it, there and back, by connections that lay idle and by those in use, and nothing fails."""
    owner = await nodes.owner(KEY)
    other = (await nodes.others(KEY))[0]
    asked = 0
    for to in (other, owner):
        moving = asyncio.create_task(nodes.move(KEY, to))
        while not moving.done():
            counts = await asyncio.gather(*(client.incr(KEY) for _ in range(10)))
            assert list(range(asked + 1, asked + 11)) == sorted(counts)
            asked += 10
        await moving
        assert asked == int(await client.get(KEY))
        assert str(asked).encode() == await to.redis.get(KEY)


async def test_a_node_that_is_killed_is_away_and_is_found_when_it_is_back(nodes: Cluster, client: Redis) -> None:
    """Without a replica, nobody else can stand in for it."""
    await client.set(KEY, 1)
    owner = await nodes.owner(KEY)
    await owner.kill()
    with pytest.raises(REDIS_ERRORS):
        await client.get(KEY)
    await owner.start()
    await nodes.well()
    await client.set(KEY, 2)
    assert b"2" == await owner.redis.get(KEY)


async def test_the_replica_of_a_lost_node_takes_over(tmp_path: Path) -> None:
    """The node that the URL names is the one that is gone; what the cluster said of the others is enough."""
    async with cluster(tmp_path / "cluster", replicas=3) as nodes:
        owner = await nodes.owner(KEY)
        redis = connect(owner.url)
        await redis.set(KEY, 1)
        await redis.wait(1, 5000)
        await owner.kill()
        await until(lambda: redis.get(KEY))
        assert await nodes.owner(KEY) is not owner
        assert b"1" == await redis.get(KEY)
        await redis.aclose()


async def test_a_node_that_hangs_is_given_up_once_another_has_its_slots(tmp_path: Path) -> None:
    """Whoever asks loses patience before the connection does; the next try begins elsewhere."""
    async with cluster(tmp_path / "cluster", replicas=3) as nodes:
        owner = await nodes.owner(KEY)
        redis = connect(owner.url)
        await redis.set(KEY, 1)
        await redis.wait(1, 5000)
        owner.freeze()

        async def answers() -> bool:
            async with asyncio.timeout(0.5):
                return bool(await redis.get(KEY))

        await until(answers)
        await redis.aclose()


async def test_a_cluster_that_lacks_a_node_fails_and_is_well_again(nodes: Cluster, client: Redis) -> None:
    """Unless it is told to go on with the slots that it has, it serves none."""
    other = (await nodes.others(KEY))[0]
    await client.set(KEY, 1)
    await other.kill()

    async def fails() -> bool:
        try:
            await client.set(KEY, 1)
        except REDIS_ERRORS:
            return True
        return False

    await until(fails)
    await other.start()
    await until(lambda: client.set(KEY, 2))


def test_nodes_are_remembered_within_a_bound() -> None:
    """The one that serves the slot first, then those of the URL."""
    named = Address("named", 1)
    nodes = Nodes([named], KEY)
    answer = [[slot, slot, [b"10.0.0.%d" % (slot % 200), 1000 + slot, b"id"]] for slot in range(16384)]
    owner = nodes.update(named, answer)
    assert owner == nodes.likely_owner
    nodes.mark_failed(owner)
    assert named == nodes.likely_owner
    assert datastore.MAX_NODES == len(nodes._nodes)


@pytest.mark.parametrize("host", [None, b"", b"?"])
def test_a_node_without_an_address_is_where_it_was_asked(host: bytes | None) -> None:
    """Such a cluster is reached by one name, whichever node answers there."""
    asked = Address("asked", 1)
    assert Address("asked", 7000) == Nodes([asked], KEY).update(asked, [[0, 16383, [host, 7000, b"id"]]])
