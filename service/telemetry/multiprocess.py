"""Metrics of several processes behind one socket: a scrape reaches one of them and shall tell of all.

prometheus-client has each process keep its values in files of a common directory, named by an environment variable;
whoever is asked reads them all. Counters of a process that has ended stay, for a sum must not fall; its gauges go.
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

Read = TypeVar("Read")

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
ATTEMPTS = 20
PAUSE = 0.05
"""Seconds between attempts to read what another process is writing."""
PREFIX = "loa-metrics-"
OWNED = re.compile(PREFIX + r"(\d+)-.*")
LIVE_GAUGE = re.compile(r"gauge_live[a-z]*_(\d+)\.db")


@contextmanager
def shared() -> Iterator[None]:
    """For the process that starts the workers, around all their lives: they, and this one, share their metrics."""
    _sweep()
    with tempfile.TemporaryDirectory(prefix=f"{PREFIX}{os.getpid()}-") as directory:
        os.environ[VARIABLE] = directory
        # prometheus-client looks at the variable when it is imported, which it is by now.
        values.ValueClass = values.get_value_class()
        try:
            yield
        finally:
            del os.environ[VARIABLE]
            values.ValueClass = values.get_value_class()


def read(form: Callable[[CollectorRegistry], Read]) -> Read | None:
    """The metrics of all processes in that form; None where each has its own. Blocks while it reads their files."""
    if not (directory := os.environ.get(VARIABLE)):
        return None
    # One that was killed could not take its gauges along.
    for file in Path(directory).iterdir():
        if (match := LIVE_GAUGE.fullmatch(file.name)) and not _lives(int(match[1])):
            mark_process_dead(int(match[1]), directory)
    registry = CollectorRegistry()
    MultiProcessCollector(registry, directory)
    for _ in range(ATTEMPTS):
        try:
            return form(registry)
        except (struct.error, FileNotFoundError):
            # A process that is just starting has made its file and not written to it yet.
            time.sleep(PAUSE)
    return form(registry)


def forget_this_process() -> None:
    """Take this process's gauges away: it has nothing live any more."""
    if directory := os.environ.get(VARIABLE):
        mark_process_dead(os.getpid(), directory)


def _sweep() -> None:
    """Take away what one that was killed could not."""
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        if (match := OWNED.fullmatch(path.name)) and not _lives(int(match[1])):
            shutil.rmtree(path, ignore_errors=True)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
