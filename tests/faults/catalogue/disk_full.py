"""The disk of the embedded database is full: a clear error, no ack, and writes work again once there is space."""

import asyncio
import errno
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from service.common.tasks import cancel_and_wait
from service.datastores.data_directory import DataDirectory
from service.datastores.embedded import MongoServer
from tests.faults.catalogue import RequirementMissing
from tests.faults.environment import FaultEnvironment
from tests.faults.traffic import message_traffic
from tests.faults.workload import Workload

QUICK = [{"seconds": 1}]
ERROR_TIMEOUT = 30.0
"""Seconds until a write fails: the database may have space left in files that it allocated earlier."""
RECOVERY_TIMEOUT = 40.0
"""Seconds until writes work: a database that exited is started again after a delay that grows to ten seconds."""
STOP_LIMIT = 3.0
CHUNK = 64 * 1024
LONG_TEXT = "\N{PARTY POPPER}" * 3900
"""A message of 16 KB."""


async def run(env: FaultEnvironment, *, megabytes: int = 96, clients: int = 6, seconds: int = 10) -> None:
    """Use a disk of `megabytes`, and keep it full for `seconds` after the first error."""
    disk = env.directory / "disk"
    await env.enter(_mounted_disk(disk, megabytes))
    mongo = await env.enter(_database(disk / "data"))
    env.datastores.mongodb_uri = mongo.uri
    server = await env.start_server()
    workload = await Workload.start(env, clients)
    refused = env.ledger.refusals
    # Long messages fill the remaining space quickly.
    async with (
        message_traffic(workload.sockets[:2], workload.group, 0.01, LONG_TEXT),
        workload.comment_traffic(pause=0.05),
    ):
        await asyncio.sleep(0.5)
        with _full_disk(disk / "ballast"):
            began = time.monotonic()
            await workload.sockets[0].changes.wait_until(
                lambda: refused["unavailable"] and refused["503"], "refused", ERROR_TIMEOUT
            )
            env.ledger.note("first errors after", f"{time.monotonic() - began:.1f} s")
            await asyncio.sleep(seconds)
            acknowledged = len(env.ledger.messages.acknowledged)
            assert 200 == await asyncio.to_thread(server.status, "/healthz")
        recovered_at = time.monotonic()
        await workload.sockets[0].changes.wait_until(
            lambda: len(env.ledger.messages.acknowledged) > acknowledged, "a message is stored again", RECOVERY_TIMEOUT
        )
        env.ledger.note("stored again after", f"{time.monotonic() - recovered_at:.1f} s")
        await asyncio.sleep(1)
    assert not env.ledger.closes, env.ledger.closes
    mongo.kill()  # acknowledged messages must be on the disk, not only in the database's memory
    await workload.verify()


@asynccontextmanager
async def _mounted_disk(folder: Path, megabytes: int) -> AsyncIterator[None]:
    """Mount a disk of that size, in memory."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0700", "tmpfs", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, check=False)
    except FileNotFoundError:
        raise RequirementMissing("mount") from None
    if done.returncode:
        raise RequirementMissing("permission to mount a tmpfs")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@asynccontextmanager
async def _database(folder: Path) -> AsyncIterator[MongoServer]:
    """Run the embedded database and restart it when it ends, as the service does."""
    with DataDirectory(folder) as directory:
        server = MongoServer(directory, print)
        await server.start()
        supervising = asyncio.create_task(server.supervise())
        try:
            yield server
        finally:
            await cancel_and_wait(supervising)
            await server.stop(STOP_LIMIT)


@contextmanager
def _full_disk(ballast: Path) -> Iterator[None]:
    """Fill the disk with a file `ballast` until the block ends."""
    try:
        with ballast.open("wb", buffering=0) as file:
            while file.write(b"\0" * CHUNK) == CHUNK:
                pass
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
    try:
        yield
    finally:
        ballast.unlink()
