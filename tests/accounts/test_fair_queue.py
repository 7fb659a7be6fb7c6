"""The queue in front of the password hashes: callers take turns."""

import asyncio
from collections.abc import Hashable

import pytest

from service.accounts.fair_queue import FairQueue
from service.common.errors import RateLimited, Unavailable


class Load:
    """Requests that hold their slot until the test releases one after another."""

    def __init__(self, queue: FairQueue) -> None:
        self._queue = queue
        self._release = asyncio.Semaphore(0)
        self.ran: list[Hashable] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def add(self, *callers: Hashable) -> None:
        """Start a request for each, in this order."""
        for caller in callers:
            self.tasks.append(asyncio.create_task(self._request(caller)))
            await asyncio.sleep(0)

    async def finish(self) -> list[BaseException | None]:
        for _ in self.tasks:
            self._release.release()
        return list(await asyncio.gather(*self.tasks, return_exceptions=True))

    async def _request(self, caller: Hashable) -> None:
        async with self._queue.turn(caller):
            self.ran.append(caller)
            await self._release.acquire()


async def test_callers_take_turns() -> None:
    """Someone with one request waits for one request of each other caller, however many these have."""
    load = Load(FairQueue(1, 100))
    await load.add("a", "a", "a", "a", "b", "b", "c")
    assert [None] * 7 == await load.finish()
    assert ["a", "a", "b", "c", "a", "b", "a"] == load.ran


async def test_no_more_than_the_slots_run_at_once() -> None:
    load = Load(FairQueue(2, 100))
    await load.add("a", "b", "c", "d")
    assert ["a", "b"] == load.ran
    assert [None] * 4 == await load.finish()
    again = Load(load._queue)
    await again.add("a", "b", "c")
    assert ["a", "b"] == again.ran
    await again.finish()


async def test_a_caller_with_too_many_requests_is_rate_limited() -> None:
    load = Load(FairQueue(1, 100, max_per_caller=2))
    await load.add("a", "a", "a", "a", "b")
    results = await load.finish()
    assert [3] == [index for index, result in enumerate(results) if isinstance(result, RateLimited)]
    assert ["a", "a", "b", "a"] == load.ran


async def test_a_full_queue_refuses_those_who_have_most_in_it() -> None:
    """A caller with few requests can still wait."""
    load = Load(FairQueue(1, 5))
    await load.add("a", "a", "a", "a", "a", "a", "b", "c")
    results = await load.finish()
    assert [3, 4, 5] == [index for index, result in enumerate(results) if isinstance(result, Unavailable)]
    assert ["a", "a", "b", "c", "a"] == load.ran


async def test_without_any_room_everyone_is_refused() -> None:
    with pytest.raises(Unavailable):
        async with FairQueue(2, 0).turn("a"):
            raise AssertionError


async def test_a_cancelled_request_gives_its_place_away() -> None:
    """Whether it waits, has just been given a slot, or runs."""
    queue = FairQueue(1, 100)
    load = Load(queue)
    await load.add("a", "b", "c", "d")
    load.tasks[1].cancel()
    await asyncio.sleep(0)
    load.tasks[0].cancel()
    await asyncio.sleep(0)
    # The slot of `a` goes to `c`, which is cancelled before it has noticed.
    load.tasks[2].cancel()
    results = await load.finish()
    assert [True, True, True, False] == [isinstance(result, asyncio.CancelledError) for result in results]
    assert "d" == load.ran[-1]
    async with asyncio.timeout(1), queue.turn("e"):
        pass
