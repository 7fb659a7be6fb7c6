"""One reading for all requests that ask at the same time."""

import asyncio
import time

import pytest

from service.http.shared_reading import SharedReading

INTERVAL = 0.05


class Source:
    """Counts how often it is read, and how many readings run at the same time."""

    def __init__(self) -> None:
        self.readings = self.running = self.most_running = 0
        self.fails = False

    async def read(self) -> int:
        self.readings += 1
        number = self.readings
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        await asyncio.sleep(0.01)
        self.running -= 1
        if self.fails:
            raise RuntimeError
        return number


async def test_waiting_requests_share_a_reading_that_began_after_they_arrived() -> None:
    source = Source()
    shared = SharedReading(source.read, INTERVAL)
    first = [asyncio.create_task(shared.get()) for _ in range(20)]
    while not source.running:
        await asyncio.sleep(0)
    second = [asyncio.create_task(shared.get()) for _ in range(20)]
    assert [1] * 20 + [2] * 20 == await asyncio.gather(*first, *second)
    assert 1 == source.most_running


async def test_readings_have_a_least_interval() -> None:
    source = Source()
    shared = SharedReading(source.read, INTERVAL)
    started = time.monotonic()
    for _ in range(4):
        await shared.get()
    assert time.monotonic() - started >= 3 * INTERVAL


async def test_a_failed_reading_fails_its_requests_only() -> None:
    source = Source()
    shared = SharedReading(source.read, INTERVAL)
    source.fails = True
    failed = await asyncio.gather(shared.get(), shared.get(), return_exceptions=True)
    assert [RuntimeError] * 2 == [type(error) for error in failed]
    source.fails = False
    assert 2 == await shared.get()


async def test_a_cancelled_request_does_not_cancel_the_others() -> None:
    source = Source()
    shared = SharedReading(source.read, INTERVAL)
    gone, waiting = asyncio.create_task(shared.get()), asyncio.create_task(shared.get())
    await asyncio.sleep(0)
    gone.cancel()
    assert 1 == await waiting
    with pytest.raises(asyncio.CancelledError):
        await gone
