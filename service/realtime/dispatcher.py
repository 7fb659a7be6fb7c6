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
Filler = Callable[[str, int], Awaitable[list[tuple[Event, list[str]]]]]
"""`filler(topic, after)`: from the database, in order, the numbered events of `topic` later than `after`, and to whom
each goes; an empty list where there are none."""

SEPARATOR = ","
"""Between the ids of recipients, which have none in them: a thousand are joined in a fraction of the time that JSON
takes for them."""
MANY = 50 * 25
"""Bytes of recipients from which on the same ones again are looked up, and not split anew: a group's are the same from
event to event."""
MAX_REMEMBERED = 64
"""Groups' recipients: 9 MB where each has a thousand."""
MAX_RANKED = 4096
"""Of this many keys the highest rank is known. What comes too late is late by moments."""
MAX_TOPICS = 100_000
"""Of this many topics the last number is known; of one that is forgotten the next event is taken as it comes."""
GAP_WAIT = 0.1
"""Seconds that a missing number is waited for before the database is asked: it is usually just on its way."""
MAX_ATTEMPTS = 3
MAX_FILLS = 8
"""Reads of the database for one gap; one that is wider is answered with a `reset`."""


class Topic:
    """What this process knows of one order: of the numbers from `first`, those up to `last` have been delivered here.

    `wanted` is the highest that is known to exist; what came too early is `held`. Where it is not `followed`, nobody
    here has been told of it yet: there is no order to keep, and only the highest number is of interest.
    """

    __slots__ = ("first", "followed", "held", "last", "wanted")

    def __init__(self, last: int, *, followed: bool = True) -> None:
        self.followed = followed
        self.first = last + 1
        self.last = last
        self.wanted = last
        self.held: dict[int, tuple[Event, Recipients]] = {}


class Dispatcher:
    """Publishes events on the bus and puts those that come from it on the queues of the registry.

    Two processes may publish the numbers 5 and 6 of one topic in either order, and the bus may lose one. So an event
    whose number is not the next waits until the missing ones have come, or have been read from the database; one that
    came before is dropped. A topic that nobody here has seen begins where it is first seen.

    One process, too, may publish two states of the same thing the other way round. Of those that have a rank none comes
    after a higher one.
    """

    def __init__(self, bus: Bus, registry: Registry) -> None:
        self._bus = bus
        self._registry = registry
        self.topics: OrderedDict[str, Topic] = OrderedDict()
        self._ranks: OrderedDict[str, int] = OrderedDict()
        self._fillers: dict[str, Filler] = {}
        self._published: list[Callable[[Event], None]] = []
        self._gaps: dict[str, asyncio.Task[None]] = {}
        bus.on("event", self._receive)
        bus.on("reached", self._on_reached)
        bus.on_gap(self.after_gap)

    def publish(self, event: Event, to: Collection[str] | None) -> None:
        """Send `event` to every connection of the users `to` (None: everyone), on every process. Never blocks."""
        head = {
            "feed": event.feed,
            "type": event.type,
            "policy": event.policy.value,
            "topic": event.topic,
            "number": event.number,
            "key": event.key,
            "all": to is None,
        }
        if event.rank:
            head["rank"] = event.rank
        self._bus.publish("event", head, _pack(to or ()) + event.body)
        for callback in self._published:
            callback(event)

    def on_published(self, callback: Callable[[Event], None]) -> None:
        """Call `callback(event)` for every event that this process publishes."""
        self._published.append(callback)

    def set_backfill(self, prefix: str, filler: Filler) -> None:
        """Ask `filler` for the missing events of the topics whose names begin with `prefix`."""
        self._fillers[prefix] = filler

    def set_position(self, topic: str, number: int) -> None:
        """Everything of `topic` up to `number` is known to be stored: a connection that joins has it in its past."""
        known = self.topics.get(topic)
        if known is None or not known.followed:
            self._remember(topic, number)

    def last_known(self, topic: str) -> int:
        """The last number of `topic` that this process knows to be stored; 0 where it knows of none."""
        known = self.topics.get(topic)
        return max(known.last, known.wanted) if known else 0

    def announce_position(self, topic: str, number: int, feed: str, to: Collection[str]) -> None:
        """Tell every process that `topic` has got to `number`, in case nobody has: who is behind reads the rest. Where
        `topic` is unknown, the connections of `to` to `feed` are told to look for themselves."""
        self._bus.publish("reached", {"topic": topic, "number": number, "feed": feed}, _pack(to))

    @property
    def gaps(self) -> list["asyncio.Task[None]"]:
        """What is under way to find out missing numbers."""
        return list(self._gaps.values())

    async def close(self) -> None:
        for task in self.gaps:
            await cancel_and_wait(task)
        self._gaps.clear()

    def _receive(self, head: dict[str, Any], body: bytes) -> None:
        recipients, content = _unpack(body)
        event = Event(
            head["type"],
            content,
            feed=head["feed"],
            policy=Policy(head["policy"]),
            topic=head["topic"],
            number=head["number"],
            key=head["key"],
            rank=head.get("rank", 0),
        )
        to: Recipients = None if head["all"] else recipients
        if event.number:
            self._in_order(event, to)
        elif not event.rank or self._in_time(event):
            self._registry.deliver(to, event)

    def _in_time(self, event: Event) -> bool:
        """Whether nothing later of its key has been here."""
        if event.rank < self._ranks.get(event.key, 0):
            return False
        self._ranks[event.key] = event.rank
        self._ranks.move_to_end(event.key)
        if len(self._ranks) > MAX_RANKED:
            self._ranks.popitem(last=False)
        return True

    def _in_order(self, event: Event, to: Recipients) -> None:
        topic = self.topics.get(event.topic)
        if topic is None or not topic.followed:
            if not self._anyone_of(to):
                self._note(event.topic, event.number)
                return
            topic = self._remember(event.topic, event.number - 1)
        self.topics.move_to_end(event.topic)
        if event.number == topic.last + 1:
            topic.last = event.number
            self._registry.deliver(to, event)
            self._release(topic)
        elif event.number > topic.last:
            topic.held[event.number] = (event, to)
            self._want(event.topic, topic, event.number)
        elif event.number < topic.first:
            # It overtook nobody: this process began to follow the topic while it was on its way.
            self._registry.deliver(to, event)

    def _on_reached(self, head: dict[str, Any], body: bytes) -> None:
        to, _ = _unpack(body)
        topic = self.topics.get(head["topic"])
        if topic is not None and topic.followed:
            if head["number"] > topic.last:
                self._want(head["topic"], topic, head["number"])
        elif self._anyone_of(to):
            # Nobody knows how much of it they have been told.
            self._remember(head["topic"], head["number"])
            self._registry.notify(to, head["feed"], "reset", {"reason": "events_missed"})
        else:
            self._note(head["topic"], head["number"])

    def _want(self, name: str, topic: Topic, number: int) -> None:
        topic.wanted = max(topic.wanted, number)
        if name not in self._gaps:
            self._gaps[name] = asyncio.create_task(self._close_gap(name, topic))

    def _release(self, topic: Topic) -> None:
        while topic.held and (item := topic.held.pop(topic.last + 1, None)):
            topic.last += 1
            self._registry.deliver(item[1], item[0])

    async def _close_gap(self, name: str, topic: Topic) -> None:
        """Wait a moment for the missing numbers; then read them."""
        try:
            await asyncio.sleep(GAP_WAIT)
            await self._fill_all(name, topic)
        finally:
            # At once, not in a callback: what is wanted between the two would be left to a task that has ended.
            del self._gaps[name]

    async def _fill_all(self, name: str, topic: Topic) -> None:
        for attempt in range(MAX_ATTEMPTS):
            try:
                for _ in range(MAX_FILLS):
                    if topic.last >= topic.wanted:
                        return
                    await self._fill(name, topic)
                break
            except Exception as error:
                count_failure("fill_gap")
                log.warning("gap_not_filled", attempt=attempt, error=type(error).__name__)
                await asyncio.sleep(GAP_WAIT * 2**attempt)
        if topic.last < topic.wanted:
            self._give_up(topic)

    async def _fill(self, name: str, topic: Topic) -> None:
        filler = next(filler for prefix, filler in self._fillers.items() if name.startswith(prefix))
        wanted = topic.wanted
        found = await filler(name, topic.last)
        for event, to in found:
            if event.number > topic.last:
                topic.last = event.number
                self._registry.deliver(to, event)
        if not found:
            # What was announced has been changed since, and is on its way under its new number.
            topic.last = max(topic.last, wanted)
        for number in [number for number in topic.held if number <= topic.last]:
            del topic.held[number]
        self._release(topic)

    def _give_up(self, topic: Topic) -> None:
        """Deliver what there is, and tell whom it concerns that something is missing."""
        held = sorted(topic.held.items())
        topic.held.clear()
        topic.last = topic.wanted
        if not held:
            self._registry.notify(None, None, "reset", {"reason": "events_missed"})
        for _, (event, to) in held:
            self._registry.notify(to, event.feed, "reset", {"reason": "events_missed"})
            self._registry.deliver(to, event)

    def after_gap(self) -> None:
        """What others said may be lost without a trace: every connection here is told to look for itself.

        The topics stay known: what others could not say meanwhile they say now, in whatever order, and part of it has
        been read from the database before. So each goes on from its own last number, and what is missing is read.
        """
        self._registry.notify(None, None, "reset", {"reason": "bus_interrupted"})

    def _anyone_of(self, to: Recipients) -> bool:
        return to is None or self._registry.has_any(to)

    def _note(self, name: str, number: int) -> None:
        """There is this number, though nobody here is to be told."""
        self._remember(name, max(number, self.last_known(name)), followed=False)

    def _remember(self, name: str, last: int, *, followed: bool = True) -> Topic:
        topic = self.topics[name] = Topic(last, followed=followed)
        self.topics.move_to_end(name)
        if len(self.topics) > MAX_TOPICS:
            self.topics.popitem(last=False)
        return topic


def _pack(to: Collection[str]) -> bytes:
    """The recipients in one line, before what they are to get."""
    return SEPARATOR.join(to).encode() + b"\n"


def _unpack(body: bytes) -> tuple[frozenset[str], bytes]:
    line, _, content = body.partition(b"\n")
    return (_remembered if len(line) > MANY else _split)(line), content


def _split(line: bytes) -> frozenset[str]:
    return frozenset(line.decode().split(SEPARATOR)) if line else frozenset()


_remembered = lru_cache(MAX_REMEMBERED)(_split)
