"""The schedule of a run of the whole suite: which tests run in which process, and in which order.

See "Parallel runs" in README.md.
"""

import os
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

MAX_PROCESSES = 4
"""Each process has datastores of its own. A container may have less of the machine than the cores that it sees."""
PROCESSES = min(len(os.sched_getaffinity(0)) + 2, MAX_PROCESSES)
"""Two more than there are cores: most tests wait more than they compute."""
WAITING_PROCESSES = 2
"""How many more processes of the default run begin with tests that mostly wait."""

TIME_SENSITIVE = (
    "tests/datastores/test_cluster.py",
    "tests/realtime/test_cluster_bus.py",
    "tests/http/test_limits.py",
    "tests/realtime/test_bus.py",
    "tests/http/test_request_deadlines.py",
    "tests/realtime/test_presence.py",
    "tests/realtime/test_websocket.py",
    "tests/realtime/test_connection.py",
    "tests/datastores/test_redis.py",
    "tests/realtime/test_timer_wheel.py",
    "tests/datastores/test_batcher.py",
    "tests/realtime/test_coalescer.py",
    "tests/datastores/test_leased_task.py",
)
"""Tests that measure fractions of a second, or have timers that short, the longest first. All of them take four minutes
and 10 s of processor time: they run from the start, and their waiting costs nothing."""

MOSTLY_WAITING = (
    *TIME_SENSITIVE,
    "tests/push/test_pushes.py",
    "tests/webhooks/",
    "tests/datastores/",
    "tests/posts/test_notification_outbox.py",
    "tests/search/",
    "tests/realtime/",
    "tests/http/",
)
"""Tests that take five times as long as they compute, or longer."""

SAME_PROCESS = ("tests/e2e/", "tests/protocol/", "tests/security/")
"""Folders that run in one process each: their tests share servers, a browser, and background scenarios that run from
the first test to the last."""

FAULTS = "tests/faults/"
"""Each of these tests takes long and shares nothing: any process may run any of them."""

DEFAULT_RUN, LONG_RUN = "not scenario", "scenario"
"""The values of `-m` that select the default run, from `addopts`, and the long one."""

LONGEST_FIRST = (
    *SAME_PROCESS,
    "tests/interop/",
    "tests/test_load.py",
    "tests/test_soak.py",
    "tests/config/test_reverse_proxies.py",
    FAULTS,
    "tests/processes/test_supervisor.py",
    "tests/web/",
    "tests/chat/test_group_service.py",
    "tests/chat/test_membership_races.py",
    "tests/commands/test_delete_user.py",
    "tests/push/test_crashes.py",
    "tests/chat/test_history_start.py",
    "tests/examples/",
    "tests/notifications/test_groups.py",
    "tests/chat/test_invitations.py",
    "tests/chat/test_append.py",
    "tests/test_pages.py",
    "tests/commands/test_command_line.py",
    "tests/telemetry/test_tracing.py",
)
"""A run begins with these: else every process but one would wait for the last of them."""


def work_unit(nodeid: str) -> str:
    """Return the name of the unit that the test is in. One process runs all tests of a unit, one after the other."""
    file = nodeid.partition("::")[0]
    if nodeid.startswith(FAULTS):
        return nodeid
    return next((folder for folder in SAME_PROCESS if file.startswith(folder)), file)


def mostly_waits(nodeid: str) -> bool:
    return nodeid.startswith(MOSTLY_WAITING)


def rank(nodeid: str) -> tuple[bool, int]:
    """Return the sort key of the test's unit: those that wait last, and of each kind the long ones first."""
    waits = mostly_waits(nodeid)
    order = MOSTLY_WAITING if waits else LONGEST_FIRST
    unit = work_unit(nodeid)
    return waits, next((rank for rank, start in enumerate(order) if unit.startswith(start)), len(order))


class UnitScheduling(LoadScopeScheduling):
    """Hands out the units in the order of the tests, to WAITING_PROCESSES first those that mostly wait."""

    def _split_scope(self, nodeid: str) -> str:
        return work_unit(nodeid)

    def _assign_work_unit(self, node: WorkerController) -> None:
        waits = self.nodes.index(node) < WAITING_PROCESSES
        if fitting := next((unit for unit in self.workqueue if mostly_waits(unit) == waits), None):
            self.workqueue.move_to_end(fitting, last=False)
        super()._assign_work_unit(node)


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return 0, for one process, for a part of a suite, without capture, and on named datastores, which tests flush."""
    option = config.option
    part = config.args_source is config.ArgsSource.ARGS or option.keyword or getattr(option, "lf", False)
    part = part or option.markexpr not in (DEFAULT_RUN, LONG_RUN)
    named = os.environ.get("MONGODB_URI") or os.environ.get("REDIS_URL")
    if part or named or option.capture == "no":
        return 0
    return PROCESSES + WAITING_PROCESSES if option.markexpr == DEFAULT_RUN else PROCESSES


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> UnitScheduling:
    config.option.loadscopereorder = False
    return UnitScheduling(config, log)


def is_xdist_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if is_xdist_worker(config):
        items.sort(key=lambda item: rank(item.nodeid))
