"""A queue of deliveries to one receiver: new ones are attempted directly, stored ones when they are due."""

import asyncio
import math
import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from service.common.tasks import run_together


class Identified(Protocol):
    @property
    def id(self) -> str: ...


Delivery = TypeVar("Delivery", bound=Identified)
Outcome = TypeVar("Outcome")


class Deliveries(Protocol[Delivery, Outcome]):
    """The deliveries to one receiver. What a method raises ends the queue."""

    async def due(self, limit: int, without: Collection[str]) -> Sequence[Delivery]:
        """Return up to `limit` stored deliveries whose time has come; none whose id is in `without`."""
        ...

    async def until_next(self, rested: bool, without: Collection[str]) -> float | None:
        """Return the seconds until the next look, if nothing is due now; None ends the queue. After each attempt there
        is a look, too.

        `rested`: the queue has not been woken since the last look. `without`: as for `due`."""
        ...

    async def attempt(self, delivery: Delivery) -> Outcome:
        """Make one attempt. Any number run at the same time."""
        ...

    async def settle(self, delivery: Delivery, outcome: Outcome) -> bool | None:
        """Store what became of an attempt, one after the other. Returns whether the receiver works, None if the attempt
        has not shown it."""
        ...


@dataclass(slots=True)
class _Job(Generic[Delivery]):
    """A delivery that this process is to attempt."""

    delivery: Delivery
    settled: "asyncio.Future[None]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    started: bool = False
    withdrawn: bool = False


class DeliveryQueue(Generic[Delivery, Outcome]):
    """Attempts deliveries until they are settled, `concurrency` at the same time.

    What is stored of a delivery, and whether the queue has it, change together, under `lock`: a delivery is in the
    queue once, and is not taken from the store while it is being settled. A process that is killed leaves what it has
    stored; another queue takes it from there.

    With `max_pause`, a receiver that fails gets one attempt at a time, after pauses that become longer.
    """

    def __init__(
        self, deliveries: Deliveries[Delivery, Outcome], *, concurrency: int, batch: int, max_pause: float = 0.0
    ) -> None:
        """`batch`: deliveries that are taken from the store at once. `max_pause`: seconds."""
        self._deliveries = deliveries
        self._concurrency = concurrency
        self._batch = batch
        self._max_pause = max_pause
        self._queue: asyncio.Queue[_Job[Delivery]] = asyncio.Queue()
        self._jobs: dict[str, _Job[Delivery]] = {}
        self._wake = asyncio.Event()
        self._failures = 0
        self._failed_at = -math.inf
        self._paused_until = 0.0
        self.lock = asyncio.Lock()

    def __contains__(self, id: str) -> bool:
        """Return whether the delivery is to be attempted, or is being attempted or settled."""
        return id in self._jobs

    @property
    def is_failing(self) -> bool:
        """Whether the last attempt has shown that the receiver does not work."""
        return self._failures > 0

    def wake(self) -> None:
        """Look at once whether something is due."""
        self._wake.set()

    async def run(self) -> None:
        """Attempt what is submitted and what is due, until `Deliveries.until_next` returns None."""
        await run_together(self._take_due(), *(self._work() for _ in range(self._concurrency)))

    def submit(self, delivery: Delivery) -> "asyncio.Future[None]":
        """Attempt a delivery that the queue does not have. The future is done once it is settled."""
        self._jobs[delivery.id] = job = _Job(delivery)
        self._queue.put_nowait(job)
        return job.settled

    def withdraw(self, ids: Iterable[str]) -> None:
        """Do not attempt those of these deliveries whose attempt has not begun."""
        for id in ids:
            job = self._jobs.get(id)
            if job and not job.started:
                job.withdrawn = True
                del self._jobs[id]
        self._wake_if_room()

    async def _take_due(self) -> None:
        rested = False
        while True:
            self._wake.clear()
            if not self._has_room:
                await self._wake.wait()
                continue
            await asyncio.sleep(max(0.0, self._paused_until - time.monotonic()))
            async with self.lock:
                due = await self._deliveries.due(1 if self._is_slow else self._batch, self._jobs.keys())
                for delivery in due:
                    self.submit(delivery)
            if due:
                rested = False
                continue
            seconds = await self._deliveries.until_next(rested, self._jobs.keys())
            if seconds is None and not self._wake.is_set():
                return
            rested = not await self._woken_within(seconds or 0.0)

    @property
    def _is_slow(self) -> bool:
        return self.is_failing and self._max_pause > 0

    @property
    def _has_room(self) -> bool:
        return not self._jobs if self._is_slow else self._queue.qsize() < self._concurrency

    def _wake_if_room(self) -> None:
        if self._has_room:
            self._wake.set()

    async def _woken_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return False
        return True

    async def _work(self) -> None:
        while True:
            job = await self._queue.get()
            if job.withdrawn:
                self._wake_if_room()
                continue
            job.started = True
            began = time.monotonic()
            outcome = await self._deliveries.attempt(job.delivery)
            async with self.lock:
                self._note(await self._deliveries.settle(job.delivery, outcome), began)
                del self._jobs[job.delivery.id]
                job.settled.set_result(None)
            self._wake_if_room()

    def _note(self, works: bool | None, began: float) -> None:
        """Note what an attempt that began then has shown. Those that fail together are one failure."""
        if works:
            self._failures = 0
        elif works is False and began >= self._failed_at:
            self._failures += 1
            self._failed_at = time.monotonic()
            if self._is_slow:
                # Bounded: after a thousand failures, a float would not hold the power.
                pause = min(self._max_pause, 2.0 ** min(self._failures - 1, 30))
                self._paused_until = self._failed_at + pause
