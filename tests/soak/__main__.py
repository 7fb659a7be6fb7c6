"""`python -m tests.soak --minutes 30`: a server at moderate load, and whether it takes ever more of the machine.

It prints what the workers take every few seconds, draws a chart, and fails where memory grew over the second half, or
where files, threads or tasks are left once everyone has gone.

Memory does grow at first, by two megabytes in ten minutes, while caches fill that have a bound: the router's, of 1,024
paths, and the last numbers of 10,000 posts.
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
from tests.soak.crowd import ANSWER, Person
from tests.soak.vitals import Vitals, chart, growth, vitals

SAMPLES = 60
ALLOWED = 2_000_000
"""Bytes that memory may have grown by over the second half: what allocators keep, whatever the length of the run."""
KEPT = 20
"""Files, threads and tasks a worker may have more of than before: the connections of the drivers' pools to the
datastores, and what waits with a limit of time just then."""
LET_GO = 20.0
"""Seconds for the server to be done with connections that were closed."""


async def soak(server: Server, people: int, seconds: float, dice: random.Random) -> tuple[list[Vitals], Vitals]:
    """The samples of the run, and what is left after it."""
    done: Counter[str] = Counter()
    began = time.monotonic()
    # One of our own to look with: the crowd's connections shall be gone in the end.
    async with httpx.AsyncClient(base_url=server.url, timeout=ANSWER, trust_env=False) as looking:

        async def look() -> Vitals:
            return await vitals(looking, server.workers, time.monotonic() - began, done.total())

        async with httpx.AsyncClient(
            base_url=server.url,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=people),
            trust_env=False,
        ) as http:
            crowd = [Person(http, f"soak_{uuid4().hex[:12]}", dice, done) for _ in range(people)]
            for person in crowd:
                await person.register()
            rooms = [await crowd[0].talk(crowd[1:]) for _ in range(3)]
            before = await look()
            samples: list[Vitals] = []
            lives = asyncio.gather(*(person.live(rooms, seconds) for person in crowd))
            while not lives.done():
                await asyncio.wait([lives], timeout=seconds / SAMPLES)
                samples.append(await look())
                tell(samples[-1])
            await lives
        print(", ".join(f"{count:,} {kind}" for kind, count in sorted(done.items())))
        deadline = time.monotonic() + LET_GO
        while True:
            after = await look()
            left = after._replace(
                files=after.files - before.files,
                threads=after.threads - before.threads,
                tasks=after.tasks - before.tasks,
            )
            if max(left.files, left.tasks) <= KEPT * len(server.workers) or time.monotonic() > deadline:
                return samples, left
            await asyncio.sleep(0.2)


def tell(now: Vitals) -> None:
    print(
        f"{now.second:7.1f} s  {now.memory / 1e6:7.1f} MB  {now.files:5} files  {now.threads:3} threads  "
        f"{now.tasks:3} tasks  {now.handled:9,} done",
        flush=True,
    )


def main() -> int:
    parser = argparse.ArgumentParser("python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--people", type=int, default=40)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--chart", type=Path, help="where to draw the memory over time, as SVG")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="loa-soak-") as directory:
        environment = {
            "DATA_DIR": f"{directory}/data",
            "RATE_LIMITS": "off",
            "LOG_LEVEL": "WARNING",
            "WEB_CONCURRENCY": str(given.workers),
            "ACCESS_TOKEN_TTL": "86400",
        }
        with running(environment, Path(directory) / "server.log") as server:
            samples, left = asyncio.run(soak(server, given.people, given.minutes * 60, random.Random(given.seed)))
    if given.chart:
        given.chart.write_text(chart(samples))
    half = samples[len(samples) // 2 :]
    grown = growth(samples) * (half[-1].second - half[0].second)
    flat = grown < ALLOWED and max(left.files, left.threads, left.tasks) <= KEPT * given.workers
    left_over = f"left: {left.files} files, {left.threads} threads, {left.tasks} tasks"
    print(
        f"{'flat' if flat else 'NOT FLAT'}: memory {grown / 1e6:+.1f} MB over the second half, from "
        f"{half[0].memory / 1e6:.1f} to {half[-1].memory / 1e6:.1f} MB; {left_over}"
    )
    return 0 if flat else 1


if __name__ == "__main__":
    sys.exit(main())
