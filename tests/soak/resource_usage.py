"""The resources of a server's workers: memory, open files, threads and tasks."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import httpx

PAGE = os.sysconf("SC_PAGE_SIZE")


class ResourceUsage(NamedTuple):
    """A sample at `second` of the run. `memory`: resident bytes that are not shared; `handled`: actions and events so
    far."""

    second: float
    memory: int
    files: int
    threads: int
    tasks: int
    handled: int


async def measure(http: httpx.AsyncClient, pids: Sequence[int], second: float, handled: int) -> ResourceUsage:
    """Measure the sums over these processes. The number of tasks comes from /metrics."""
    text = (await http.get("/metrics")).text
    tasks = next(int(float(line.split()[1])) for line in text.splitlines() if line.startswith("loa_tasks "))
    memory = files = threads = 0
    for pid in pids:
        process = Path(f"/proc/{pid}")
        _, resident, shared, *_ = map(int, (process / "statm").read_text().split())
        memory += (resident - shared) * PAGE
        files += len(list((process / "fd").iterdir()))
        threads += len(list((process / "task").iterdir()))
    return ResourceUsage(second, memory, files, threads, tasks, handled)


def memory_growth_rate(samples: Sequence[ResourceUsage]) -> float:
    """Return the growth of memory in bytes per second over the second half of the samples, by least squares.

    Caches fill during the first half.
    """
    second_half = samples[len(samples) // 2 :]
    middle = sum(one.second for one in second_half) / len(second_half)
    spread = sum((one.second - middle) ** 2 for one in second_half)
    return sum((one.second - middle) * one.memory for one in second_half) / spread if spread else 0.0


def draw_chart(samples: Sequence[ResourceUsage]) -> str:
    """Return an SVG of the memory over time. The axis begins at 0, so that constant memory looks level."""
    most, last = max(one.memory for one in samples), samples[-1].second or 1
    points = " ".join(f"{600 * one.second / last:.1f},{200 - 190 * one.memory / most:.1f}" for one in samples)
    return (
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='-10 -10 620 240' font-family='sans-serif' font-size='12'>"
        "<rect x='-10' y='-10' width='620' height='240' fill='#fff'/>"
        "<path d='M0,0V200H600' fill='none' stroke='#999'/>"
        f"<polyline points='{points}' fill='none' stroke='#0c6a60' stroke-width='1.5'/>"
        f"<text x='4' y='8'>{most / 1e6:.0f} MB</text>"
        f"<text x='600' y='216' text-anchor='end'>{last:.0f} s</text></svg>\n"
    )
