"""What a server holds: descriptors, connections, memory. Afterwards it has to be what it was before."""

import asyncio
from pathlib import Path
from typing import NamedTuple

from tests.faults.front import Front
from tests.faults.waiting import PATIENCE
from tests.running import Server, eventually

DATASTORE_CONNECTIONS = 120
"""Descriptors of each worker that may come to stay: the pools of MongoDB and of Redis fill up under load."""
MEMORY_SHARE = 1.35
MEMORY_SLACK = 24 << 20
"""Bytes beside the share: what the allocator keeps, and pools and caches that fill up once."""


class Holding(NamedTuple):
    """Of all of a server's workers together; `memory` is resident, in bytes."""

    workers: int
    descriptors: int
    clients: int
    memory: int


def holding(server: Server) -> Holding:
    pids = server.workers
    _, _, port = server.url.rpartition(":")
    return Holding(
        len(pids),
        sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in pids),
        clients(int(port)),
        sum(_resident(pid) for pid in pids),
    )


def clients(port: int) -> int:
    """Connections to `port`, seen from the server's side, that are not over: the kernel's word."""
    found = 0
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, here, _, state, *_ = line.split()
        if int(here.rpartition(":")[2], 16) == port and state in ("01", "04", "05", "08", "09"):
            found += 1
    return found


async def check(server: Server, front: Front, before: Holding) -> Holding:
    """All clients have left: nothing of them is left. What is held now. Raises AssertionError."""
    _, _, port = server.url.rpartition(":")
    metrics: dict[str, float] = {}
    async with asyncio.timeout(PATIENCE):
        while True:
            metrics = await front.metrics()
            live = {name: value for name, value in metrics.items() if name.startswith("loa_connections{") and value}
            if not live:
                break
            await asyncio.sleep(0.5)  # the gauges of the other workers are looked at every few seconds
    await front.hang_up()
    await asyncio.to_thread(eventually, lambda: clients(int(port)) == 0, PATIENCE)
    after = holding(server)
    assert after.descriptors <= before.descriptors + DATASTORE_CONNECTIONS * after.workers, (before, after)
    assert after.memory <= before.memory * MEMORY_SHARE + MEMORY_SLACK * after.workers, (before, after)
    return after


def _resident(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096
