"""Leak detection: a server's descriptors, connections, tasks, queues and memory must return to the baseline."""

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import NamedTuple

from tests.faults.api_client import ApiClient
from tests.faults.change_notifier import WAIT_TIMEOUT
from tests.running import Server, eventually

DATASTORE_CONNECTIONS = 120
"""Additional descriptors per worker that may remain: the connection pools of MongoDB and Redis fill up under load."""
MEMORY_SHARE = 1.35
MEMORY_SLACK = 24 << 20
"""Bytes per worker on top of MEMORY_SHARE: what the allocator keeps, and pools and caches that fill up once."""
PASSING_TASKS = 2
"""Tasks per worker that come and go while it is idle: each wait with a timeout adds one."""
LEASED_TASKS = 8
"""Tasks of a worker that takes leases over from a process that has ended: followers of changes, periodic work."""
LIVE_STATES = ("01", "04", "05", "08", "09")
"""TCP states in /proc/net/tcp: established or closing, but not TIME_WAIT."""


class WorkerCounts(NamedTuple):
    """Sums of what the workers counted themselves by `hook/sitecustomize.py`."""

    tasks: int
    connections: int
    queued: int


class ResourceUsage(NamedTuple):
    """Sums over all workers of a server. `connections`: as the kernel counts them; `memory`: resident bytes."""

    workers: int
    descriptors: int
    connections: int
    memory: int
    counts: WorkerCounts


def measure_usage(server: Server, folder: Path) -> ResourceUsage:
    """Measure the server's resources. `folder`: where the workers write their counts."""
    pids = server.workers
    descriptors = sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in pids)
    counted = count_in_workers(server, folder)  # it also frees unused memory
    return ResourceUsage(len(pids), descriptors, open_connections(server), resident_memory(server), counted)


def resident_memory(server: Server) -> int:
    """Return the resident bytes of the server's workers."""
    return sum(
        int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") for pid in server.workers
    )


def open_connections(server: Server) -> int:
    """Return the number of open connections to the server's port, as the kernel counts them."""
    port = int(server.url.rpartition(":")[2])
    found = 0
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, here, _, state, *_ = line.split()
        found += int(here.rpartition(":")[2], 16) == port and state in LIVE_STATES
    return found


def count_in_workers(server: Server, folder: Path) -> WorkerCounts:
    """Ask each worker for its counts and wait until all have answered."""
    pids = server.workers
    for pid in pids:
        (folder / str(pid)).unlink(missing_ok=True)
        os.kill(pid, signal.SIGUSR2)
    eventually(lambda: all((folder / str(pid)).exists() for pid in pids))
    counts = [[int(number) for number in (folder / str(pid)).read_text().split()] for pid in pids]
    return WorkerCounts(*(sum(column) for column in zip(*counts, strict=True)))


async def check_for_leaks(
    server: Server, api: ApiClient, before: ResourceUsage, folder: Path, *, leases_taken_over: bool
) -> ResourceUsage:
    """Check that nothing is left of the clients, which have all disconnected. Raises AssertionError.

    `leases_taken_over`: whether another process has ended since `before`, which may have held the leases.
    """
    await api.close_idle_connections()
    await asyncio.to_thread(eventually, lambda: open_connections(server) == 0, WAIT_TIMEOUT)

    # The last connections may still be closing, and a task announces to Redis which users have left.
    now = await asyncio.to_thread(count_in_workers, server, folder)
    deadline = time.monotonic() + WAIT_TIMEOUT
    most = before.counts.tasks + PASSING_TASKS * before.workers + LEASED_TASKS * leases_taken_over
    while now.connections or now.queued or now.tasks > most:
        assert time.monotonic() < deadline, f"left over: {now}; the baseline was {before.counts}"
        await asyncio.sleep(0.2)
        now = await asyncio.to_thread(count_in_workers, server, folder)
    after = measure_usage(server, folder)
    assert after.descriptors <= before.descriptors + DATASTORE_CONNECTIONS * after.workers, (before, after)
    assert after.memory <= before.memory * MEMORY_SHARE + MEMORY_SLACK * after.workers, (before, after)
    return after
