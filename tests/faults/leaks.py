"""What a server holds: descriptors, connections, tasks, queues, memory. Afterwards it has to be what it was before."""

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import NamedTuple

from tests.faults.front import Front
from tests.faults.waiting import PATIENCE
from tests.running import Server, eventually

DATASTORE_CONNECTIONS = 120
"""Descriptors of each worker that may come to stay: the pools of MongoDB and of Redis fill up under load."""
MEMORY_SHARE = 1.35
MEMORY_SLACK = 24 << 20
"""Bytes of each worker beside the share: what the allocator keeps, and pools and caches that fill up once."""
PASSING_TASKS = 2
"""Tasks of each worker that come and go while it is idle: whoever waits with a limit of time has one more for it."""
LIVE_STATES = ("01", "04", "05", "08", "09")
"""Of TCP, in /proc/net/tcp: established, on the way to the end, but not yet only remembered (TIME_WAIT)."""


class Census(NamedTuple):
    """What the workers have counted themselves, by `hook/sitecustomize.py`: in all of them together."""

    tasks: int
    connections: int
    queued: int


class Holding(NamedTuple):
    """Of all of a server's workers together; `clients`: connections that the kernel has; `memory`: resident bytes."""

    workers: int
    descriptors: int
    clients: int
    memory: int
    census: Census


def holding(server: Server, folder: Path) -> Holding:
    """`folder`: where the workers write what they count."""
    pids = server.workers
    descriptors = sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in pids)
    counted = census(server, folder)  # it frees what can be freed
    return Holding(len(pids), descriptors, clients(server), memory(server), counted)


def memory(server: Server) -> int:
    """Resident bytes of its workers."""
    return sum(
        int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") for pid in server.workers
    )


def clients(server: Server) -> int:
    """Connections to its port, seen from its side, that are not over: the kernel's word."""
    port = int(server.url.rpartition(":")[2])
    found = 0
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, here, _, state, *_ = line.split()
        found += int(here.rpartition(":")[2], 16) == port and state in LIVE_STATES
    return found


def census(server: Server, folder: Path) -> Census:
    """Ask each worker, and wait until all have counted."""
    pids = server.workers
    for pid in pids:
        (folder / str(pid)).unlink(missing_ok=True)
        os.kill(pid, signal.SIGUSR2)
    eventually(lambda: all((folder / str(pid)).exists() for pid in pids))
    counts = [[int(number) for number in (folder / str(pid)).read_text().split()] for pid in pids]
    return Census(*(sum(column) for column in zip(*counts, strict=True)))


async def check(server: Server, front: Front, before: Holding, folder: Path) -> Holding:
    """All clients have left: nothing of them is left. What is held now. Raises AssertionError."""
    await front.hang_up()
    await asyncio.to_thread(eventually, lambda: clients(server) == 0, PATIENCE)

    # The last of them may still be on its way out, and a task tells Redis of those who have gone.
    now = await asyncio.to_thread(census, server, folder)
    deadline = time.monotonic() + PATIENCE
    most = before.census.tasks + PASSING_TASKS * before.workers
    while now.connections or now.queued or now.tasks > most:
        assert time.monotonic() < deadline, f"left behind: {now}, and before it was {before.census}"
        await asyncio.sleep(0.2)
        now = await asyncio.to_thread(census, server, folder)
    after = holding(server, folder)
    assert after.descriptors <= before.descriptors + DATASTORE_CONNECTIONS * after.workers, (before, after)
    assert after.memory <= before.memory * MEMORY_SHARE + MEMORY_SLACK * after.workers, (before, after)
    return after
