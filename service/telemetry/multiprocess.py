"""Metrics of several worker processes behind one port: a scrape reaches one process and has to report all of them.

prometheus-client lets each process write its values to files in a directory named by an environment variable; the
process that is scraped reads all of them. Counters of an ended process are kept, because a sum must not fall; its
gauges are removed.
"""

# mypy: allow-untyped-calls

import os
import re
import shutil
import struct
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from prometheus_client import CollectorRegistry, values
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

T = TypeVar("T")

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
READ_ATTEMPTS = 20
READ_PAUSE = 0.05
"""Seconds between attempts to read a file that another process is writing."""
DIRECTORY_PREFIX = "loa-metrics-"
DIRECTORY_NAME = re.compile(DIRECTORY_PREFIX + r"(\d+)-.*")
LIVE_GAUGE = re.compile(r"gauge_live[a-z]*_(\d+)\.db")


@contextmanager
def share_metrics() -> Iterator[None]:
    """Let this process and all that it starts within the block share their metrics."""
    _remove_stale_directories()
    with tempfile.TemporaryDirectory(prefix=f"{DIRECTORY_PREFIX}{os.getpid()}-") as directory:
        os.environ[VARIABLE] = directory
        # prometheus-client reads the variable when it is imported, which has happened already.
        values.ValueClass = values.get_value_class()
        try:
            yield
        finally:
            del os.environ[VARIABLE]
            values.ValueClass = values.get_value_class()


def read(render: Callable[[CollectorRegistry], T]) -> T | None:
    """Return `render(registry)` of the shared metrics; None if they are not shared. Blocks while reading files."""
    if not (directory := os.environ.get(VARIABLE)):
        return None
    # A process that was killed could not remove its gauges.
    for file in Path(directory).iterdir():
        if (match := LIVE_GAUGE.fullmatch(file.name)) and not _is_running(int(match[1])):
            mark_process_dead(int(match[1]), directory)
    registry = CollectorRegistry()
    MultiProcessCollector(registry, directory)
    for _ in range(READ_ATTEMPTS):
        try:
            return render(registry)
        except (struct.error, FileNotFoundError):
            # A starting process has created its file and not written to it yet.
            time.sleep(READ_PAUSE)
    return render(registry)


def remove_this_process() -> None:
    """Remove the gauges of this process, which is about to end."""
    if directory := os.environ.get(VARIABLE):
        mark_process_dead(os.getpid(), directory)


def _remove_stale_directories() -> None:
    """Remove the directories of killed servers."""
    for path in Path(tempfile.gettempdir()).glob(f"{DIRECTORY_PREFIX}*"):
        if (match := DIRECTORY_NAME.fullmatch(path.name)) and not _is_running(int(match[1])):
            shutil.rmtree(path, ignore_errors=True)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
