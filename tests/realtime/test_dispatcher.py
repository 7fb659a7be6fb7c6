"""Delivery in the order of numbers, however the bus carries them."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.realtime import dispatcher as module
from service.realtime.bus import LocalBus
from service.realtime.dispatcher import Dispatcher
from service.realtime.event import Event
from service.realtime.event_stream import EventStream
from service.realtime.registry import Registry
from service.realtime.timer_wheel import TimerWheel
from tests.realtime.wire import identity, queued

TOPIC = "t:1"


def event(number: int) -> Event:
    return Event("new", {"n": number}, channel="chat", topic=TOPIC, sequence=number)


class World:
    """One process with one listener; `stored` is what the database would say."""

    def __init__(self) -> None:
        self.bus = LocalBus()
        self.registry = Registry(TimerWheel())
        self.dispatcher = Dispatcher(self.bus, self.registry)
        self.dispatcher.set_backfill("t:", self.fill)
        self.stored: list[int] = []
        self.fills = 0
        self.broken = False
        # Held, so what it was sent stays in its queue to be looked at.
        self.listener = EventStream(self.registry, identity("ada"), "chat")
        self.listener.queue.max_events = 1 << 30
        self.registry.register(self.listener)

    async def fill(self, topic: str, after: int) -> list[tuple[Event, list[str]]]:
        self.fills += 1
        if self.broken:
            raise RuntimeError
        return [(event(number), ["ada"]) for number in self.stored if number > after]

    def got(self) -> list[int]:
        return [sent.sequence for sent in queued(self.listener) if sent.sequence]

    def resets(self) -> int:
        return sum(sent.type == "reset" for sent in queued(self.listener))

    async def settled(self) -> None:
        async with asyncio.timeout(10):
            while self.dispatcher.gap_tasks:
                await asyncio.wait(self.dispatcher.gap_tasks)


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(module, "GAP_WAIT", 0.01)
    world = World()
    yield world
    await world.dispatcher.close()


async def test_nothing_comes_after_what_has_a_higher_rank(world: World) -> None:
    """Of those with the same key; the same one may come again."""

    def state(key: str, rank: int) -> Event:
        return Event("state", {"rank": rank}, channel="chat", key=key, version=rank)

    for key, rank in (("a", 2), ("a", 1), ("b", 1), ("a", 2), ("b", 3), ("b", 2), ("a", 3)):
        world.dispatcher.publish(state(key, rank), ["ada"])
    assert [(sent.key, sent.version) for sent in queued(world.listener)] == [
        ("a", 2),
        ("b", 1),
        ("a", 2),
        ("b", 3),
        ("a", 3),
    ]


async def test_ranks_are_remembered_for_moments(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of so many keys, however many there are."""
    monkeypatch.setattr(module, "MAX_VERSIONED_KEYS", 2)
    for key in ("a", "b", "c", "a"):
        world.dispatcher.publish(Event("state", {}, channel="chat", key=key, version=2), ["ada"])
    for key in ("a", "c", "b"):
        world.dispatcher.publish(Event("state", {}, channel="chat", key=key, version=1), ["ada"])
    assert ["a", "b", "c", "a", "b"] == [sent.key for sent in queued(world.listener)]


async def test_numbers_in_order_are_delivered_at_once(world: World) -> None:
    """No wait, and no question to the database."""
    for number in (1, 2, 3):
        world.dispatcher.publish(event(number), ["ada"])
    assert world.got() == [1, 2, 3]
    assert world.fills == 0


async def test_what_overtakes_waits_for_what_it_overtook(world: World) -> None:
    """Two processes published in the other order."""
    world.dispatcher.set_position(TOPIC, 0)
    for number in (2, 3, 1):
        world.dispatcher.publish(event(number), ["ada"])
    assert world.got() == [1, 2, 3]
    await world.settled()
    assert world.fills == 0


async def test_what_the_bus_lost_is_read_from_the_database(world: World) -> None:
    """In its place."""
    world.dispatcher.set_position(TOPIC, 0)
    world.stored = [1, 2, 3]
    world.dispatcher.publish(event(3), ["ada"])
    assert world.got() == []
    await world.settled()
    assert world.got() == [1, 2, 3]
    world.dispatcher.publish(event(4), ["ada"])
    assert world.got() == [1, 2, 3, 4]


async def test_what_comes_twice_is_delivered_once(world: World) -> None:
    """The bus may repeat itself after an outage."""
    world.dispatcher.set_position(TOPIC, 0)
    for number in (1, 2, 1, 2, 3, 3):
        world.dispatcher.publish(event(number), ["ada"])
    assert world.got() == [1, 2, 3]


async def test_a_topic_first_seen_in_the_middle_begins_there(world: World) -> None:
    """And a straggler from before is not withheld."""
    for number in (7, 8, 6):
        world.dispatcher.publish(event(number), ["ada"])
    assert world.got() == [7, 8, 6]


async def test_an_event_on_its_way_while_a_connection_joins_still_reaches_those_before_it(world: World) -> None:
    """The newcomer read number 5 from the database before 5 came over the bus."""
    world.dispatcher.set_position(TOPIC, 5)
    world.dispatcher.publish(event(5), ["ada"])
    world.dispatcher.publish(event(6), ["ada"])
    assert world.got() == [5, 6]


async def test_numbers_that_moved_on_do_not_hold_up_the_rest(world: World) -> None:
    """A message edited twice leaves its first rev empty: the gap is closed by what is there."""
    world.dispatcher.set_position(TOPIC, 0)
    world.stored = [3]
    world.dispatcher.publish(event(2), ["ada"])
    await world.settled()
    assert world.got() == [3]
    world.dispatcher.publish(event(3), ["ada"])
    world.dispatcher.publish(event(4), ["ada"])
    assert world.got() == [3, 4]


async def test_word_that_a_topic_has_gone_on_makes_the_rest_be_read(world: World) -> None:
    """Its publisher died between storing and publishing."""
    world.dispatcher.set_position(TOPIC, 1)
    world.stored = [1, 2, 3]
    world.dispatcher.announce_position(TOPIC, 3, "chat", ["ada"])
    await world.settled()
    assert world.got() == [2, 3]
    world.dispatcher.announce_position(TOPIC, 3, "chat", ["ada"])
    assert not world.dispatcher.gap_tasks
    assert world.resets() == 0


async def test_word_of_a_topic_that_nobody_knows_makes_its_readers_look(world: World) -> None:
    """Nobody can say how much of it they have been told. Once is enough, and others are left in peace."""
    world.dispatcher.announce_position(TOPIC, 3, "chat", ["bob"])
    world.dispatcher.announce_position(TOPIC, 3, "notifications", ["ada"])
    assert world.resets() == 0
    world.dispatcher.topics.clear()
    for _ in range(2):
        world.dispatcher.announce_position(TOPIC, 3, "chat", ["ada"])
    assert world.resets() == 1
    world.dispatcher.publish(event(4), ["ada"])
    assert world.got() == [4]


async def test_a_number_wanted_at_the_moment_a_gap_is_closed_is_not_forgotten(world: World) -> None:
    """What comes between the last step of the one search and its end begins another."""
    world.dispatcher.set_position(TOPIC, 0)

    async def fill(topic: str, after: int) -> list[tuple[Event, list[str]]]:
        found = await world.fill(topic, after)
        if len(world.stored) == 2:
            world.stored = [1, 2, 3, 4]
            asyncio.get_running_loop().call_soon(world.dispatcher.publish, event(4), ["ada"])
        return found

    world.dispatcher.set_backfill("t:", fill)
    world.stored = [1, 2]
    world.dispatcher.publish(event(2), ["ada"])
    async with asyncio.timeout(5):
        while world.got() != [1, 2, 3, 4]:
            await asyncio.sleep(0.01)


async def test_a_gap_that_cannot_be_read_is_told(world: World) -> None:
    """Whoever listens is told to look for themselves, and then gets what there is."""
    world.dispatcher.set_position(TOPIC, 0)
    world.broken = True
    world.dispatcher.publish(event(2), ["ada"])
    await world.settled()
    assert (world.got(), world.resets()) == ([2], 1)


async def test_what_was_delivered_has_been_heard_of(world: World) -> None:
    """In order, too early, or to nobody here: whoever joins is told of the highest number there is."""
    world.dispatcher.set_position(TOPIC, 1)
    assert 1 == world.dispatcher.last_known(TOPIC)
    world.dispatcher.publish(event(2), ["ada"])
    assert 2 == world.dispatcher.last_known(TOPIC)
    world.dispatcher.publish(event(4), ["ada"])
    assert 4 == world.dispatcher.last_known(TOPIC)


async def test_after_a_gap_of_the_bus_everyone_is_told_to_look(world: World) -> None:
    """What follows is in order and comes once: what was lost is read, and what was only late is not told again."""
    world.dispatcher.publish(event(1), ["ada"])
    world.dispatcher.on_bus_resync()
    world.stored = [1, 2, 3, 4, 5]
    for late in (5, 3, 1, 4):
        world.dispatcher.publish(event(late), ["ada"])
    await world.settled()
    world.dispatcher.publish(event(2), ["ada"])
    assert (world.got(), world.resets()) == ([1, 2, 3, 4, 5], 1)


async def test_topics_are_forgotten_before_they_are_too_many(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that was quiet the longest goes first."""
    monkeypatch.setattr(module, "MAX_TOPICS", 2)
    for topic in ("t:a", "t:b", "t:a", "t:c"):
        sent = Event("new", {}, channel="chat", topic=topic, sequence=1)
        world.dispatcher.publish(sent, ["ada"])
    assert list(world.dispatcher.topics) == ["t:a", "t:c"]


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_any_order_of_arrival_with_losses_and_repeats_is_delivered_in_order(data: Any) -> None:
    """Every number once, ascending, as soon as the last one is known of."""
    count = data.draw(st.integers(1, 12))
    arrivals = data.draw(st.lists(st.integers(1, count), max_size=30))

    async def run() -> list[int]:
        world = World()
        world.dispatcher.set_position(TOPIC, 0)
        world.stored = list(range(1, count + 1))
        for number in arrivals:
            world.dispatcher.publish(event(number), ["ada"])
            if number % 3 == 0:
                await asyncio.sleep(0)
        world.dispatcher.announce_position(TOPIC, count, "chat", ["ada"])
        await world.settled()
        return world.got()

    wait, module.GAP_WAIT = module.GAP_WAIT, 0.001
    try:
        assert asyncio.run(run()) == list(range(1, count + 1))
    finally:
        module.GAP_WAIT = wait


async def test_who_is_not_among_many_any_more_gets_nothing_more(world: World) -> None:
    """A group's recipients are remembered as they were said with each event, so the next event has its own."""
    others = [f"{number:024x}" for number in range(999)]
    for number, to in enumerate((["ada", *others], others, [*others, "ada"], None), 1):
        world.dispatcher.publish(event(number), to)
    assert world.got() == [1, 3, 4]


async def test_an_event_for_nobody_reaches_nobody(world: World) -> None:
    """Not everybody, which is said in another way."""
    world.dispatcher.publish(Event("typing", {}, channel="chat"), [])
    assert not queued(world.listener)


async def test_recipients_are_remembered_within_a_bound(world: World) -> None:
    """However many groups there are; those of a few people are not."""
    module._parse_recipients_cached.cache_clear()
    for group in range(module.CACHE_SIZE + 10):
        world.dispatcher.publish(event(1), [f"{group:012x}{number:012x}" for number in range(100)])
        world.dispatcher.publish(event(1), [f"{group:012x}{number:012x}" for number in range(10)])
    info = module._parse_recipients_cached.cache_info()
    assert (module.CACHE_SIZE, module.CACHE_SIZE + 10) == (info.currsize, info.misses)
