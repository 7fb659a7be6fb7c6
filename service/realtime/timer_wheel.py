"""Timers that all connections share: one event loop callback a second instead of a task or a loop timer for each."""

import asyncio
from collections import defaultdict
from typing import Protocol

import structlog

from service.common.tasks import count_failure

log = structlog.get_logger()

FAILURE_PAUSE = 5.0
"""Seconds until a timer whose `tick` failed is called again."""


class Timer(Protocol):
    next_tick: int
    """The second of the loop's clock in which `tick` is called next. Only the TimerWheel changes it."""

    def tick(self, now: float) -> float:
        """Do what is due at `now`; return when to be called next. Both are times of the event loop, in seconds."""
        ...


class TimerWheel:
    """Calls each scheduled timer about when it asked to be called, to the second; late rather than early.

    Timers are grouped by the second in which they are due, so each second costs only what is due in it. A timer that
    fails is logged, counted and called again later; the other timers are not affected.
    """

    def __init__(self) -> None:
        self._timers_by_tick: defaultdict[int, set[Timer]] = defaultdict(set)
        self._handle: asyncio.TimerHandle | None = None
        self._last_tick = 0

    def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._last_tick = int(loop.time())
        self._handle = loop.call_later(1, self._run, loop)

    def close(self) -> None:
        if self._handle:
            self._handle.cancel()
        self._timers_by_tick.clear()

    def schedule(self, when: float, timer: Timer) -> None:
        """Call `timer.tick` at `when` (a time of the event loop, in seconds) instead of at the time set before."""
        self.cancel(timer)
        timer.next_tick = max(int(when) + 1, self._last_tick + 1)
        self._timers_by_tick[timer.next_tick].add(timer)

    def cancel(self, timer: Timer) -> None:
        timers = self._timers_by_tick.get(timer.next_tick)
        if timers is not None:
            timers.discard(timer)
            if not timers:
                del self._timers_by_tick[timer.next_tick]

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        self._handle = loop.call_later(1, self._run, loop)
        now = loop.time()
        # If the loop was blocked, run the ticks of the seconds that it missed, too.
        while self._last_tick < int(now):
            self._last_tick += 1
            for timer in self._timers_by_tick.pop(self._last_tick, ()):
                try:
                    when = timer.tick(now)
                except Exception:
                    count_failure("timer")
                    log.exception("timer_failed")
                    when = now + FAILURE_PAUSE
                self.schedule(when, timer)
