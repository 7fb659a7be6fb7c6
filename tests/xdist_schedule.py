"""Who runs beside whom: the whole suite in several processes, for most of it waits. See "Test it" in README.md."""

import fcntl
import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

PROCESSES = min(len(os.sched_getaffinity(0)), 3)
"""Each has datastores of its own. No test gets less of the machine than where there is one core; and not more than
three, for a container may have less of the machine than the cores that it is shown."""

ALONE = (
    "tests/accounts/test_passwords.py",
    "tests/accounts/test_tokens.py",
    "tests/datastores/test_cluster.py",
    "tests/datastores/test_batcher.py",
    "tests/datastores/test_redis.py",
    "tests/http/test_request_deadlines.py",
    "tests/http/test_limits.py",
    "tests/realtime/",
)
"""What measures fractions of a second, or has timers of so little: nothing else runs meanwhile."""

TOGETHER = ("tests/e2e/", "tests/protocol/", "tests/security/")
"""Folders of which one process runs all: their tests share servers, a browser, and what is waited for from the first
test to the last."""

ONE_BY_ONE = "tests/faults/"
"""Each of these takes long, and shares nothing with the others."""


def unit(nodeid: str) -> str:
    """What `nodeid` is a part of; the parts are run one after the other, by one process."""
    file = nodeid.partition("::")[0]
    if file.startswith(ALONE):
        return "alone"
    if nodeid.startswith(ONE_BY_ONE):
        return nodeid
    return next((folder for folder in TOGETHER if file.startswith(folder)), file)


LONG = (
    *TOGETHER,
    ONE_BY_ONE,
    "tests/processes/test_supervisor.py",
    "tests/commands/test_delete_user.py",
    "tests/web/",
    "tests/commands/test_command_line.py",
    "tests/test_load.py",
    "tests/telemetry/test_tracing.py",
    "tests/test_soak.py",
)
"""What to begin with: else all would wait for the last of these."""


class Units(LoadScopeScheduling):
    """Hands out the units: the long ones first, and at the end what runs alone, before which nobody waits."""

    def _split_scope(self, nodeid: str) -> str:
        return unit(nodeid)


def place(nodeid: str) -> int:
    name = unit(nodeid)
    if name == "alone":
        return len(LONG) + 1
    return next((place for place, start in enumerate(LONG) if name.startswith(start)), len(LONG))


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One process for whoever tries a part of the suite, looks on, or names datastores: those are flushed."""
    option = config.option
    part = config.args_source is config.ArgsSource.ARGS or option.keyword or option.markexpr or option.lf
    named = os.environ.get("MONGODB_URI") or os.environ.get("REDIS_URL")
    return 0 if part or named or option.capture == "no" else PROCESSES


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Units:
    config.option.loadscopereorder = False
    return Units(config, log)


def is_one_of_many(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if is_one_of_many(config):
        items.sort(key=lambda item: place(item.nodeid))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """A test and its fixtures, once it has the machine to itself, or nobody else has."""
    if not is_one_of_many(item.config):
        return (yield)
    with (Path(item.config.option.basetemp).parent / "machine.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX if unit(item.nodeid) == "alone" else fcntl.LOCK_SH)
        return (yield)
