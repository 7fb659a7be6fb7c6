"""The bus, presence and what else is kept in a Redis Cluster, while its nodes go and its slots move."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from redis.asyncio import Redis

from service.datastores.redis import connect
from service.realtime import redis_bus
from service.realtime.redis_bus import PUBSUB_CHANNEL, RedisBus
from tests.cluster import Cluster, Node, cluster
from tests.realtime.test_bus import Heard


class Process:
    """One process's bus, what it hears, and whether it has been told of a gap."""

    def __init__(self, url: str) -> None:
        self.redis: Redis = connect(url)
        self.bus = RedisBus(self.redis)
        self.heard = Heard(self.bus)
        self.gap = asyncio.Event()
        self.bus.on_gap(self.gap.set)

    async def close(self) -> None:
        await self.bus.close()
        await self.redis.aclose()


class Stage:
    """A cluster, and two processes on it that hear each other."""

    def __init__(self, cluster: Cluster, one: Process, two: Process) -> None:
        self.cluster = cluster
        self.one = one
        self.two = two
        self._said = 0

    async def owner(self) -> Node:
        return await self.cluster.owner(PUBSUB_CHANNEL)

    async def speak(self) -> None:
        """Each says something, and hears the other."""
        for speaker, hearer in ((self.one, self.two), (self.two, self.one)):
            self._said += 1
            speaker.bus.publish("greeting", {"n": self._said})
            async with asyncio.timeout(10):
                while not any(head["n"] == self._said for head, _ in hearer.heard.messages):
                    await hearer.heard.reaches(len(hearer.heard.messages) + 1)

    async def told_of_a_gap(self) -> None:
        async with asyncio.timeout(20):
            await self.one.gap.wait()
            await self.two.gap.wait()


@pytest.fixture
async def stage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack:
        nodes = await stack.enter_async_context(cluster(tmp_path / "cluster", replicas=getattr(request, "param", 0)))
        processes = []
        for node in nodes.nodes[:2]:
            process = Process(node.url)
            stack.push_async_callback(process.close)
            await process.bus.start()
            processes.append(process)
        stage = Stage(nodes, *processes)
        await stage.speak()
        yield stage


async def test_a_slot_that_is_moved_takes_the_bus_along(stage: Stage) -> None:
    """What was said on the new node before everybody was there may be missed, and they are told so."""
    old = await stage.owner()
    await stage.cluster.move(PUBSUB_CHANNEL, (await stage.cluster.others(PUBSUB_CHANNEL))[0])
    await stage.told_of_a_gap()
    await stage.speak()
    assert [(PUBSUB_CHANNEL.encode(), 0)] == await old.redis.pubsub_shardnumsub(PUBSUB_CHANNEL)
    assert 2 == await stage.one.bus.subscriber_count()


async def test_a_node_that_is_killed_and_comes_back_brings_the_bus_back(stage: Stage) -> None:
    """Each hears itself meanwhile; when it is back, everybody is told of the gap."""
    owner = await stage.owner()
    await owner.kill()
    stage.one.bus.publish("greeting", {"n": 100})
    assert {"n": 100} == stage.one.heard.messages[-1][0]
    async with asyncio.timeout(10):
        while stage.one.bus.connected or stage.two.bus.connected:
            await asyncio.sleep(0.01)
    await owner.start()
    await stage.told_of_a_gap()
    await stage.speak()


@pytest.mark.parametrize("stage", [3], indirect=True)
async def test_a_replica_takes_the_bus_over(stage: Stage) -> None:
    """Its node does not come back."""
    await (await stage.owner()).kill()
    await stage.told_of_a_gap()
    await stage.speak()


@pytest.mark.parametrize("stage", [3], indirect=True)
async def test_a_node_that_hangs_loses_the_bus_to_its_replica(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing says so but that nobody hears even themselves any more."""
    monkeypatch.setattr(redis_bus, "SUBSCRIPTION_TIMEOUT", 3.0)
    monkeypatch.setattr(redis_bus, "HEARTBEAT_INTERVAL", 0.3)
    (await stage.owner()).freeze()
    await stage.told_of_a_gap()
    await stage.speak()


async def test_another_node_that_goes_does_not_concern_the_bus(stage: Stage) -> None:
    """Where the cluster goes on with the slots that it has."""
    for node in stage.cluster.nodes:
        await node.redis.config_set("cluster-require-full-coverage", "no")
    other = (await stage.cluster.others(PUBSUB_CHANNEL))[0]
    await other.kill()
    await stage.speak()
    assert not stage.one.gap.is_set()
    assert not stage.two.gap.is_set()
