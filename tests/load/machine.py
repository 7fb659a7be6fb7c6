"""The machine: which process runs on which core, what processes have used, and its description for the report."""

import os
import platform
import resource
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")

IDLE_SHARE = 0.05
"""The share of a core below which servers count as idle."""
IDLE_TIMEOUT = 10.0
POLL_INTERVAL = 0.25


class Cores:
    """Servers run on one core; clients, and the datastores, which in production are other machines, on the others."""

    def __init__(self) -> None:
        cores = sorted(os.sched_getaffinity(0))
        self.server = set(cores[-1:])
        self.load = set(cores[:-1]) or self.server

    @contextmanager
    def on_server_core(self) -> Iterator[None]:
        """Start processes within the block on the servers' core."""
        os.sched_setaffinity(0, self.server)
        try:
            yield
        finally:
            os.sched_setaffinity(0, self.load)

    @contextmanager
    def on_load_cores(self) -> Iterator[None]:
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, self.load)
        try:
            yield
        finally:
            os.sched_setaffinity(0, before)


def cpu_seconds(pids: Iterable[int]) -> float:
    """Return the processor seconds that these processes have used on all cores; an ended process counts as 0."""
    total = 0
    for pid in pids:
        with suppress(OSError):
            # The process name in parentheses may contain anything: the fields begin after the last one.
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
    return total / TICKS


def resident_bytes(pids: Iterable[int]) -> int:
    page = os.sysconf("SC_PAGE_SIZE")
    return sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * page for pid in pids)


def wait_until_idle(pids: Callable[[], list[int]]) -> None:
    """Wait until these processes have finished earlier work, for a limited time."""
    deadline = time.monotonic() + IDLE_TIMEOUT
    used = cpu_seconds(pids())
    while time.monotonic() < deadline:
        time.sleep(POLL_INTERVAL)
        before, used = used, cpu_seconds(pids())
        if used - before <= IDLE_SHARE * POLL_INTERVAL:
            return


def allow_open_files() -> int:
    """Raise the limit of open files as far as possible, for this process and its children. Returns the limit."""
    _, hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard_limit, hard_limit))
    return hard_limit


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
