"""`python -m tests.soak --minutes 30`: check that a server under moderate load does not use ever more resources.

It prints the workers' resource usage every few seconds, draws a chart, and fails if memory grew over the second half,
or if files, threads or tasks are left over after all clients have gone.

Memory does grow at first, by two megabytes in ten minutes, while bounded caches fill: the router's, of 1,024 paths, and
the last numbers of 10,000 posts.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from uuid import uuid4

import httpx

from tests.running import Server, running
from tests.soak.resource_usage import ResourceUsage, draw_chart, measure, memory_growth_rate
from tests.soak.user import RESPONSE_TIMEOUT, SoakUser

SAMPLES = 60
MAX_MEMORY_GROWTH = 2_000_000
"""Bytes by which memory may grow over the second half, whatever the length of the run: what allocators keep."""
MAX_LEFTOVER = 20
"""Files, threads and tasks per worker that may remain: pooled connections to the datastores, and waits with a
timeout."""
CLOSE_TIMEOUT = 20.0
"""Seconds for the server to release closed connections."""


async def soak(
    server: Server, users: int, seconds: float, random_source: random.Random
) -> tuple[list[ResourceUsage], ResourceUsage]:
    """Run the load. Returns the samples, and what is left over afterwards."""
    counts: Counter[str] = Counter()
    began = time.monotonic()
    # A separate client for sampling, because the users' connections must be gone at the end.
    async with httpx.AsyncClient(base_url=server.url, timeout=RESPONSE_TIMEOUT, trust_env=False) as monitoring_client:

        async def sample() -> ResourceUsage:
            return await measure(monitoring_client, server.workers, time.monotonic() - began, counts.total())

        async with httpx.AsyncClient(
            base_url=server.url,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=users),
            trust_env=False,
        ) as http:
            soak_users = [SoakUser(http, f"soak_{uuid4().hex[:12]}", random_source, counts) for _ in range(users)]
            for user in soak_users:
                await user.register()
            groups = [await soak_users[0].create_group(soak_users[1:]) for _ in range(3)]
            before = await sample()
            samples: list[ResourceUsage] = []
            runs = asyncio.gather(*(user.run(groups, seconds) for user in soak_users))
            while not runs.done():
                await asyncio.wait([runs], timeout=seconds / SAMPLES)
                samples.append(await sample())
                print_sample(samples[-1])
            await runs
        print(", ".join(f"{count:,} {kind}" for kind, count in sorted(counts.items())))
        deadline = time.monotonic() + CLOSE_TIMEOUT
        while True:
            after = await sample()
            left = after._replace(
                files=after.files - before.files,
                threads=after.threads - before.threads,
                tasks=after.tasks - before.tasks,
            )
            if max(left.files, left.tasks) <= MAX_LEFTOVER * len(server.workers) or time.monotonic() > deadline:
                return samples, left
            await asyncio.sleep(0.2)


def print_sample(now: ResourceUsage) -> None:
    print(
        f"{now.second:7.1f} s  {now.memory / 1e6:7.1f} MB  {now.files:5} files  {now.threads:3} threads  "
        f"{now.tasks:3} tasks  {now.handled:9,} done",
        flush=True,
    )


def main() -> int:
    parser = argparse.ArgumentParser("python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0, help="length of the run")
    parser.add_argument("--people", type=int, default=40, help="number of users")
    parser.add_argument("--workers", type=int, default=1, help="worker processes of the server")
    parser.add_argument("--seed", type=int, default=1, help="seed of the random choices")
    parser.add_argument("--chart", type=Path, help="file for an SVG chart of the memory over time")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="loa-soak-") as directory:
        environment = {
            "DATA_DIR": f"{directory}/data",
            "RATE_LIMITS": "off",
            "LOG_LEVEL": "WARNING",
            "WEB_CONCURRENCY": str(options.workers),
            "ACCESS_TOKEN_TTL": "86400",
        }
        with running(environment, Path(directory) / "server.log") as server:
            samples, left = asyncio.run(soak(server, options.people, options.minutes * 60, random.Random(options.seed)))
    if options.chart:
        options.chart.write_text(draw_chart(samples))
    second_half = samples[len(samples) // 2 :]
    growth = memory_growth_rate(samples) * (second_half[-1].second - second_half[0].second)
    passed = growth < MAX_MEMORY_GROWTH and max(left.files, left.threads, left.tasks) <= MAX_LEFTOVER * options.workers
    leftover_text = f"left: {left.files} files, {left.threads} threads, {left.tasks} tasks"
    print(
        f"{'flat' if passed else 'NOT FLAT'}: memory {growth / 1e6:+.1f} MB over the second half, from "
        f"{second_half[0].memory / 1e6:.1f} to {second_half[-1].memory / 1e6:.1f} MB; {leftover_text}"
    )
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
