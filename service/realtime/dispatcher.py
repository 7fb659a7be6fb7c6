"""Dispatcher: an event goes to all its recipients, on every process, and within a topic in the order of its numbers."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection
from functools import lru_cache
from typing import Any

import structlog

from service.common.tasks import cancel_and_wait, count_failure
from service.realtime.bus import Bus
from service.realtime.event import Event, Policy
from service.realtime.registry import Registry

log = structlog.get_logger()

Recipients = Collection[str] | None
Backfill = Callable[[str, int], Awaitable[list[tuple[Event, list[str]]]]]
"""`filler(topic, after)`: from the database, in order, the numbered events of `topic` later than `after`, and to whom
each goes; an empty list where there are none."""

SEPARATOR = ","
"""Between the ids of recipients, which have none in them: a thousand are joined in a fraction of the time that JSON
takes for them."""
CACHE_MIN_BYTES = 50 * 25
"""Bytes of recipients from which on the same ones again are looked up, and not split anew: a group's are the same from
event to event."""
CACHE_SIZE = 64
"""Groups' recipients: 9 MB where each has a thousand."""
MAX_VERSIONED_KEYS = 4096
"""Of this many keys the highest version is known. What comes too late is late by moments."""
MAX_TOPICS = 100_000
"""Of this many topics the last number is known; of one that is forgotten the next event is taken as it comes."""
GAP_WAIT = 0.1
"""Seconds that a missing number is waited for before the database is asked: it is usually just on its way."""
MAX_ATTEMPTS = 3
MAX_FILLS = 8
"""Reads of the database for one gap; one that is wider is answered with a `reset`."""


class Topic:
    """What this process knows of one order: of the numbers from `first`, those up to `last` have been delivered here.

    `expected` is the highest that is known to exist; what came too early is `held`. Where it is not `tracked`, nobody
    here has been told of it yet: there is no order to keep, and only the highest number is of interest.
    """

    __slots__ = ("expected", "last", "reorder_buffer", "tracked", "tracked_from")

    def __init__(self, last: int, *, tracked: bool = True) -> None:
        self.tracked = tracked
        self.tracked_from = last + 1
        self.last = last
        self.expected = last
        self.reorder_buffer: dict[int, tuple[Event, Recipients]] = {}


class Dispatcher:
    """Publishes events on the bus and puts those that come from it on the queues of the registry.

    Two processes may publish the numbers 5 and 6 of one topic in either order, and the bus may lose one. So an event
    whose number is not the next waits until the missing ones have come, or have been read from the database; one that
    came before is dropped. A topic that nobody here has seen begins where it is first seen.

    One process, too, may publish two states of the same thing the other way round. Of those that have a key and a
    version none comes after a higher one.
    """

    def __init__(self, bus: Bus, registry: Registry) -> None:
        self._bus = bus
        self._registry = registry
        self.topics: OrderedDict[str, Topic] = OrderedDict()
        self._latest_versions: OrderedDict[str, int] = OrderedDict()
        self._fillers: dict[str, Backfill] = {}
        self._published: list[Callable[[Event], None]] = []
        self._gaps: dict[str, asyncio.Task[None]] = {}
        bus.on("event", self._receive)
        bus.on("position", self._on_position)
        bus.on_gap(self.on_bus_resync)

    def publish(self, event: Event, to: Collection[str] | None) -> None:
        """Send `event` to every connection of the users `to` (None: everyone), on every process. Never blocks."""
        head = {
            "channel": event.channel,
            "type": event.type,
            "policy": event.policy.value,
            "topic": event.topic,
            "sequence": event.sequence,
            "key": event.key,
            "all": to is None,
        }
        if event.version:
            head["version"] = event.version
        self._bus.publish("event", head, _pack(to or ()) + event.body)
        for callback in self._published:
            callback(event)

    def on_published(self, callback: Callable[[Event], None]) -> None:
        """Call `callback(event)` for every event that this process publishes."""
        self._published.append(callback)

    def set_backfill(self, prefix: str, filler: Backfill) -> None:
        """Ask `filler` for the missing events of the topics whose names begin with `prefix`."""
        self._fillers[prefix] = filler

    def set_position(self, topic: str, number: int) -> None:
        """Everything of `topic` up to `number` is known to be stored: a connection that joins has it in its past."""
        known = self.topics.get(topic)
        if known is None or not known.tracked:
            self._track(topic, number)

    def last_known(self, topic: str) -> int:
        """The last number of `topic` that this process knows to be stored; 0 where it knows of none."""
        known = self.topics.get(topic)
        return max(known.last, known.expected) if known else 0

    def announce_position(self, topic: str, number: int, channel: str, to: Collection[str]) -> None:
        """Tell every process that `topic` has got to `number`, in case nobody has: who is behind reads the rest. Where
        `topic` is unknown, the connections of `to` to `channel` are told to look for themselves."""
        self._bus.publish("position", {"topic": topic, "sequence": number, "channel": channel}, _pack(to))

    @property
    def gap_tasks(self) -> list["asyncio.Task[None]"]:
        """What is under way to find out missing numbers."""
        return list(self._gaps.values())

    async def close(self) -> None:
        for task in self.gap_tasks:
            await cancel_and_wait(task)
        self._gaps.clear()

    def _receive(self, head: dict[str, Any], body: bytes) -> None:
        recipients, content = _unpack(body)
        event = Event(
            head["type"],
            content,
            channel=head["channel"],
            policy=Policy(head["policy"]),
            topic=head["topic"],
            sequence=head["sequence"],
            key=head["key"],
            version=head.get("version", 0),
        )
        to: Recipients = None if head["all"] else recipients
        if event.sequence:
            self._deliver_in_order(event, to)
        elif not (event.key and event.version) or self._is_latest(event):
            self._registry.deliver(to, event)

    def _is_latest(self, event: Event) -> bool:
        """Whether nothing later of its key has been here."""
        if event.version < self._latest_versions.get(event.key, 0):
            return False
        self._latest_versions[event.key] = event.version
        self._latest_versions.move_to_end(event.key)
        if len(self._latest_versions) > MAX_VERSIONED_KEYS:
            self._latest_versions.popitem(last=False)
        return True

    def _deliver_in_order(self, event: Event, to: Recipients) -> None:
        topic = self.topics.get(event.topic)
        if topic is None or not topic.tracked:
            if not self._anyone_of(to):
                self._record(event.topic, event.sequence)
                return
            topic = self._track(event.topic, event.sequence - 1)
        self.topics.move_to_end(event.topic)
        if event.sequence == topic.last + 1:
            topic.last = event.sequence
            self._registry.deliver(to, event)
            self._release(topic)
        elif event.sequence > topic.last:
            topic.reorder_buffer[event.sequence] = (event, to)
            self._expect(event.topic, topic, event.sequence)
        elif event.sequence < topic.tracked_from:
            # It overtook nobody: this process began to follow the topic while it was on its way.
            self._registry.deliver(to, event)

    def _on_position(self, head: dict[str, Any], body: bytes) -> None:
        to, _ = _unpack(body)
        topic = self.topics.get(head["topic"])
        if topic is not None and topic.tracked:
            if head["sequence"] > topic.last:
                self._expect(head["topic"], topic, head["sequence"])
        elif self._anyone_of(to):
            # Nobody knows how much of it they have been told.
            self._track(head["topic"], head["sequence"])
            self._registry.send_notice(to, head["channel"], "reset", {"reason": "events_missed"})
        else:
            self._record(head["topic"], head["sequence"])

    def _expect(self, name: str, topic: Topic, number: int) -> None:
        topic.expected = max(topic.expected, number)
        if name not in self._gaps:
            self._gaps[name] = asyncio.create_task(self._close_gap(name, topic))

    def _release(self, topic: Topic) -> None:
        while topic.reorder_buffer and (item := topic.reorder_buffer.pop(topic.last + 1, None)):
            topic.last += 1
            self._registry.deliver(item[1], item[0])

    async def _close_gap(self, name: str, topic: Topic) -> None:
        """Wait a moment for the missing numbers; then read them."""
        try:
            await asyncio.sleep(GAP_WAIT)
            await self._fill_all(name, topic)
        finally:
            # At once, not in a callback: what is expected between the two would be left to a task that has ended.
            del self._gaps[name]

    async def _fill_all(self, name: str, topic: Topic) -> None:
        for attempt in range(MAX_ATTEMPTS):
            try:
                for _ in range(MAX_FILLS):
                    if topic.last >= topic.expected:
                        return
                    await self._fill(name, topic)
                break
            except Exception as error:
                count_failure("fill_gap")
                log.warning("gap_not_filled", attempt=attempt, error=type(error).__name__)
                await asyncio.sleep(GAP_WAIT * 2**attempt)
        if topic.last < topic.expected:
            self._give_up(topic)

    async def _fill(self, name: str, topic: Topic) -> None:
        filler = next(filler for prefix, filler in self._fillers.items() if name.startswith(prefix))
        expected = topic.expected
        found = await filler(name, topic.last)
        for event, to in found:
            if event.sequence > topic.last:
                topic.last = event.sequence
                self._registry.deliver(to, event)
        if not found:
            # What was announced has been changed since, and is on its way under its new number.
            topic.last = max(topic.last, expected)
        for number in [number for number in topic.reorder_buffer if number <= topic.last]:
            del topic.reorder_buffer[number]
        self._release(topic)

    def _give_up(self, topic: Topic) -> None:
        """Deliver what there is, and tell whom it concerns that something is missing."""
        held = sorted(topic.reorder_buffer.items())
        topic.reorder_buffer.clear()
        topic.last = topic.expected
        if not held:
            self._registry.send_notice(None, None, "reset", {"reason": "events_missed"})
        for _, (event, to) in held:
            self._registry.send_notice(to, event.channel, "reset", {"reason": "events_missed"})
            self._registry.deliver(to, event)

    def on_bus_resync(self) -> None:
        """What others said may be lost without a trace: every connection here is told to look for itself.

        The topics stay known: what others could not say meanwhile they say now, in whatever order, and part of it has
        been read from the database before. So each goes on from its own last number, and what is missing is read.
        """
        self._registry.send_notice(None, None, "reset", {"reason": "bus_interrupted"})

    def _anyone_of(self, to: Recipients) -> bool:
        return to is None or self._registry.has_any(to)

    def _record(self, name: str, number: int) -> None:
        """There is this number, though nobody here is to be told."""
        self._track(name, max(number, self.last_known(name)), tracked=False)

    def _track(self, name: str, last: int, *, tracked: bool = True) -> Topic:
        topic = self.topics[name] = Topic(last, tracked=tracked)
        self.topics.move_to_end(name)
        if len(self.topics) > MAX_TOPICS:
            self.topics.popitem(last=False)
        return topic


def _pack(to: Collection[str]) -> bytes:
    """The recipients in one line, before what they are to get."""
    return SEPARATOR.join(to).encode() + b"\n"


def _unpack(body: bytes) -> tuple[frozenset[str], bytes]:
    line, _, content = body.partition(b"\n")
    return (_parse_recipients_cached if len(line) > CACHE_MIN_BYTES else _parse_recipients)(line), content


def _parse_recipients(line: bytes) -> frozenset[str]:
    return frozenset(line.decode().split(SEPARATOR)) if line else frozenset()


_parse_recipients_cached = lru_cache(CACHE_SIZE)(_parse_recipients)
