"""A Redis Cluster behaves like one server: after failover and slot migration the owner is found again."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError

from service.datastores import cluster as datastore
from service.datastores.cluster import Address, Nodes
from service.datastores.redis import REDIS_ERRORS, TAG, connect, is_cluster
from tests.cluster import Cluster, Node, cluster, running, wait_until
from tests.rest import free_port

KEY = f"{TAG}:test"


@pytest.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[Cluster]:
    """A cluster of three nodes for one test."""
    async with cluster(tmp_path / "cluster") as created:
        yield created


@pytest.fixture
async def client(nodes: Cluster) -> AsyncIterator[Redis]:
    redis = connect(",".join([nodes.url, *(f"127.0.0.1:{node.port}" for node in nodes.nodes[1:])]))
    yield redis
    await redis.aclose()


async def test_any_node_leads_to_the_owner_of_the_slot(nodes: Cluster) -> None:
    """For commands, pipelines, transactions and scripts."""
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


async def test_a_single_server_is_not_a_cluster(redis: Redis) -> None:
    assert not await is_cluster(redis)
    assert 1 == await redis.incr(KEY)


async def test_several_servers_that_are_not_a_cluster_are_rejected(tmp_path: Path) -> None:
    """Processes could use different ones."""
    async with running([Node(tmp_path / str(number), clustered=False) for number in range(2)]) as (one, two):
        redis = connect(f"{one.url},127.0.0.1:{two.port}")
        with pytest.raises(ConnectionError, match="not a cluster node"):
            await redis.ping()
        await redis.aclose()


async def test_an_unreachable_seed_is_skipped(nodes: Cluster) -> None:
    """The next node of the URL is tried."""
    redis = connect(f"redis://127.0.0.1:{free_port()},127.0.0.1:{nodes.nodes[2].port}")
    assert 1 == await redis.incr(KEY)
    await redis.aclose()


async def test_commands_follow_a_migrating_slot(nodes: Cluster, client: Redis) -> None:
    """There and back, on idle and busy connections, without failures."""
    owner = await nodes.owner(KEY)
    other = (await nodes.others(KEY))[0]
    expected = 0
    for to in (other, owner):
        moving = asyncio.create_task(nodes.move(KEY, to))
        while not moving.done():
            counts = await asyncio.gather(*(client.incr(KEY) for _ in range(10)))
            assert list(range(expected + 1, expected + 11)) == sorted(counts)
            expected += 10
        await moving
        assert expected == int(await client.get(KEY))
        assert str(expected).encode() == await to.redis.get(KEY)


async def test_a_killed_node_is_found_again_when_it_is_back(nodes: Cluster, client: Redis) -> None:
    """Without a replica no other node can take over."""
    await client.set(KEY, 1)
    owner = await nodes.owner(KEY)
    await owner.kill()
    with pytest.raises(REDIS_ERRORS):
        await client.get(KEY)
    await owner.start()
    await nodes.wait_until_healthy()
    await client.set(KEY, 2)
    assert b"2" == await owner.redis.get(KEY)


async def test_the_replica_of_a_killed_node_takes_over(tmp_path: Path) -> None:
    """The killed node is the only one that the URL names."""
    async with cluster(tmp_path / "cluster", replicas=3) as nodes:
        owner = await nodes.owner(KEY)
        redis = connect(owner.url)
        await redis.set(KEY, 1)
        await redis.wait(1, 5000)
        await owner.kill()
        await wait_until(lambda: redis.get(KEY))
        assert await nodes.owner(KEY) is not owner
        assert b"1" == await redis.get(KEY)
        await redis.aclose()


async def test_a_hanging_node_is_left_after_failover(tmp_path: Path) -> None:
    """Callers give up before the connection does; the next attempt tries another node."""
    async with cluster(tmp_path / "cluster", replicas=3) as nodes:
        owner = await nodes.owner(KEY)
        redis = connect(owner.url)
        await redis.set(KEY, 1)
        await redis.wait(1, 5000)
        owner.freeze()

        async def answers() -> bool:
            async with asyncio.timeout(0.5):
                return bool(await redis.get(KEY))

        await wait_until(answers)
        await redis.aclose()


async def test_a_cluster_without_one_node_fails_until_it_is_back(nodes: Cluster, client: Redis) -> None:
    """By default a cluster with missing slots serves no commands."""
    other = (await nodes.others(KEY))[0]
    await client.set(KEY, 1)
    await other.kill()

    async def fails() -> bool:
        try:
            await client.set(KEY, 1)
        except REDIS_ERRORS:
            return True
        return False

    await wait_until(fails)
    await other.start()
    await wait_until(lambda: client.set(KEY, 2))


def test_the_number_of_known_nodes_is_limited() -> None:
    """The owner of the slot comes first, then the nodes of the URL."""
    seed = Address("seed", 1)
    nodes = Nodes([seed], KEY)
    reply = [[slot, slot, [b"10.0.0.%d" % (slot % 200), 1000 + slot, b"id"]] for slot in range(16384)]
    owner = nodes.update(seed, reply)
    assert owner == nodes.likely_owner
    nodes.mark_failed(owner)
    assert seed == nodes.likely_owner
    assert datastore.MAX_NODES == len(nodes._nodes)


@pytest.mark.parametrize("host", [None, b"", b"?"])
def test_a_node_without_a_host_has_that_of_the_reply(host: bytes | None) -> None:
    """Such a cluster is reached by one name for all nodes."""
    source = Address("source", 1)
    assert Address("source", 7000) == Nodes([source], KEY).update(source, [[0, 16383, [host, 7000, b"id"]]])
