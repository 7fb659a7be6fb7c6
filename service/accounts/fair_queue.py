"""A queue in which callers take turns, so that one with many requests delays the others by one request at most."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager

from service.common.errors import RateLimited, Unavailable


class FairQueue:
    """Lets `slots` requests run at a time. The others wait in one queue per caller, and the queues take turns."""

    def __init__(self, slots: int, max_requests: int, max_per_caller: int | None = None) -> None:
        """`max_requests`: of all callers, running or waiting; `max_per_caller`: waiting ones of one (None: any)."""
        self._free_slots = slots
        self._max_requests = max_requests
        self._max_per_caller = max_per_caller
        self._requests = 0
        self._queues: dict[Hashable, deque[asyncio.Future[None]]] = {}
        """Only queues that are not empty, in the order of their turns."""

    @asynccontextmanager
    async def turn(self, caller: Hashable) -> AsyncIterator[None]:
        """Wait for a slot, which is the caller's within the block.

        Raises RateLimited if this caller has too many requests waiting. If all callers together have too many, the last
        request of the one with most of them gets Unavailable.
        """
        own = len(self._queues.get(caller, ()))
        if self._max_per_caller is not None and own >= self._max_per_caller:
            raise RateLimited(retry_after=1)
        if self._requests >= self._max_requests:
            self._refuse_longest(own)
        self._requests += 1
        try:
            await self._take_slot(caller)
            try:
                yield
            finally:
                self._release_slot()
        finally:
            self._requests -= 1

    async def _take_slot(self, caller: Hashable) -> None:
        if self._free_slots:
            self._free_slots -= 1
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queues.setdefault(caller, deque()).append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                # The slot came at the same moment.
                self._release_slot()
            raise

    def _refuse_longest(self, own: int) -> None:
        """Make room by refusing the last request of the longest queue.

        Raises Unavailable if no queue is longer than the caller's, which now has `own` requests, would become.
        """
        error = Unavailable("Too many people are signing in at once.", retry_after=2)
        longest = max(self._queues.values(), key=len, default=deque())
        if len(longest) <= own + 1:
            raise error
        waiter = longest.pop()
        if not waiter.done():
            waiter.set_exception(error)

    def _release_slot(self) -> None:
        """Give a slot to the caller whose turn is next, whose queue then goes to the end."""
        while self._queues:
            caller = next(iter(self._queues))
            queue = self._queues.pop(caller)
            waiter = queue.popleft()
            if queue:
                self._queues[caller] = queue
            if not waiter.done():
                waiter.set_result(None)
                return
        self._free_slots += 1
