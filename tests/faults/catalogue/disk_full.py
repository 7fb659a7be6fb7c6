"""The disk under the embedded database is full: a clear error, no ack, and it goes on when there is space again."""

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
from tests.faults.catalogue import Missing
from tests.faults.crowd import Crowd
from tests.faults.stage import Stage
from tests.faults.writers import talk

QUICK = [{"seconds": 1}]
NOTICED = 30.0
"""Seconds until somebody is refused: there may be room in files that the database has made long before."""
BACK = 40.0
"""Seconds until it is stored again; a database that has ended is started again, after a pause that grows to ten."""
STOP_LIMIT = 3.0
PIECE = 64 * 1024
LONG = "\N{PARTY POPPER}" * 3900
"""16 KB."""


async def run(stage: Stage, *, megabytes: int = 96, clients: int = 6, seconds: int = 10) -> None:
    """`megabytes` of disk, full for so many `seconds` after it was noticed."""
    disk = stage.directory / "disk"
    await stage.enter(_mounted(disk, megabytes))
    mongo = await stage.enter(_database(disk / "data"))
    stage.datastores.mongodb_uri = mongo.uri
    server = await stage.serve()
    crowd = await Crowd.gather(stage, clients)
    refused = stage.account.refused
    # Of long messages: a file that has room is soon full.
    async with talk(crowd.sockets[:2], crowd.group, 0.01, LONG), crowd.commenting(pause=0.05):
        await asyncio.sleep(0.5)
        with _full(disk / "ballast"):
            began = time.monotonic()
            await crowd.sockets[0].changes.until(lambda: refused["unavailable"] and refused["503"], "refused", NOTICED)
            stage.account.note("refused after", f"{time.monotonic() - began:.1f} s")
            await asyncio.sleep(seconds)
            before = len(stage.account.messages.acknowledged)
            assert 200 == await asyncio.to_thread(server.status, "/healthz")
        back = time.monotonic()
        await crowd.sockets[0].changes.until(
            lambda: len(stage.account.messages.acknowledged) > before, "it is stored again", BACK
        )
        stage.account.note("stored again after", f"{time.monotonic() - back:.1f} s")
        await asyncio.sleep(1)
    assert not stage.account.ended, stage.account.ended
    mongo.kill()  # what was acknowledged is on the disk, and not only in the database's mind
    await crowd.verify()


@asynccontextmanager
async def _mounted(folder: Path, megabytes: int) -> AsyncIterator[None]:
    """A disk of that size, in memory."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0700", "tmpfs", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, check=False)
    except FileNotFoundError:
        raise Missing("mount") from None
    if done.returncode:
        raise Missing("the right to mount a disk of a certain size")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@asynccontextmanager
async def _database(folder: Path) -> AsyncIterator[MongoServer]:
    """The embedded one, kept running as the service keeps it."""
    with DataDirectory(folder) as directory:
        server = MongoServer(directory, print)
        await server.start()
        keeping = asyncio.create_task(server.keep())
        try:
            yield server
        finally:
            await cancel_and_wait(keeping)
            await server.stop(STOP_LIMIT)


@contextmanager
def _full(ballast: Path) -> Iterator[None]:
    """Take all the space there is on the disk of that file, for as long as the block runs."""
    try:
        with ballast.open("wb", buffering=0) as file:
            while file.write(b"\0" * PIECE) == PIECE:
                pass
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
    try:
        yield
    finally:
        ballast.unlink()
