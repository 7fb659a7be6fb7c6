"""Many slow uploads at the same time: `python -m tests.load.uploads`. Measures the memory of the server's workers.

It starts a Loa of its own, on embedded datastores. Memory has to stay flat: it may grow with the number of uploads, but
not with what they upload.
"""

import argparse
import asyncio
import os
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import httpx

from tests.running import Server, running

PIECE = 16 * 1024
TIMEOUT = 3600.0
"""Seconds for one upload."""


def memory_of(server: Server) -> float:
    """Return the resident memory of the workers, in megabytes."""
    kilobytes = 0
    for pid in server.workers:
        status = Path(f"/proc/{pid}/status").read_text()
        kilobytes += next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
    return kilobytes / 1024


async def slowly(size: int, rate: int) -> AsyncIterator[bytes]:
    """Yield `size` bytes, `rate` in a second."""
    began, sent, piece = time.monotonic(), 0, os.urandom(PIECE)
    while sent < size:
        yield piece[: size - sent]
        sent += PIECE
        await asyncio.sleep(max(0.0, began + sent / rate - time.monotonic()))


async def measure(server: Server, uploads: int, size: int, rate: int) -> None:
    limits = httpx.Limits(max_connections=uploads + 1)
    async with httpx.AsyncClient(base_url=f"{server.url}/api/v1", timeout=TIMEOUT, limits=limits) as http:
        body = {"username": f"uploader{time.time_ns()}"[:32], "password": "a long passphrase"}
        token = (await http.post("/auth/register", json=body)).json()["access_token"]

        async def upload(size: int) -> int:
            headers = {"Authorization": f"Bearer {token}"}
            return (await http.post("/attachments", content=slowly(size, rate), headers=headers)).status_code

        await upload(PIECE)
        before = peak = memory_of(server)
        began = time.monotonic()
        running_uploads = [asyncio.create_task(upload(size)) for _ in range(uploads)]
        while not all(task.done() for task in running_uploads):
            peak = max(peak, memory_of(server))
            await asyncio.sleep(0.5)
        statuses = Counter(task.result() for task in running_uploads)
    others = "".join(f"; {count} got {status}" for status, count in statuses.items() if status != 201)
    print(f"{statuses[201]} of {uploads} stored after {time.monotonic() - began:.0f} s{others}")
    print(f"memory of the workers: {before:.0f} MB before, at most {peak:.0f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--uploads", type=int, default=200)
    parser.add_argument("--megabytes", type=float, default=25, help="of each upload")
    parser.add_argument("--rate", type=int, default=64, help="kilobytes a second of each upload")
    options = parser.parse_args()
    size = int(options.megabytes * 2**20)
    with tempfile.TemporaryDirectory() as directory:
        environment = {"DATA_DIR": f"{directory}/data", "RATE_LIMITS": "off"}
        with running(environment, Path(directory) / "server.log") as server:
            asyncio.run(measure(server, options.uploads, size, options.rate * 1024))


if __name__ == "__main__":
    main()
