"""The queue of the outbox: documents that wait for dispatch, in lanes, so that a busy post does not hold up others."""

from collections import deque
from collections.abc import Sequence

from bson import ObjectId

from service.posts.pending import Pending

BUSY = 8
"""Documents of one lane that wait: from then on it gets batches of its own."""


class OutboxQueue:
    """Documents in the order of their arrival, each in the lane of its post. While a batch has documents of a lane, no
    other has: those that arrive meanwhile are dispatched together, and in order."""

    def __init__(self) -> None:
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
        for lane, waiting in list(self._lanes.items()):
            if lane in self._taken:
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
        self._taken.difference_update(pending.lane for pending in batch)
