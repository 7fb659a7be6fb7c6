"""The bus on a Redis Cluster whose nodes fail and whose slots move."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from service.datastores.redis import TAG
from service.realtime.addresses import Addresses
from service.realtime.redis_bus import RedisBus
from tests.cluster import Cluster, Node, cluster
from tests.realtime.test_bus import Receiver

CHANNEL = Addresses(TAG, 0).control.decode()


class Process:
    """The bus of one process, the messages it has received, and whether it was notified of a gap."""

    def __init__(self, url: str) -> None:
        self.bus = RedisBus(url)
        self.received = Receiver(self.bus)
        self.gap = asyncio.Event()
        self.bus.on_gap(self.gap.set)


class TwoProcesses:
    """A cluster and two processes on it."""

    def __init__(self, cluster: Cluster, one: Process, two: Process) -> None:
        self.cluster = cluster
        self.one = one
        self.two = two
        self._published = 0

    async def owner(self) -> Node:
        return await self.cluster.owner(CHANNEL)

    async def exchange_messages(self) -> None:
        """Each process publishes a message, which the other receives."""
        for publisher, receiver in ((self.one, self.two), (self.two, self.one)):
            self._published += 1
            publisher.bus.publish("greeting", {"n": self._published})
            async with asyncio.timeout(10):
                while not any(head["n"] == self._published for head, _ in receiver.received.messages):
                    await receiver.received.wait_for(len(receiver.received.messages) + 1)

    async def wait_for_gaps(self) -> None:
        async with asyncio.timeout(20):
            await self.one.gap.wait()
            await self.two.gap.wait()


@pytest.fixture
async def pair(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[TwoProcesses]:
    async with AsyncExitStack() as stack:
        nodes = await stack.enter_async_context(cluster(tmp_path / "cluster", replicas=getattr(request, "param", 0)))
        processes = []
        for node in nodes.nodes[:2]:
            process = Process(node.url)
            stack.push_async_callback(process.bus.close)
            await process.bus.start()
            processes.append(process)
        pair = TwoProcesses(nodes, *processes)
        await pair.exchange_messages()
        yield pair


async def test_the_bus_follows_a_slot_to_another_node(pair: TwoProcesses) -> None:
    """Messages published on the new node before all have subscribed there may be missed: a gap is reported."""
    old = await pair.owner()
    await pair.cluster.move(CHANNEL, (await pair.cluster.others(CHANNEL))[0])
    await pair.wait_for_gaps()
    await pair.exchange_messages()
    assert [(CHANNEL.encode(), 0)] == await old.redis.pubsub_shardnumsub(CHANNEL)
    assert 2 == await pair.one.bus.subscriber_count()


async def test_the_bus_recovers_when_a_killed_node_restarts(pair: TwoProcesses) -> None:
    """Each process still handles its own messages; after the restart, all are notified of the gap."""
    owner = await pair.owner()
    await owner.kill()
    pair.one.bus.publish("greeting", {"n": 100})
    assert {"n": 100} == pair.one.received.messages[-1][0]
    async with asyncio.timeout(10):
        while pair.one.bus.connected or pair.two.bus.connected:
            await asyncio.sleep(0.01)
    await owner.start()
    await pair.wait_for_gaps()
    await pair.exchange_messages()


@pytest.mark.parametrize("pair", [3], indirect=True)
async def test_the_bus_moves_to_the_replica_of_a_killed_node(pair: TwoProcesses) -> None:
    """The node does not restart."""
    await (await pair.owner()).kill()
    await pair.wait_for_gaps()
    await pair.exchange_messages()


@pytest.mark.parametrize("pair", [3], indirect=True)
async def test_the_bus_moves_to_the_replica_of_a_frozen_node(pair: TwoProcesses) -> None:
    """Only the missing replies reveal it."""
    (await pair.owner()).freeze()
    await pair.wait_for_gaps()
    await pair.exchange_messages()


async def test_the_failure_of_another_node_does_not_affect_the_bus(pair: TwoProcesses) -> None:
    """If the cluster keeps serving the slots that it still has."""
    for node in pair.cluster.nodes:
        await node.redis.config_set("cluster-require-full-coverage", "no")
    other = (await pair.cluster.others(CHANNEL))[0]
    await other.kill()
    await pair.exchange_messages()
    assert not pair.one.gap.is_set()
    assert not pair.two.gap.is_set()
