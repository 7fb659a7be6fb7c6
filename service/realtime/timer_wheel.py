"""Timers that all connections share: one loop callback a second, instead of a task or a timer for each."""

import asyncio
from collections import defaultdict
from typing import Protocol


class Timer(Protocol):
    next_tick: int
    """The tick at which `tick` is wanted next; only the TimerWheel changes it."""

    def tick(self, now: float) -> float:
        """Do what is due at `now` (the loop's time); return the time of the next call."""
        ...


class TimerWheel:
    """Calls each of its members about when it asked to be called, to the second; late rather than early.

    Members are kept by the second in which they are due, so a tick costs only what is due in it.
    """

    def __init__(self) -> None:
        self._buckets: defaultdict[int, set[Timer]] = defaultdict(set)
        self._handle: asyncio.TimerHandle | None = None
        self._next = 0

    def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._next = int(loop.time())
        self._handle = loop.call_later(1, self._tick, loop)

    def close(self) -> None:
        if self._handle:
            self._handle.cancel()
        self._buckets.clear()

    def schedule(self, when: float, timer: Timer) -> None:
        """Call `timer.tick` at `when` (the loop's time) in place of the time set for it before."""
        self.cancel(timer)
        timer.next_tick = max(int(when) + 1, self._next + 1)
        self._buckets[timer.next_tick].add(timer)

    def cancel(self, timer: Timer) -> None:
        bucket = self._buckets.get(timer.next_tick)
        if bucket is not None:
            bucket.discard(timer)
            if not bucket:
                del self._buckets[timer.next_tick]

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        self._handle = loop.call_later(1, self._tick, loop)
        now = loop.time()
        # A loop that was held up makes up for the seconds it missed.
        while self._next < int(now):
            self._next += 1
            for timer in self._buckets.pop(self._next, ()):
                self.schedule(timer.tick(now), timer)
