"""The timers that all connections share."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from service.common import tasks
from service.realtime import timer_wheel
from service.realtime.timer_wheel import TimerWheel


class CountingTimer:
    """Counts its ticks, and fails on the first ones."""

    def __init__(self, failures: int = 0) -> None:
        self.next_tick = 0
        self.ticks = 0
        self.ticked = asyncio.Event()
        self._failures = failures

    def tick(self, now: float) -> float:
        self.ticks += 1
        self.ticked.set()
        if self.ticks <= self._failures:
            raise RuntimeError
        return now + 1000


@pytest.fixture
async def wheel() -> AsyncIterator[TimerWheel]:
    wheel = TimerWheel()
    wheel.start()
    yield wheel
    wheel.close()


async def test_a_timer_is_called_when_it_is_due_and_not_before(wheel: TimerWheel) -> None:
    """About a second late at most."""
    due, later, cancelled = CountingTimer(), CountingTimer(), CountingTimer()
    now = asyncio.get_running_loop().time()
    wheel.schedule(now, due)
    wheel.schedule(now + 1000, later)
    wheel.schedule(now, cancelled)
    wheel.cancel(cancelled)
    await asyncio.wait_for(due.ticked.wait(), 5)
    assert (1, 0, 0) == (due.ticks, later.ticks, cancelled.ticks)


async def test_a_timer_is_only_called_at_the_time_set_last(wheel: TimerWheel) -> None:
    """`schedule` replaces the time set before."""
    timer, other = CountingTimer(), CountingTimer()
    now = asyncio.get_running_loop().time()
    wheel.schedule(now, timer)
    wheel.schedule(now + 1000, timer)
    wheel.schedule(now, other)
    await asyncio.wait_for(other.ticked.wait(), 5)
    assert 0 == timer.ticks


async def test_a_timer_that_fails_affects_no_other_and_is_called_again(
    wheel: TimerWheel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All are due in the same second; each failure is counted."""
    monkeypatch.setattr(timer_wheel, "FAILURE_PAUSE", 0.1)
    failures: list[str] = []
    tasks.on_failure(failures.append)
    timers = [CountingTimer(failures=index % 2) for index in range(20)]
    try:
        for timer in timers:
            wheel.schedule(asyncio.get_running_loop().time(), timer)
        for timer in timers:
            await asyncio.wait_for(timer.ticked.wait(), 5)
        async with asyncio.timeout(5):
            while any(timer.ticks < 2 for timer in timers[1::2]):
                await asyncio.sleep(0.05)
    finally:
        tasks.remove_on_failure(failures.append)
    assert ["timer"] * 10 == failures
    assert [1, 2] * 10 == [timer.ticks for timer in timers]
