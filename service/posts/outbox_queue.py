"""The queue of the outbox: documents that wait for dispatch, in lanes, so that a busy post does not hold up others."""

import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from bson import ObjectId

from service.posts.pending import Pending

BUSY = 8
"""Documents of one lane that wait: from then on it gets batches of its own."""
BURST = 0.01
"""Seconds after a batch for which a lane waits for as many documents as there were of it, in the batch and behind."""
MAX_BURST = 16
"""Documents that a lane waits for, at most."""


class _Burst(NamedTuple):
    """How many documents of a lane are waited for, and until when."""

    size: int
    until: float


class OutboxQueue:
    """Documents in the order of their arrival, each in the lane of its post. While a batch has documents of a lane, no
    other has: those that arrive meanwhile are dispatched together, and in order.

    Who comments at the same time often does so again at the same time, in answer to each other. So after a batch with
    several documents of a lane, the lane waits a moment for as many: thousands of connections get them in one write.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` returns seconds."""
        self._clock = clock
        self._bursts: dict[ObjectId, _Burst] = {}
        """Of the lanes whose last batch was released within BURST, the earliest first."""
        self._lanes: dict[ObjectId, deque[Pending]] = {}
        self._taken: set[ObjectId] = set()
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def put(self, pending: Pending) -> None:
        self._lanes.setdefault(pending.lane, deque()).append(pending)
        self._size += 1

    def take(self, limit: int) -> list[Pending]:
        """Return the next batch of at most `limit` documents; it is empty if all that wait are of lanes in other
        batches. Call `release` with it when it has been dispatched."""
        batch: list[Pending] = []
        self._forget_bursts()
        for lane, waiting in list(self._lanes.items()):
            if lane in self._taken or self._is_gathering(lane):
                continue
            busy = len(waiting) >= BUSY
            if batch and (busy or len(batch) + len(waiting) > limit):
                continue
            batch += [waiting.popleft() for _ in range(min(limit, len(waiting)))]
            self._taken.add(lane)
            del self._lanes[lane]
            if waiting:
                # Behind the lanes that wait already.
                self._lanes[lane] = waiting
            if busy:
                break
        self._size -= len(batch)
        return batch

    def release(self, batch: Sequence[Pending]) -> None:
        """Note that a batch has been dispatched, and what it has published is written."""
        until = self._clock() + BURST
        for lane, size in Counter(pending.lane for pending in batch).items():
            self._taken.discard(lane)
            size = min(MAX_BURST, size + len(self._lanes.get(lane, ())))
            if size > 1:
                self._bursts.pop(lane, None)
                self._bursts[lane] = _Burst(size, until)

    def seconds_to_next(self) -> float | None:
        """Return the seconds until a lane no longer waits for more documents; None if none does."""
        until = [burst.until for lane, burst in self._bursts.items() if lane in self._lanes and lane not in self._taken]
        return max(0.0, min(until) - self._clock()) if until else None

    def _is_gathering(self, lane: ObjectId) -> bool:
        burst = self._bursts.get(lane)
        return burst is not None and len(self._lanes[lane]) < burst.size

    def _forget_bursts(self) -> None:
        now = self._clock()
        while self._bursts:
            lane, burst = next(iter(self._bursts.items()))
            if burst.until > now:
                return
            del self._bursts[lane]
