"""The queue of deliveries, with a store in memory."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

import pytest

from service.datastores.delivery_queue import DeliveryQueue


class Letter(NamedTuple):
    id: str


class Letters:
    """Deliveries that are due at once. An attempt takes until `release`; its outcome is whether the receiver works."""

    def __init__(self, *ids: str) -> None:
        self.stored = [Letter(id) for id in ids]
        self.attempted: list[str] = []
        self.settled: list[str] = []
        self.release = asyncio.Event()
        self.works: Callable[[str], bool | None] = lambda _: True
        self.seconds: float | None = 0.01

    async def due(self, limit: int, without: Collection[str]) -> Sequence[Letter]:
        return [each for each in self.stored if each.id not in without][:limit]

    async def until_next(self, rested: bool, without: Collection[str]) -> float | None:
        return None if rested and self.seconds is None else self.seconds or 0.01

    async def attempt(self, letter: Letter) -> bool | None:
        self.attempted.append(letter.id)
        await self.release.wait()
        return self.works(letter.id)

    async def settle(self, letter: Letter, outcome: bool | None) -> bool | None:
        if letter in self.stored:
            self.stored.remove(letter)
        self.settled.append(letter.id)
        return outcome

    async def until_attempted(self, count: int) -> None:
        async with asyncio.timeout(5):
            while len(self.attempted) < count:
                await asyncio.sleep(0)

    async def until_settled(self, count: int) -> None:
        async with asyncio.timeout(5):
            while len(self.settled) < count:
                await asyncio.sleep(0)


@asynccontextmanager
async def running(
    letters: Letters, *, concurrency: int = 2, max_pause: float = 0.0
) -> AsyncIterator[DeliveryQueue[Letter, bool | None]]:
    queue = DeliveryQueue(letters, concurrency=concurrency, batch=4, max_pause=max_pause)
    task = asyncio.create_task(queue.run())
    yield queue
    task.cancel()
    await asyncio.wait([task])


async def test_each_is_attempted_once_and_a_few_at_a_time() -> None:
    """What is under way is not taken from the store again, however often the queue is woken."""
    letters = Letters(*map(str, range(10)))
    async with running(letters) as queue:
        await letters.until_attempted(2)
        for _ in range(20):
            queue.wake()
            await asyncio.sleep(0)
        assert 2 == len(letters.attempted)
        letters.release.set()
        await letters.until_settled(10)
    assert sorted(letters.attempted) == sorted(letters.settled) == [str(number) for number in range(10)]


async def test_what_is_submitted_waits_for_no_look_and_can_be_withdrawn_until_its_attempt_begins() -> None:
    letters = Letters()
    letters.seconds = 60
    async with running(letters) as queue:
        futures = {id: queue.submit(Letter(id)) for id in "abc"}
        await letters.until_attempted(2)
        queue.withdraw(futures)
        assert [True, True, False] == [id in queue for id in "abc"]
        letters.release.set()
        await asyncio.wait_for(asyncio.gather(futures["a"], futures["b"]), 5)
        again = queue.submit(Letter("c"))
        await asyncio.wait_for(again, 5)
        assert not futures["c"].done()
    assert ["a", "b", "c"] == letters.attempted


async def test_a_receiver_that_fails_gets_one_attempt_at_a_time_after_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once it works again, it gets as many as before. An attempt that shows nothing changes nothing."""
    pauses: list[float] = []
    sleep = asyncio.sleep

    async def record(seconds: float) -> None:
        if seconds > 0:
            pauses.append(round(seconds))
        await sleep(0)

    monkeypatch.setattr("service.datastores.delivery_queue.asyncio.sleep", record)
    letters = Letters(*map(str, range(12)))
    letters.works = lambda id: None if id == "6" else int(id) > 6
    letters.release.set()
    sizes: list[int] = []
    due = letters.due

    async def recorded_due(limit: int, without: Collection[str]) -> Sequence[Letter]:
        found = await due(limit, without)
        sizes.append(len(found))
        return found

    monkeypatch.setattr(letters, "due", recorded_due)
    async with running(letters, max_pause=16.0) as queue:
        await letters.until_settled(12)
        assert not queue.is_failing
    # The first four were taken together and have failed one after the other; so have the next two, each alone.
    assert [4, 1, 1, 1, 1, 4] == [size for size in sizes if size][:6]
    assert [8, 16, 16] == pauses[:3]


async def test_attempts_that_fail_together_are_one_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pause after it is the first one, of a second."""
    pauses: list[float] = []
    sleep = asyncio.sleep

    async def record(seconds: float) -> None:
        pauses.append(seconds)
        await sleep(0)

    letters = Letters(*map(str, range(5)))
    letters.works = lambda _: False
    async with running(letters, concurrency=4, max_pause=60.0):
        await letters.until_attempted(4)
        monkeypatch.setattr("service.datastores.delivery_queue.asyncio.sleep", record)
        letters.release.set()
        await letters.until_settled(5)
    assert next(seconds for seconds in pauses if seconds > 0) <= 1.0


async def test_the_next_is_taken_after_all_that_waited_were_withdrawn() -> None:
    letters = Letters("first")
    letters.seconds = 60
    async with running(letters, concurrency=1) as queue:
        await letters.until_attempted(1)
        submitted = [queue.submit(Letter(id)) for id in "ab"]
        queue.withdraw("ab")
        letters.stored.append(Letter("due"))
        letters.release.set()
        await letters.until_settled(2)
        assert [False, False] == [future.done() for future in submitted]
    assert ["first", "due"] == letters.attempted


async def test_a_receiver_may_fail_for_days(monkeypatch: pytest.MonkeyPatch) -> None:
    """2 to the power of its failures is more than a float holds."""
    sleep = asyncio.sleep
    monkeypatch.setattr("service.datastores.delivery_queue.asyncio.sleep", lambda _: sleep(0))
    letters = Letters(*map(str, range(1100)))
    letters.works = lambda _: False
    letters.release.set()
    async with running(letters, max_pause=60.0) as queue:
        await letters.until_settled(1100)
        assert queue.is_failing


async def test_it_ends_once_nothing_has_come_for_a_while_and_raises_what_a_delivery_raises() -> None:
    letters = Letters("a")
    letters.seconds = None
    letters.release.set()
    queue = DeliveryQueue(letters, concurrency=2, batch=4)
    await asyncio.wait_for(queue.run(), 5)
    assert ["a"] == letters.settled

    def fail(_: str) -> bool:
        raise LookupError

    letters.works = fail
    letters.stored.append(Letter("b"))
    with pytest.raises(LookupError):
        await asyncio.wait_for(queue.run(), 5)
