"""Watching topics: what gathers, what it costs, and who is left out."""

import asyncio
from collections.abc import Collection

import pytest

from service.common.errors import Unavailable
from service.common.identity import Identity
from service.common.ids import new_id
from service.realtime import topic_watch
from service.realtime.addresses import user_address
from service.realtime.bus import LocalBus
from service.realtime.event import Event, Policy
from service.realtime.event_stream import EventStream
from service.realtime.registry import Registry
from service.realtime.timer_wheel import TimerWheel
from service.realtime.topic_watch import MAX_CHANGES, SELF, TopicWatch, Watched
from tests.realtime.wire import queued

TOPIC = "p:1"
AUTHOR = new_id()


class Source:
    """What is read: an event for each change. Counts the reads."""

    def __init__(self) -> None:
        self.registry = Registry(TimerWheel())
        self.reads: list[list[str]] = []
        self.failures = 0
        self.error: Exception = Unavailable()
        self.blocks: dict[str, set[str]] = {}
        self.done = asyncio.Event()
        self.watch = TopicWatch(LocalBus(), self.read, self.blocked_by)

    async def read(self, topic: str, changes: Collection[str]) -> list[Watched]:
        if self.failures:
            self.failures -= 1
            raise self.error
        self.reads.append(list(changes))
        self.done.set()
        return [Watched(_event(change), frozenset({AUTHOR})) for change in changes]

    async def blocked_by(self, user_id: str) -> set[str]:
        return self.blocks.get(user_id, set())

    async def connect(self, *topics: str) -> EventStream:
        connection = EventStream(self.registry, Identity(new_id(), new_id(), new_id(), 2e9), "chat")
        self.registry.register(connection)
        connection.go_live([])
        await self.watch.watch(connection, topics)
        return connection

    async def next_read(self) -> None:
        """Wait until the next read has been made and its events are queued."""
        await self.done.wait()
        self.done.clear()
        await asyncio.sleep(0)


def _event(change: str) -> Event:
    return Event("changed", {"data": change}, channel="chat", policy=Policy.EPHEMERAL)


@pytest.fixture
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topic_watch, "INTERVAL", 0.01)
    monkeypatch.setattr(topic_watch, "RETRY_INTERVAL", 0.01)


@pytest.mark.usefixtures("_fast")
async def test_many_changes_are_one_read_of_a_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """The topic's own change is among them, whenever it comes; one event is encoded for all connections."""
    source = Source()
    connections = [await source.connect(TOPIC) for _ in range(3)]
    for number in range(1000):
        source.watch.publish(TOPIC, [f"+{number}"])
    source.watch.publish(TOPIC, [SELF])
    await source.next_read()
    assert [MAX_CHANGES + 1] == [len(read) for read in source.reads]
    assert SELF in source.reads[0]
    first, *others = [queued(connection) for connection in connections]
    assert MAX_CHANGES + 1 == len(first)
    assert all(event is other for own in others for event, other in zip(first, own, strict=True))
    monkeypatch.setattr(topic_watch, "MAX_DELIVERIES", 6)
    source.watch.publish(TOPIC, [f"+{number}" for number in range(10)])
    await source.next_read()
    assert [MAX_CHANGES + 1 + 2] * 3 == [len(queued(connection)) for connection in connections]
    await source.watch.close()


async def test_a_topic_that_nobody_watches_costs_nothing() -> None:
    """Nor does one whose watchers have gone, or watch something else now."""
    source = Source()
    source.watch.publish(TOPIC, [SELF])
    gone, other = await source.connect(TOPIC), await source.connect(TOPIC)
    gone.close(1000, "")
    await source.watch.watch(other, ["p:2"])
    source.watch.publish(TOPIC, [SELF])
    source.watch.publish("p:2", ["+1"])
    await source.next_read()
    assert [["+1"]] == source.reads
    other.close(1000, "")
    assert (0, {}, {}) == (source.watch.watcher_count, source.watch._connections, source.watch._by_user)
    await source.watch.close()


@pytest.mark.usefixtures("_fast")
async def test_a_blocked_author_is_not_heard() -> None:
    """A block, and its end, count from then on."""
    source = Source()
    connection, other = await source.connect(TOPIC), await source.connect(TOPIC)
    heard = []
    for number, exists in enumerate((None, True, False)):
        if exists is not None:
            source.watch.publish_block(connection.user_id, AUTHOR, exists)
        source.watch.publish(TOPIC, [f"+{number}"])
        await source.next_read()
        heard.append((len(queued(connection)), len(queued(other))))
    assert [(1, 1), (1, 2), (2, 3)] == heard
    await source.watch.close()


async def test_a_block_while_the_blocks_are_read_is_not_missed() -> None:
    """They are read again."""
    source = Source()
    reading, go_on = asyncio.Event(), asyncio.Event()
    reads = 0

    async def blocked_by(user_id: str) -> set[str]:
        nonlocal reads
        reads += 1
        found = source.blocks.get(user_id, set())
        if reads == 1:
            reading.set()
            await go_on.wait()
        return found

    source.watch = TopicWatch(LocalBus(), source.read, blocked_by)
    connecting = asyncio.create_task(source.connect(TOPIC))
    await reading.wait()
    user_id = next(iter(source.watch._by_user))
    source.blocks[user_id] = {AUTHOR}
    source.watch.publish_block(user_id, AUTHOR, True)
    source.watch.publish(TOPIC, ["+1"])
    go_on.set()
    connection = await connecting
    await source.next_read()
    assert (2, []) == (reads, queued(connection))
    await source.watch.close()


@pytest.mark.usefixtures("_fast")
async def test_a_block_that_the_bus_has_lost_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if the first read fails."""
    source = Source()
    connection, other = await source.connect(TOPIC), await source.connect(TOPIC)
    source.blocks[connection.user_id] = {AUTHOR}
    failures = [Unavailable()]
    read = source.watch._blocked_by

    async def blocked_by(user_id: str) -> set[str]:
        if failures:
            raise failures.pop()
        return await read(user_id)

    monkeypatch.setattr(source.watch, "_blocked_by", blocked_by)
    source.watch._on_doubt(user_address(connection.user_id))
    assert source.watch._rereading
    await source.watch._rereading
    source.watch.publish(TOPIC, ["+1"])
    await source.next_read()
    assert (0, 1) == (len(queued(connection)), len(queued(other)))
    await source.watch.close()


@pytest.mark.usefixtures("_fast")
async def test_after_a_failed_read_the_changes_are_read_again() -> None:
    """Those that come meanwhile, too, and the topic itself."""
    source = Source()
    connection = await source.connect(TOPIC)
    source.failures = 2
    source.watch.publish(TOPIC, ["+1"])
    async with asyncio.timeout(5):
        while source.failures:
            await asyncio.sleep(0)
    source.watch.publish(TOPIC, ["+2"])
    await source.next_read()
    assert [{SELF, "+1", "+2"}] == [set(read) for read in source.reads]
    assert 3 == len(queued(connection))
    await source.watch.close()


@pytest.mark.usefixtures("_fast")
async def test_what_cannot_be_read_at_all_does_not_hold_up_the_topic() -> None:
    source = Source()
    connection = await source.connect(TOPIC)
    source.failures, source.error = 1, ValueError()
    source.watch.publish(TOPIC, ["+1"])
    await source.next_read()
    assert [[SELF]] == source.reads
    assert 1 == len(queued(connection))
    await source.watch.close()
