"""The dispatcher delivers in the order of sequence numbers, in whatever order the bus carries them."""

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


def event(sequence: int) -> Event:
    return Event("new", {"n": sequence}, channel="chat", topic=TOPIC, sequence=sequence)


class Process:
    """One process with one connection. `stored` has the sequence numbers of the events in the database."""

    def __init__(self) -> None:
        self.bus = LocalBus()
        self.registry = Registry(TimerWheel())
        self.dispatcher = Dispatcher(self.bus, self.registry)
        self.dispatcher.set_backfill("t:", self.backfill)
        self.stored: list[int] = []
        self.reads = 0
        self.broken = False
        # Not live, so that its events stay in its queue.
        self.connection = EventStream(self.registry, identity("ada"), "chat")
        self.connection.queue.max_events = 1 << 30
        self.registry.register(self.connection)

    async def backfill(self, topic: str, after: int) -> list[tuple[Event, list[str]]]:
        self.reads += 1
        if self.broken:
            raise RuntimeError
        return [(event(number), ["ada"]) for number in self.stored if number > after]

    def delivered(self) -> list[int]:
        return [event.sequence for event in queued(self.connection) if event.sequence]

    def resets(self) -> int:
        return sum(event.type == "reset" for event in queued(self.connection))

    async def reset(self) -> None:
        async with asyncio.timeout(10):
            while not self.resets():
                await asyncio.sleep(0.01)

    async def gaps_closed(self) -> None:
        async with asyncio.timeout(10):
            while self.dispatcher.gap_tasks:
                await asyncio.wait(self.dispatcher.gap_tasks)


@pytest.fixture
async def process(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Process]:
    monkeypatch.setattr(module, "GAP_WAIT", 0.01)
    process = Process()
    yield process
    await process.dispatcher.close()


async def test_no_event_is_delivered_after_one_with_the_same_key_and_a_higher_version(process: Process) -> None:
    """The same version may be delivered again."""

    def state(key: str, version: int) -> Event:
        return Event("state", {"version": version}, channel="chat", key=key, version=version)

    for key, version in (("a", 2), ("a", 1), ("b", 1), ("a", 2), ("b", 3), ("b", 2), ("a", 3)):
        process.dispatcher.publish(state(key, version), ["ada"])
    assert [(event.key, event.version) for event in queued(process.connection)] == [
        ("a", 2),
        ("b", 1),
        ("a", 2),
        ("b", 3),
        ("a", 3),
    ]


async def test_the_number_of_remembered_versions_is_bounded(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    """The version of the key that was updated the longest ago is forgotten."""
    monkeypatch.setattr(module, "MAX_VERSIONED_KEYS", 2)
    for key in ("a", "b", "c", "a"):
        process.dispatcher.publish(Event("state", {}, channel="chat", key=key, version=2), ["ada"])
    for key in ("a", "c", "b"):
        process.dispatcher.publish(Event("state", {}, channel="chat", key=key, version=1), ["ada"])
    assert ["a", "b", "c", "a", "b"] == [event.key for event in queued(process.connection)]


async def test_events_in_order_are_delivered_at_once(process: Process) -> None:
    """Without waiting, and without reading the database."""
    for number in (1, 2, 3):
        process.dispatcher.publish(event(number), ["ada"])
    assert process.delivered() == [1, 2, 3]
    assert process.reads == 0


async def test_an_early_event_waits_for_the_ones_before(process: Process) -> None:
    """Two processes may publish in either order."""
    process.dispatcher.set_position(TOPIC, 0, ["ada"])
    for number in (2, 3, 1):
        process.dispatcher.publish(event(number), ["ada"])
    assert process.delivered() == [1, 2, 3]
    await process.gaps_closed()
    assert process.reads == 0


async def test_events_lost_by_the_bus_are_read_from_the_database(process: Process) -> None:
    """And delivered in their order."""
    process.dispatcher.set_position(TOPIC, 0, ["ada"])
    process.stored = [1, 2, 3]
    process.dispatcher.publish(event(3), ["ada"])
    assert process.delivered() == []
    await process.gaps_closed()
    assert process.delivered() == [1, 2, 3]
    process.dispatcher.publish(event(4), ["ada"])
    assert process.delivered() == [1, 2, 3, 4]


async def test_a_repeated_event_is_delivered_once(process: Process) -> None:
    """The bus may repeat messages after an outage."""
    process.dispatcher.set_position(TOPIC, 0, ["ada"])
    for number in (1, 2, 1, 2, 3, 3):
        process.dispatcher.publish(event(number), ["ada"])
    assert process.delivered() == [1, 2, 3]


async def test_tracking_begins_with_the_first_event_of_a_topic(process: Process) -> None:
    """A late event from before would be out of order: a `reset` reports it."""
    for number in (7, 8, 6):
        process.dispatcher.publish(event(number), ["ada"])
    assert process.delivered() == [7, 8]
    assert process.resets() == 1


async def test_an_event_up_to_the_position_of_a_new_connection_still_reaches_the_others(process: Process) -> None:
    """The new connection read the events 4 and 5 from the database before the bus delivered them."""
    process.dispatcher.set_position(TOPIC, 5, ["ada"])
    for number in (4, 5, 6):
        process.dispatcher.publish(event(number), ["ada"])
    assert process.delivered() == [4, 5, 6]


async def test_an_event_up_to_the_position_of_a_new_connection_is_never_delivered_out_of_order(
    process: Process,
) -> None:
    """After a process was killed, another one publishes again what may not have been published."""
    process.dispatcher.set_position(TOPIC, 5, ["ada"])
    for number in (4, 3, 4, 6, 5):
        process.dispatcher.publish(event(number), ["ada"])
    assert process.delivered() == [4, 6]
    assert process.resets() == 0


async def test_a_sequence_number_that_no_longer_exists_does_not_block_the_topic(process: Process) -> None:
    """A message edited twice leaves its former `rev` unused: what the database has closes the gap."""
    process.dispatcher.set_position(TOPIC, 0, ["ada"])
    process.stored = [3]
    process.dispatcher.publish(event(2), ["ada"])
    await process.gaps_closed()
    assert process.delivered() == [3]
    process.dispatcher.publish(event(3), ["ada"])
    process.dispatcher.publish(event(4), ["ada"])
    assert process.delivered() == [3, 4]


async def test_an_announced_position_makes_missing_events_be_read(process: Process) -> None:
    """The publisher may die after storing and before publishing."""
    process.dispatcher.set_position(TOPIC, 1, ["ada"])
    process.stored = [1, 2, 3]
    process.dispatcher.announce_position(TOPIC, 3, "chat", ["ada"])
    await process.gaps_closed()
    assert process.delivered() == [2, 3]
    process.dispatcher.announce_position(TOPIC, 3, "chat", ["ada"])
    assert not process.dispatcher.gap_tasks
    assert process.resets() == 0


async def test_an_announced_position_of_an_untracked_topic_resets_its_recipients(process: Process) -> None:
    """Once, and only the recipients' connections to that channel."""
    process.dispatcher.announce_position(TOPIC, 3, "chat", ["bob"])
    process.dispatcher.announce_position(TOPIC, 3, "notifications", ["ada"])
    assert process.resets() == 0
    process.dispatcher.topics.clear()
    for _ in range(2):
        process.dispatcher.announce_position(TOPIC, 3, "chat", ["ada"])
    assert process.resets() == 1
    process.dispatcher.publish(event(4), ["ada"])
    assert process.delivered() == [4]


async def test_an_event_expected_while_a_gap_task_ends_is_not_forgotten(process: Process) -> None:
    """If it arrives between the last read of one task and its end, another task starts."""
    process.dispatcher.set_position(TOPIC, 0, ["ada"])

    async def backfill(topic: str, after: int) -> list[tuple[Event, list[str]]]:
        found = await process.backfill(topic, after)
        if len(process.stored) == 2:
            process.stored = [1, 2, 3, 4]
            asyncio.get_running_loop().call_soon(process.dispatcher.publish, event(4), ["ada"])
        return found

    process.dispatcher.set_backfill("t:", backfill)
    process.stored = [1, 2]
    process.dispatcher.publish(event(2), ["ada"])
    async with asyncio.timeout(5):
        while process.delivered() != [1, 2, 3, 4]:
            await asyncio.sleep(0.01)


async def test_a_gap_that_cannot_be_read_is_reported_with_a_reset(process: Process) -> None:
    """The recipients get a `reset`, and then the events that did arrive."""
    process.dispatcher.set_position(TOPIC, 0, ["ada"])
    process.broken = True
    process.dispatcher.publish(event(2), ["ada"])
    await process.gaps_closed()
    assert (process.delivered(), process.resets()) == ([2], 1)


async def test_last_known_is_the_highest_published_sequence_number(process: Process) -> None:
    """Whether the event was delivered or still waits for the ones before."""
    process.dispatcher.set_position(TOPIC, 1, ["ada"])
    assert 1 == process.dispatcher.last_known(TOPIC)
    process.dispatcher.publish(event(2), ["ada"])
    assert 2 == process.dispatcher.last_known(TOPIC)
    process.dispatcher.publish(event(4), ["ada"])
    assert 4 == process.dispatcher.last_known(TOPIC)


async def test_after_a_gap_of_the_bus_every_connection_gets_a_reset(process: Process) -> None:
    """Later events are delivered once and in order: lost ones are read, and late ones are not repeated."""
    process.dispatcher.publish(event(1), ["ada"])
    process.dispatcher.on_bus_gap()
    process.stored = [1, 2, 3, 4, 5]
    for late in (5, 3, 1, 4):
        process.dispatcher.publish(event(late), ["ada"])
    await process.gaps_closed()
    process.dispatcher.publish(event(2), ["ada"])
    assert process.delivered() == [1, 2, 3, 4, 5]
    await process.reset()
    assert process.resets() == 1


async def test_the_number_of_topics_is_bounded(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    """The topic without an event for the longest time is forgotten first."""
    monkeypatch.setattr(module, "MAX_TOPICS", 2)
    for topic in ("t:a", "t:b", "t:a", "t:c"):
        published = Event("new", {}, channel="chat", topic=topic, sequence=1)
        process.dispatcher.publish(published, ["ada"])
    assert list(process.dispatcher.topics) == ["t:a", "t:c"]


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_any_arrivals_are_delivered_in_order(data: Any) -> None:
    """With losses and repetitions in any order, each event is delivered once, once the last position is known."""
    count = data.draw(st.integers(1, 12))
    arrivals = data.draw(st.lists(st.integers(1, count), max_size=30))

    async def run() -> list[int]:
        process = Process()
        process.dispatcher.set_position(TOPIC, 0, ["ada"])
        process.stored = list(range(1, count + 1))
        for number in arrivals:
            process.dispatcher.publish(event(number), ["ada"])
            if number % 3 == 0:
                await asyncio.sleep(0)
        process.dispatcher.announce_position(TOPIC, count, "chat", ["ada"])
        await process.gaps_closed()
        return process.delivered()

    wait, module.GAP_WAIT = module.GAP_WAIT, 0.001
    try:
        assert asyncio.run(run()) == list(range(1, count + 1))
    finally:
        module.GAP_WAIT = wait


async def test_a_user_removed_from_a_large_group_gets_no_more_events(process: Process) -> None:
    """The cache of parsed recipients does not mix up groups that differ in one member."""
    others = [f"{number:024x}" for number in range(999)]
    for number, to in enumerate((["ada", *others], others, [*others, "ada"], None), 1):
        process.dispatcher.publish(event(number), to)
    assert process.delivered() == [1, 3, 4]


async def test_an_event_without_recipients_reaches_no_connection(process: Process) -> None:
    """No recipients is not the same as all users."""
    process.dispatcher.publish(Event("typing", {}, channel="chat"), [])
    assert not queued(process.connection)


async def test_the_cache_of_recipients_is_bounded(process: Process) -> None:
    """Groups of a few recipients are not cached."""
    module._parse_recipients_cached.cache_clear()
    for group in range(module.CACHE_SIZE + 10):
        process.dispatcher.publish(event(1), [f"{group:012x}{number:012x}" for number in range(100)])
        process.dispatcher.publish(event(1), [f"{group:012x}{number:012x}" for number in range(10)])
    info = module._parse_recipients_cached.cache_info()
    assert (module.CACHE_SIZE, module.CACHE_SIZE + 10) == (info.currsize, info.misses)


async def test_events_without_a_key_are_delivered_whatever_their_version(process: Process) -> None:
    """Their version is for the filter of a connection: several views of one state share it."""
    for version in (2, 1, 2):
        process.dispatcher.publish(Event("view", {}, channel="chat", topic=TOPIC, version=version), ["ada"])
    assert [2, 1, 2] == [event.version for event in queued(process.connection)]


async def test_tracking_begins_with_an_event_that_carries_the_position_of_its_topic(process: Process) -> None:
    """So the first event after it cannot overtake others, nor be lost in silence."""
    carrier = Event("carrier", {}, channel="chat", topic=TOPIC)
    process.dispatcher.publish(carrier, ["ada"], position=2)
    process.stored = [3, 4]
    process.dispatcher.publish(event(4), ["ada"])
    assert process.delivered() == []
    await process.gaps_closed()
    assert process.delivered() == [3, 4]
    process.dispatcher.publish(carrier, ["ada"], position=9)
    process.dispatcher.publish(event(5), ["ada"])
    assert process.delivered() == [3, 4, 5]


async def test_a_position_without_a_local_recipient_does_not_begin_tracking(process: Process) -> None:
    """No connection here has received the event."""
    process.dispatcher.publish(Event("carrier", {}, channel="chat", topic=TOPIC), ["bob"], position=2)
    process.dispatcher.publish(event(4), ["ada"])
    assert process.delivered() == [4]
