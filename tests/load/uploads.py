"""Many slow uploads at the same time, then as many slow downloads: `python -m tests.load.uploads`. Measures the memory
of the server's workers.

It starts a Loa of its own, on embedded datastores. Memory has to stay flat: it may grow with the number of transfers,
but not with their size.
"""

import argparse
import asyncio
import os
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar

import httpx

from tests.running import Server, running

PIECE = 16 * 1024
TIMEOUT = 3600.0
"""Seconds for one transfer."""

Result = TypeVar("Result")


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


async def measure(server: Server, count: int, size: int, rate: int) -> None:
    """Measure `count` uploads, and then downloads of what was stored."""
    limits = httpx.Limits(max_connections=count + 1)
    async with httpx.AsyncClient(base_url=f"{server.url}/api/v1", timeout=TIMEOUT, limits=limits) as http:
        body = {"username": f"uploader{time.time_ns()}"[:32], "password": "a long passphrase"}
        token = (await http.post("/auth/register", json=body)).json()["access_token"]
        http.headers["Authorization"] = f"Bearer {token}"

        async def upload(size: int) -> httpx.Response:
            return await http.post("/attachments", content=slowly(size, rate))

        async def download(attachment_id: str) -> int:
            """Return the number of bytes, which are read at `rate`."""
            began, received = time.monotonic(), 0
            async with http.stream("GET", f"/attachments/{attachment_id}") as response:
                async for piece in response.aiter_raw(PIECE):
                    received += len(piece)
                    await asyncio.sleep(max(0.0, began + received / rate - time.monotonic()))
            return received

        await download((await upload(PIECE)).json()["id"])
        responses = await watched(server, "uploads", [upload(size) for _ in range(count)])
        statuses = Counter(response.status_code for response in responses)
        print(f"responses: {dict(statuses)}")
        stored = [response.json()["id"] for response in responses if response.status_code == 201]
        received = await watched(server, "downloads", [download(attachment_id) for attachment_id in stored])
        print(f"whole downloads: {received.count(size)}")


async def watched(server: Server, name: str, transfers: Sequence[Coroutine[Any, Any, Result]]) -> list[Result]:
    """Run all transfers at the same time and print how long they took and the memory meanwhile. Returns their
    results."""
    before = peak = memory_of(server)
    began = time.monotonic()
    tasks = [asyncio.create_task(transfer) for transfer in transfers]
    while not all(task.done() for task in tasks):
        peak = max(peak, memory_of(server))
        await asyncio.sleep(0.5)
    seconds = time.monotonic() - began
    print(f"{len(tasks)} {name} in {seconds:.0f} s; the workers: {before:.0f} MB before, at most {peak:.0f} MB")
    return [task.result() for task in tasks]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--uploads", type=int, default=200)
    parser.add_argument("--megabytes", type=float, default=25, help="of each transfer")
    parser.add_argument("--rate", type=int, default=64, help="kilobytes a second of each transfer")
    options = parser.parse_args()
    size = int(options.megabytes * 2**20)
    with tempfile.TemporaryDirectory() as directory:
        environment = {"DATA_DIR": f"{directory}/data", "RATE_LIMITS": "off"}
        with running(environment, Path(directory) / "server.log") as server:
            asyncio.run(measure(server, options.uploads, size, options.rate * 1024))


if __name__ == "__main__":
    main()
