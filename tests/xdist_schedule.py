"""The schedule of a run of the whole suite: which tests run in which process, in which order, and beside which others.

See "Parallel runs" in README.md.
"""

import fcntl
import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

MAX_PROCESSES = 3
"""Each process has datastores of its own. A container may have less of the machine than the cores that it sees."""
PROCESSES = min(len(os.sched_getaffinity(0)) + 1, MAX_PROCESSES)
"""One more than there are cores: most tests wait more than they compute."""

EXCLUSIVE = (
    "tests/datastores/test_cluster.py",
    "tests/datastores/test_batcher.py",
    "tests/datastores/test_redis.py",
    "tests/http/test_request_deadlines.py",
    "tests/http/test_limits.py",
    "tests/realtime/",
)
"""Tests that measure fractions of a second, or have timers that short: no other test runs meanwhile."""

SAME_PROCESS = ("tests/e2e/", "tests/protocol/", "tests/security/")
"""Folders that run in one process each: their tests share servers, a browser, and background scenarios that run from
the first test to the last."""

FAULTS = "tests/faults/"
"""Each of these tests takes long and shares nothing: any process may run any of them."""

SUITES = ("not scenario", "scenario")
"""The values of `-m` that select the default run, from `addopts`, and the long one."""

LONGEST_FIRST = (
    *SAME_PROCESS,
    FAULTS,
    "tests/processes/test_supervisor.py",
    "tests/commands/test_delete_user.py",
    "tests/web/",
    "tests/commands/test_command_line.py",
    "tests/test_load.py",
    "tests/telemetry/test_tracing.py",
    "tests/test_soak.py",
)
"""A run begins with these: else every process but one would wait for the last of them."""


def work_unit(nodeid: str) -> str:
    """Return the name of the unit that the test is in. One process runs all tests of a unit, one after the other."""
    file = nodeid.partition("::")[0]
    if file.startswith(EXCLUSIVE):
        return "exclusive"
    if nodeid.startswith(FAULTS):
        return nodeid
    return next((folder for folder in SAME_PROCESS if file.startswith(folder)), file)


def rank(nodeid: str) -> int:
    """Return the position of the test's unit: the long ones first, and the exclusive one, for which all wait, last."""
    unit = work_unit(nodeid)
    if unit == "exclusive":
        return len(LONGEST_FIRST) + 1
    return next((rank for rank, start in enumerate(LONGEST_FIRST) if unit.startswith(start)), len(LONGEST_FIRST))


class UnitScheduling(LoadScopeScheduling):
    """Hands out the units in the order of the tests."""

    def _split_scope(self, nodeid: str) -> str:
        return work_unit(nodeid)


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return 0, for one process, for a part of a suite, without capture, and on named datastores, which tests flush."""
    option = config.option
    part = config.args_source is config.ArgsSource.ARGS or option.keyword or getattr(option, "lf", False)
    part = part or option.markexpr not in SUITES
    named = os.environ.get("MONGODB_URI") or os.environ.get("REDIS_URL")
    return 0 if part or named or option.capture == "no" else PROCESSES


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> UnitScheduling:
    config.option.loadscopereorder = False
    return UnitScheduling(config, log)


def is_xdist_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if is_xdist_worker(config):
        items.sort(key=lambda item: rank(item.nodeid))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Run a test with its fixtures under a lock: exclusive for an exclusive test, shared for any other."""
    if not is_xdist_worker(item.config):
        return (yield)
    with (Path(item.config.option.basetemp).parent / "machine.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX if work_unit(item.nodeid) == "exclusive" else fcntl.LOCK_SH)
        return (yield)
