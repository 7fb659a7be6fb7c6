"""Coalescing: the first event at once, at most one in an interval, and the last one always."""

import asyncio
import random
from collections.abc import Collection
from itertools import pairwise

import pytest

from service.realtime import coalescer as coalescing
from service.realtime.coalescer import Coalescer
from service.realtime.event import Event, Policy

INTERVAL = 0.02
GRACE = 0.01


class Delivered:
    """Records what is delivered, with the loop's time."""

    def __init__(self) -> None:
        self.events: list[tuple[float, str, int]] = []

    def __call__(self, recipients: Collection[str] | None, event: Event) -> None:
        assert recipients == [event.key]
        self.events.append((asyncio.get_running_loop().time(), event.key, event.version))

    def of(self, key: str) -> list[int]:
        return [number for _, name, number in self.events if name == key]


@pytest.fixture
def delivered() -> Delivered:
    return Delivered()


@pytest.fixture
def coalescer(delivered: Delivered, monkeypatch: pytest.MonkeyPatch) -> Coalescer:
    monkeypatch.setattr(coalescing, "INTERVAL", INTERVAL)
    monkeypatch.setattr(coalescing, "GRACE", GRACE)
    return Coalescer(delivered)


def put(coalescer: Coalescer, key: str, number: int) -> None:
    event = Event("count", {"n": number}, channel="n", policy=Policy.LATEST, key=key, version=number, coalesced=True)
    coalescer.put([key], event)


async def until_idle(coalescer: Coalescer) -> None:
    async with asyncio.timeout(5):
        while coalescer._windows:
            await asyncio.sleep(INTERVAL / 4)


async def test_the_first_is_delivered_at_once_and_the_last_later(coalescer: Coalescer, delivered: Delivered) -> None:
    """Each key for itself. Nothing is remembered afterwards."""
    for number in range(1, 6):
        put(coalescer, "a", number)
    put(coalescer, "b", 1)
    assert ([1], [1]) == (delivered.of("a"), delivered.of("b"))
    await until_idle(coalescer)
    assert ([1, 5], [1]) == (delivered.of("a"), delivered.of("b"))
    put(coalescer, "a", 6)
    assert [1, 5, 6] == delivered.of("a")
    await until_idle(coalescer)


async def test_after_the_interval_one_that_comes_is_delivered_at_once(
    coalescer: Coalescer, delivered: Delivered, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes out with the events that it comes with, instead of the one that has waited."""
    monkeypatch.setattr(coalescing, "GRACE", 5.0)
    put(coalescer, "a", 1)
    put(coalescer, "a", 2)
    loop = asyncio.get_running_loop()
    while loop.time() < delivered.events[0][0] + INTERVAL:
        await asyncio.sleep(INTERVAL / 4)
    assert [1] == delivered.of("a")
    put(coalescer, "a", 3)
    assert [1, 3] == delivered.of("a")
    put(coalescer, "a", 4)
    coalescer.close()
    assert [1, 3, 4] == delivered.of("a")


async def test_there_is_at_most_one_in_an_interval(coalescer: Coalescer, delivered: Delivered) -> None:
    """At random times: in order, never closer than the interval, and with the last one at the end."""
    chance = random.Random(3)
    last: dict[str, int] = {}
    for number in range(1, 200):
        key = chance.choice("abc")
        put(coalescer, key, number)
        last[key] = number
        if chance.random() < 0.3:
            await asyncio.sleep(chance.choice([0, INTERVAL / 7, INTERVAL, 2 * INTERVAL]))
    await until_idle(coalescer)
    for key, number in last.items():
        found = [(time, each) for time, name, each in delivered.events if name == key]
        assert number == found[-1][1]
        assert sorted(each for _, each in found) == [each for _, each in found]
        assert all(later[0] - earlier[0] >= INTERVAL for earlier, later in pairwise(found))


async def test_any_number_of_keys_shares_one_timer(
    coalescer: Coalescer, delivered: Delivered, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if their windows open again and again, each at another time."""
    calls, on_due = 0, coalescer._on_due

    def count() -> None:
        nonlocal calls
        calls += 1
        on_due()

    monkeypatch.setattr(coalescer, "_on_due", count)
    for number in range(1, 200):
        put(coalescer, "abcde"[number % 5], number)
        await asyncio.sleep(INTERVAL / 20)
    await until_idle(coalescer)
    assert calls <= len(delivered.events)
    await asyncio.sleep(2 * INTERVAL)
    assert coalescer._timer is None


async def test_closing_delivers_what_waits(coalescer: Coalescer, delivered: Delivered) -> None:
    put(coalescer, "a", 1)
    put(coalescer, "a", 2)
    coalescer.close()
    assert [1, 2] == delivered.of("a")
    coalescer.close()
