"""What a process keeps of what it has read, and when it reads again."""

import asyncio
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

import pytest

from service.realtime import bus_cache
from service.realtime.bus import LocalBus
from service.realtime.bus_cache import MAX_AGE, BusCache


class Clock:
    """Each look at it is a little later."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        self.now += 0.001
        return self.now


class ProcessBus(LocalBus):
    """The bus of one of several processes, which can be interrupted."""

    def __init__(self) -> None:
        super().__init__()
        self.is_connected = True
        self._gap_callbacks: list[Callable[[], None]] = []

    @property
    def connected(self) -> bool:
        return self.is_connected

    def on_gap(self, callback: Callable[[], None]) -> None:
        self._gap_callbacks.append(callback)

    def reconnect(self) -> None:
        self.is_connected = True
        for callback in self._gap_callbacks:
            callback()


class Stored:
    """The stored values, and what is read of them."""

    def __init__(self) -> None:
        self.values = {"a": 1, "b": 1}
        self.reads: list[list[str]] = []
        self.bus, self.clock = ProcessBus(), Clock()
        self.cache: BusCache[str, int] = BusCache(self.bus, "values", self.read, max_entries=2, clock=self.clock)
        self.slow: asyncio.Event | None = None

    async def read(self, keys: Collection[str]) -> dict[str, int]:
        self.reads.append(sorted(keys))
        found = {key: self.values[key] for key in keys if key in self.values}
        if self.slow:
            await self.slow.wait()
        return found

    @contextmanager
    def reading(self, *expected: list[str]) -> Iterator[None]:
        """Check that the body reads these keys."""
        self.reads.clear()
        yield
        assert list(expected) == self.reads

    async def get(self, *keys: str) -> dict[str, int]:
        return await self.cache.get(keys)

    async def overtaken(self) -> tuple[asyncio.Task[dict[str, int]], asyncio.Event]:
        """Begin a read that finds "a" before it changes, and ends when the event is set."""
        self.slow = go_on = asyncio.Event()
        reading = asyncio.create_task(self.get("a"))
        while not self.reads:
            await asyncio.sleep(0)
        self.slow = None
        self.values["a"] = 2
        self.cache.changed(["a"])
        return reading, go_on


@pytest.fixture
def stored() -> Stored:
    return Stored()


async def test_a_value_is_read_once_until_it_changes(stored: Stored) -> None:
    with stored.reading(["a", "b"]):
        assert {"a": 1, "b": 1} == await stored.get("a", "b")
        assert {"a": 1, "b": 1} == await stored.get("b", "a")
        assert {"a": 1, "b": 1} == stored.cache.known(["a", "b"])
    stored.values["a"] = 2
    stored.cache.changed(["a"])
    assert stored.cache.known(["a", "b"]) is None
    with stored.reading(["a"]):
        assert {"a": 2, "b": 1} == await stored.get("a", "b")
        assert {"a": 2, "b": 1} == stored.cache.known(["a", "b"])


async def test_what_does_not_exist_is_looked_for_each_time(stored: Stored) -> None:
    with stored.reading(["c"], ["c"]):
        assert {} == await stored.get("c")
        stored.values["c"] = 3
        assert {"c": 3} == await stored.get("c")
        assert {"c": 3} == await stored.get("c")


async def test_a_read_that_a_change_overtakes_is_not_kept(stored: Stored) -> None:
    reading, go_on = await stored.overtaken()
    go_on.set()
    assert {"a": 1} == await reading
    with stored.reading(["a"]):
        assert {"a": 2} == await stored.get("a")
        assert {"a": 2} == await stored.get("a")


async def test_an_earlier_read_that_ends_later_is_not_kept(stored: Stored) -> None:
    early, go_on = await stored.overtaken()
    assert {"a": 2} == await stored.get("a")
    go_on.set()
    assert {"a": 1} == await early
    assert {"a": 2} == await stored.get("a")


async def test_a_value_is_kept_for_a_limited_time(stored: Stored) -> None:
    await stored.get("a")
    stored.values["a"] = 2
    stored.clock.now += MAX_AGE - 1
    assert {"a": 1} == await stored.get("a")
    stored.clock.now += 1
    assert {"a": 2} == await stored.get("a")


async def test_each_read_is_new_while_the_bus_is_interrupted(stored: Stored) -> None:
    await stored.get("a")
    stored.bus.is_connected = False
    assert stored.cache.known(["a"]) is None
    with stored.reading(["a"], ["a"]):
        await stored.get("a")
        await stored.get("a")
    # A change of another process has been missed.
    stored.values["a"] = 2
    stored.bus.reconnect()
    with stored.reading(["a"]):
        assert {"a": 2} == await stored.get("a")
        assert {"a": 2} == await stored.get("a")


async def test_the_oldest_value_makes_room(stored: Stored) -> None:
    stored.values["c"] = 1
    for key in ("a", "b", "c"):
        await stored.get(key)
    with stored.reading(["a"]):
        await stored.get("b", "c")
        await stored.get("a")


async def test_everything_is_read_again_after_too_many_changes(stored: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    """Changes that are as old as values may be are forgotten."""
    monkeypatch.setattr(bus_cache, "MAX_CHANGES", 10)
    stored.cache.changed([str(number) for number in range(9)])
    stored.clock.now += MAX_AGE
    await stored.get("a")
    stored.cache.changed([str(number) for number in range(10)])
    with stored.reading():
        await stored.get("a")
    stored.cache.changed(["10"])
    with stored.reading(["a"]):
        await stored.get("a")
