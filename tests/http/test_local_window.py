"""The windows of one process, compared with a list of the times of all requests."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.http import local_window
from service.http.local_window import LocalWindows

PERIOD = 10.0
AMOUNT = 5


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(local_window, "time", clock)
    return clock


@given(pauses=st.lists(st.floats(0, 2 * PERIOD) | st.floats(0, PERIOD / AMOUNT), max_size=80))
def test_no_period_has_more_than_the_limit_and_none_is_refused_without_reason(pauses: list[float]) -> None:
    clock = Clock()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local_window, "time", clock)
        windows = LocalWindows("tests", AMOUNT, PERIOD)
        passed: list[float] = []
        for pause in pauses:
            clock.now += pause
            if windows.hit(windows.window("alice")):
                assert AMOUNT <= sum(clock.now - at <= 1.1 * PERIOD + 1e-6 for at in passed)
            else:
                passed.append(clock.now)
    for first, last in zip(passed, passed[AMOUNT:], strict=False):
        assert last - first >= PERIOD - 1e-6


def test_a_request_passes_after_the_wait(clock: Clock) -> None:
    windows = LocalWindows("tests", AMOUNT, PERIOD)
    for _ in range(AMOUNT):
        assert 0 == windows.hit(windows.window("alice"))
        clock.now += 0.7
    waits = []
    for _ in range(2 * AMOUNT):
        if wait := windows.hit(windows.window("alice")):
            waits.append(wait)
            clock.now += wait
            assert 0 == windows.hit(windows.window("alice"))
    assert waits
    assert all(0 < wait <= 1.1 * PERIOD for wait in waits)


def test_the_number_of_keys_is_bounded(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those in use are kept."""
    monkeypatch.setattr(local_window, "MAX_KEYS", 100)
    windows = LocalWindows("tests", AMOUNT, PERIOD)
    for number in range(1000):
        windows.hit(windows.window(f"{number}"))
        clock.now += PERIOD / local_window.BUCKETS / 10
        windows.hit(windows.window("in use"))
    assert 100 == len(windows)
    assert windows.hit(windows.window("in use"))


def test_idle_keys_are_forgotten(clock: Clock) -> None:
    windows = LocalWindows("tests", AMOUNT, PERIOD)
    for number in range(50):
        windows.hit(windows.window(f"{number}"))
    clock.now += 1.2 * PERIOD
    windows.hit(windows.window("new"))
    assert 20 == windows.forget_idle(20)
    assert 30 == windows.forget_idle(1000)
    assert 1 == len(windows)


def test_counts_of_others_are_merged_and_pending_ones_are_kept(clock: Clock) -> None:
    """Also those that arrive while the counts taken are exchanged, and those whose exchange failed."""
    windows = LocalWindows("tests", 100, PERIOD)
    window = windows.window("alice")
    bucket = int(clock.now)
    for _ in range(3):
        windows.hit(window)
    taken = window.take_pending()
    windows.hit(window)
    assert ({bucket: 3}, 1, 4) == (taken, window.pending_total, window.total)
    window.restore(taken)
    assert (4, 4) == (window.pending_total, window.total)
    assert {bucket: 4} == window.take_pending()
    windows.hit(window)
    window.merge({bucket: 40, bucket - 1: 2, bucket - 11: 7})
    assert (1, 43) == (window.pending_total, window.total)


def test_pending_counts_that_nobody_needs_any_more_are_dropped(clock: Clock) -> None:
    windows = LocalWindows("tests", 100, PERIOD)
    for _ in range(9):
        windows.hit(windows.window("alice"))
        clock.now += 0.1
    clock.now += 1.2 * PERIOD
    window = windows.window("alice")
    assert (0, 0, {}) == (window.total, window.pending_total, window.take_pending())


@pytest.mark.parametrize("ahead", [0.5 * PERIOD, 3 * PERIOD, 1000 * PERIOD])
def test_a_clock_that_is_set_back_blocks_nobody_for_longer_than_two_periods(clock: Clock, ahead: float) -> None:
    """Nor do counts of a process whose clock is ahead."""
    windows = LocalWindows("tests", AMOUNT, PERIOD)
    clock.now += ahead
    for name in ("alice", "bob"):
        for _ in range(AMOUNT):
            assert 0 == windows.hit(windows.window(name))
    clock.now -= ahead
    window = windows.window("bob")
    window.take_pending()
    window.merge({int(clock.now + ahead): AMOUNT})
    for name in ("alice", "bob"):
        waited = 0.0
        while wait := windows.hit(windows.window(name)):
            clock.now += wait
            waited += wait
        assert waited <= 2.1 * PERIOD
        for _ in range(3 * AMOUNT):
            clock.now += PERIOD / AMOUNT * 1.11
            assert 0 == windows.hit(windows.window(name))
    clock.now += 2.2 * PERIOD
    assert 2 == windows.forget_idle(10)
