"""The lock that keeps time-sensitive tests and all others apart."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from threading import Barrier, Lock

import pytest

from tests.group_lock import group_lock

GROUPS = ("cats", "dogs")


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(6) as pool:
        yield pool


def test_a_group_holds_the_lock_together(pool: ThreadPoolExecutor, tmp_path: Path) -> None:
    together = Barrier(3)

    def hold() -> None:
        with group_lock(tmp_path, *GROUPS):
            together.wait(10)

    for held in [pool.submit(hold) for _ in range(3)]:
        held.result()


def test_the_other_group_waits_for_the_last_holder(pool: ThreadPoolExecutor, tmp_path: Path) -> None:
    def hold_for_the_others() -> bool:
        with group_lock(tmp_path, *reversed(GROUPS)):
            return released

    released = False
    with ExitStack() as last:
        with ExitStack() as first:
            first.enter_context(group_lock(tmp_path, *GROUPS))
            last.enter_context(group_lock(tmp_path, *GROUPS))
            waiting = pool.submit(hold_for_the_others)
        # One of two has released it.
        last.enter_context(group_lock(tmp_path, *GROUPS))
        assert not waiting.done()
        released = True
    assert waiting.result(10)


def test_two_groups_never_hold_it_at_the_same_time(pool: ThreadPoolExecutor, tmp_path: Path) -> None:
    holders = dict.fromkeys(GROUPS, 0)
    counting = Lock()

    def hold(own: str, other: str) -> None:
        for _ in range(200):
            with group_lock(tmp_path, own, other):
                with counting:
                    holders[own] += 1
                    assert not holders[other]
                with counting:
                    holders[own] -= 1

    for held in [pool.submit(hold, *groups) for groups in (GROUPS, GROUPS[::-1]) for _ in range(3)]:
        held.result(60)
