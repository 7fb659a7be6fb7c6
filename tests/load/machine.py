"""The machine: who runs on which core, what a process has used of it, and what to call it in a report."""

import os
import platform
import resource
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")

CALM = 0.05
"""The share of a core below which servers count as idle."""
CALM_WITHIN = 10.0
LOOK = 0.25


class Cores:
    """Servers on one core; clients, and the datastores, which in production are other machines, on the rest."""

    def __init__(self) -> None:
        cores = sorted(os.sched_getaffinity(0))
        self.server = set(cores[-1:])
        self.load = set(cores[:-1]) or self.server

    @contextmanager
    def of_server(self) -> Iterator[None]:
        """What is started within runs where servers do."""
        os.sched_setaffinity(0, self.server)
        try:
            yield
        finally:
            os.sched_setaffinity(0, self.load)

    @contextmanager
    def of_load(self) -> Iterator[None]:
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, self.load)
        try:
            yield
        finally:
            os.sched_setaffinity(0, before)


def cpu_seconds(pids: Iterable[int]) -> float:
    """What these processes have used until now, of all cores. One that has ended counts as nothing."""
    total = 0
    for pid in pids:
        with suppress(OSError):
            # The name, in brackets, may hold anything: what counts begins after the last one.
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
    return total / TICKS


def resident_bytes(pids: Iterable[int]) -> int:
    page = os.sysconf("SC_PAGE_SIZE")
    return sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * page for pid in pids)


def settle(pids: Callable[[], list[int]]) -> None:
    """Wait until these processes have nothing left to do from what was before; not for ever."""
    deadline = time.monotonic() + CALM_WITHIN
    used = cpu_seconds(pids())
    while time.monotonic() < deadline:
        time.sleep(LOOK)
        before, used = used, cpu_seconds(pids())
        if used - before <= CALM * LOOK:
            return


def allow_open_files() -> int:
    """Raise the limit as far as it goes, for this process and what it starts; how many files that is."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most


def description() -> dict[str, str | int]:
    names = [line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    memory = [int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal")]
    return {
        "processor": names[0] if names else platform.processor(),
        "cores": os.cpu_count() or 1,
        "memory_gib": round(memory[0] / 2**20) if memory else 0,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load_average": f"{os.getloadavg()[0]:.2f}",
    }


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []
