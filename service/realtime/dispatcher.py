"""The dispatcher: publishes events to the processes of their recipients, and delivers the events of a topic in the
order of their sequence numbers."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from functools import lru_cache
from typing import Any, TypeVar

import structlog

from service.common.tasks import cancel_and_wait, count_failure
from service.realtime.addresses import room_address, user_address
from service.realtime.bus import Bus
from service.realtime.coalescer import Coalescer
from service.realtime.event import Event, Policy
from service.realtime.registry import Registry
from service.realtime.resets import Prepare, Resets
from service.realtime.rooms import Rooms
from service.realtime.user_subscriptions import UserSubscriptions

log = structlog.get_logger()

Recipients = Collection[str] | None
"""User ids; None: all users."""
Backfill = Callable[[str, int], Awaitable[list[tuple[Event, list[str]]]]]
"""`backfill(topic, after)`: reads the events of `topic` with a sequence number above `after` from the database, and
returns them in order, each with its recipients. An empty list means that there are none."""
Found = TypeVar("Found")
Latest = Callable[[str], Awaitable[int]]
"""`latest(topic)`: reads the highest sequence number of `topic` from the database."""

MAX_ADDRESSED = 16
"""Recipients up to whom an event goes to the address of each. One to more goes to the room of its topic, if it is for
everybody there, else to all processes."""
SEPARATOR = ","
"""Separates the ids of recipients, none of which contains it. Joining a thousand takes a fraction of the time that JSON
takes for them."""
CACHE_MIN_BYTES = 50 * 25
"""From this length on, the parsed recipients of an event are cached: a group's are the same from event to event."""
CACHE_SIZE = 64
"""Groups of recipients in the cache: 9 MB if each has a thousand members."""
MAX_VERSIONED_KEYS = 4096
"""Keys whose latest version is remembered. Events that arrive out of order are late by moments, so few are needed."""
MAX_TOPICS = 100_000
"""Topics whose position is remembered. After one has been forgotten, its next event is delivered as it comes."""
GAP_WAIT = 0.1
"""Seconds to wait for a missing event before reading it from the database: it is usually about to arrive."""
MAX_ATTEMPTS = 3
"""Attempts to read from a failing database, until the gap is answered with a `reset`."""
MAX_BACKFILL_READS = 8
"""Reads of the database for one gap; a wider gap is answered with a `reset`."""


class Topic:
    """The position of one topic on this process: events from `tracked_from` to `last` have been delivered here.

    Of those before, which were on their way when tracking began, `last_late` is the last that was delivered here.
    `replayed`: the connection with which tracking began fetches them. `expected` is the highest sequence number known
    to exist. `reorder_buffer` has the events that arrived too early. A topic that is not `tracked` has had no recipient
    here: only its highest sequence number matters.

    `users` had all events up to `last` when that was `heard_at`, by the monotonic clock. Once none of them has been
    subscribed to since then, events may have passed unheard.
    """

    __slots__ = (
        "expected",
        "heard_at",
        "last",
        "last_late",
        "reorder_buffer",
        "replayed",
        "tracked",
        "tracked_from",
        "users",
    )

    def __init__(self, last: int, users: Collection[str] = (), *, tracked: bool, replayed: bool = False) -> None:
        self.users = users
        self.heard_at = time.monotonic()
        self.tracked = tracked
        self.replayed = replayed
        self.last_late = 0
        self.tracked_from = last + 1
        self.last = last
        self.expected = last
        self.reorder_buffer: dict[int, tuple[Event, Recipients]] = {}

    def advance(self, event: Event, recipients: Recipients) -> None:
        """Note that `event` is the last one, delivered now."""
        self.last = event.sequence
        self.heard_at = time.monotonic()
        self.users = recipients or ()
        if event.substitute:
            self.users = {*self.users, *event.substitute[0]}

    def joined(self, user_ids: Iterable[str]) -> None:
        """Note that these users have all events up to `last`, too."""
        self.heard_at = time.monotonic()
        if new := [user_id for user_id in user_ids if user_id not in self.users]:
            # Not a new set for each of thousands who come back at once.
            if not isinstance(self.users, OwnUsers):
                self.users = OwnUsers(self.users)
            self.users.update(new)


class OwnUsers(set[str]):
    """Users of one Topic, to which nothing else refers: it may change them."""


class Dispatcher:
    """Publishes events on the bus, and delivers those that arrive from it through the registry's fan-out.

    Two processes may publish the sequence numbers 5 and 6 of one topic in either order, and the bus may lose either. So
    an event that is not the next of its topic waits until the missing ones have arrived or have been read from the
    database. An event whose number has been delivered already is dropped. Tracking of a topic begins with the first
    event of it that has a recipient on this process.

    Events without a sequence number may overtake each other, too. Of those with the same key and a version, none is
    delivered after one with a higher version.

    An event goes to the address of each recipient, so a process hears of a topic only while it has a connection of
    somebody concerned. What it knows of the topic from before then counts for nothing.
    """

    def __init__(self, bus: Bus, registry: Registry) -> None:
        self._bus = bus
        self._registry = registry
        self._fan_out = registry.fan_out
        self._coalescer = Coalescer(self._fan_out.deliver)
        self.topics: OrderedDict[str, Topic] = OrderedDict()
        self._latest_versions: OrderedDict[str, int] = OrderedDict()
        self._backfills: dict[str, Backfill] = {}
        self._published_callbacks: list[Callable[[Event], None]] = []
        self._gap_tasks: dict[str, asyncio.Task[None]] = {}
        self._latest: dict[str, Latest] = {}
        self._resets = Resets(registry)
        self._rooms = Rooms(bus)
        self._unchecked: dict[str, bool] = {}
        """Rooms whose position is to be compared; and whether with the database, because events may be missed."""
        self._check_task: asyncio.Task[None] | None = None
        self.subscriptions = UserSubscriptions(bus, registry, self._rooms.leave_all)
        self.subscriptions.on_doubt(self._reset)
        bus.on_confirmed(self._on_confirmed)
        bus.on_doubt(self._on_doubt)
        bus.on("event", self._on_event)
        bus.on("position", self._on_position)
        bus.on_gap(self.on_bus_gap)

    def publish(
        self,
        event: Event,
        recipients: Collection[str] | None,
        position: int | None = None,
        *,
        room: bool = False,
        version: int | None = None,
    ) -> None:
        """Send `event` to the connections of these users (None: all users), on every process. Never blocks.

        Those who get its substitute are not among `recipients`.

        `position`: the sequence number that the topic has reached according to the event. A process with a recipient
        tracks the topic from there on; with `room`, the recipients join its room there.

        `room`, without `position`: the event is for everybody whom the events of the topic are for. `version`: the
        recipients of an event with a sequence number are all of that version of the membership. If they are many, the
        event has the version in place of their ids.
        """
        head: dict[str, Any] = {
            "channel": event.channel,
            "type": event.type,
            "policy": event.policy.value,
            "topic": event.topic,
            "sequence": event.sequence,
            "key": event.key,
            "all": recipients is None,
        }
        if event.version:
            head["version"] = event.version
        if event.coalesced:
            head["coalesced"] = True
        if position is not None:
            head["position"] = position
            head["room"] = room
        if event.substitute:
            user_ids, other = event.substitute
            head["substitute"] = {"user_ids": list(user_ids), "type": other.type, "body": other.body.decode()}
        others = event.substitute[0] if event.substitute else ()
        last = (event.topic, event.sequence) if event.sequence else None
        addresses = _addresses(recipients, others, event.topic if room and position is None else None)
        listed = recipients or ()
        is_whole = version is not None and event.sequence and not others and addresses == [room_address(event.topic)]
        if is_whole and not self._bus.has_earlier_processes:
            self._rooms.remember(event.topic, version or 0, listed)
            head["members"] = version
            listed = ()
        self._bus.publish("event", head, _encode_recipients(listed) + event.body, addresses, last)
        for callback in self._published_callbacks:
            callback(event)

    def on_published(self, callback: Callable[[Event], None]) -> None:
        """Call `callback(event)` for every event that this process publishes."""
        self._published_callbacks.append(callback)

    def set_backfill(self, prefix: str, backfill: Backfill, latest: Latest | None = None) -> None:
        """Read missing events of topics whose name begins with `prefix` with `backfill`; `latest` is needed for those
        that have rooms."""
        self._backfills[prefix] = backfill
        if latest:
            self._latest[prefix] = latest

    def before_reset(self, prepare: Prepare) -> None:
        """Await `prepare(connections)` before these, which may have missed events, get a `reset`; if it raises, again
        later."""
        self._resets.prepare = prepare

    def remember_members(self, topic: str, version: int, members: Collection[str]) -> None:
        """Note who is concerned by the events of `topic` in a version of its membership."""
        self._rooms.remember(topic, version, members)

    def join_room(self, topic: str, sequence: int, user_id: str) -> None:
        """Note that `user_id`, who has a connection here, gets the events of a topic with more than MAX_ADDRESSED
        recipients, and those up to `sequence` by other means. Those after it are delivered, also if they were published
        before this process hears of the room."""
        self.set_position(topic, sequence, [user_id])
        self._rooms.join(topic, [user_id])

    def set_position(self, topic: str, sequence: int, user_ids: Collection[str]) -> None:
        """Note that all events of `topic` up to `sequence` are stored: a connection of one of these users that joins
        now replays them.

        The position stays what it is if the topic is tracked already.
        """
        known = self.topics.get(topic)
        if known is not None and known.tracked and self._is_current(topic, known):
            known.joined(user_ids)
        else:
            self._set_topic(topic, sequence, user_ids, tracked=True, replayed=True)

    def last_known(self, topic: str) -> int:
        """Return the highest sequence number of `topic` that this process knows to be stored; 0 if it knows none."""
        known = self.topics.get(topic)
        return max(known.last, known.expected) if known else 0

    async def positions(self, topics: Mapping[str | None, Collection[str]]) -> dict[str, int]:
        """Return the highest sequence numbers that have been published lately in these topics, by any process. `topics`
        has those of which each user is a recipient; of those with None, what this process knows. 0 for a topic without
        any."""
        places = [
            (address, topic)
            for user_id, own in topics.items()
            if user_id
            for topic in own
            for address in (user_address(user_id), room_address(topic))
        ]
        published = await self._bus.last_published(places) if places else {}
        wanted = {topic for own in topics.values() for topic in own}
        return {topic: max(published.get(topic, 0), self.last_known(topic)) for topic in wanted}

    def announce_position(
        self, topic: str, sequence: int, channel: str, recipients: Collection[str], *, room: bool = False
    ) -> None:
        """Tell the processes of the recipients that `topic` has reached `sequence`, in case the event itself was not
        published.

        A process that tracks the topic reads the events it lacks from the database. Any other process sends the
        recipients' connections to `channel` a `reset`. `room`: see `publish`.
        """
        head = {"topic": topic, "sequence": sequence, "channel": channel}
        addresses = _addresses(recipients, (), topic if room else None)
        self._bus.publish("position", head, _encode_recipients(recipients), addresses, last=(topic, sequence))

    @property
    def gap_tasks(self) -> list["asyncio.Task[None]"]:
        """The running tasks that read missing events."""
        return list(self._gap_tasks.values())

    async def close(self) -> None:
        for task in self.gap_tasks:
            await cancel_and_wait(task)
        self._gap_tasks.clear()
        await cancel_and_wait(self._check_task)
        self._coalescer.close()
        await self._resets.close()
        self.subscriptions.close()

    def on_bus_gap(self) -> None:
        """Send every connection here a `reset`: messages of other processes may have been lost without a trace.

        The topics stay tracked. After an outage the other processes publish, in any order, what they could not publish
        meanwhile; a part of it may have been read from the database before. So each topic continues from its own
        position, and missing events are read.
        """
        self._reset(self._registry.user_ids())

    def _reset(self, user_ids: Iterable[str]) -> None:
        self._resets.add(user_ids, "bus_interrupted")

    def _on_event(self, head: dict[str, Any], body: bytes) -> None:
        user_ids, content = _split_body(body)
        event = Event(
            head["type"],
            content,
            channel=head["channel"],
            policy=Policy(head["policy"]),
            topic=head["topic"],
            sequence=head["sequence"],
            key=head["key"],
            version=head.get("version", 0),
            coalesced=head.get("coalesced", False),
            substitute=_substitute(head),
        )
        recipients: Recipients = None if head["all"] else user_ids
        if "members" in head:
            members = self._rooms.members(event.topic, head["members"])
            if members is None:
                self._read_instead(event)
                return
            recipients = members
        if event.sequence:
            self._deliver_in_order(event, recipients)
        elif not (event.version and event.key) or self._is_latest(event):
            if not event.coalesced:
                self._fan_out.deliver(recipients, event)
            elif self._has_local_recipient(recipients):
                self._coalescer.put(recipients, event)
            position = head.get("position")
            if position is not None and self._has_local_recipient(recipients):
                users = [user_id for user_id in recipients or () if self._registry.has_user(user_id)]
                self.set_position(event.topic, max(position, self.last_known(event.topic)), users)
                if head.get("room"):
                    self._rooms.join(event.topic, users)

    def _on_confirmed(self, address: str) -> None:
        if address.startswith(room_address("")):
            topic = address.removeprefix(room_address(""))
            self._check_room(topic, missed=self._rooms.is_late(topic))

    def _on_doubt(self, address: str) -> None:
        if address.startswith(room_address("")):
            self._check_room(address.removeprefix(room_address("")), missed=True)

    def _check_room(self, topic: str, *, missed: bool) -> None:
        """Deliver what was published before the room was heard; `missed`: or for an unknown time."""
        self._unchecked[topic] = missed or self._unchecked.get(topic, False)
        if self._check_task is None or self._check_task.done():
            self._check_task = asyncio.create_task(self._check_rooms())

    async def _check_rooms(self) -> None:
        while self._unchecked:
            topics, self._unchecked = self._unchecked, {}
            published = await self._bus.last_published((room_address(topic), topic) for topic in topics)
            for name, missed in topics.items():
                try:
                    latest = await self._find(self._latest, name)(name) if missed else published.get(name, 0)
                except Exception as error:
                    count_failure("room_position")
                    log.warning("room_position_failed", error=type(error).__name__)
                    self._resets.add(self._rooms.users(name), "events_missed")
                    continue
                topic = self.topics.get(name)
                if topic is not None and topic.tracked and latest > topic.last:
                    self._expect(name, topic, latest)

    def _is_latest(self, event: Event) -> bool:
        """Return whether no event with the same key and a higher version has been delivered."""
        if event.version < self._latest_versions.get(event.key, 0):
            return False
        self._latest_versions[event.key] = event.version
        self._latest_versions.move_to_end(event.key)
        if len(self._latest_versions) > MAX_VERSIONED_KEYS:
            self._latest_versions.popitem(last=False)
        return True

    def _deliver_in_order(self, event: Event, recipients: Recipients) -> None:
        topic = self.topics.get(event.topic)
        is_next = topic is not None and event.sequence <= topic.last + 1
        if topic is None or not topic.tracked or not (is_next or self._is_current(event.topic, topic)):
            others = event.substitute[0] if event.substitute else ()
            if not (self._has_local_recipient(recipients) or self._has_local_recipient(others)):
                self._record(event.topic, event.sequence)
                return
            topic = self._set_topic(event.topic, event.sequence - 1, tracked=True)
        self.topics.move_to_end(event.topic)
        if event.sequence == topic.last + 1:
            topic.advance(event, recipients)
            self._fan_out.deliver(recipients, event)
            self._deliver_reordered(topic)
        elif event.sequence > topic.last:
            topic.reorder_buffer[event.sequence] = (event, recipients)
            self._expect(event.topic, topic, event.sequence)
        elif event.sequence < topic.tracked_from:
            self._deliver_late(topic, event, recipients)
        # Any other has been delivered already.

    def _read_instead(self, event: Event) -> None:
        """Read an event of a room, whose recipients are not known, from the database, together with these."""
        users = self._rooms.users(event.topic)
        if not users:
            self._record(event.topic, event.sequence)
            return
        topic = self.topics.get(event.topic)
        if topic is None or not topic.tracked or not self._is_current(event.topic, topic):
            topic = self._set_topic(event.topic, event.sequence - 1, users, tracked=True)
        if event.sequence > topic.last:
            self._expect(event.topic, topic, event.sequence)

    def _deliver_late(self, topic: Topic, event: Event, recipients: Recipients) -> None:
        """Handle an event that was on its way when tracking began: connections from before may not have it.

        After a later event it is not delivered, since connections get events in order, and a `reset` reports it. Not if
        tracking began with the replay of a connection: other connections are rare then, and their clients notice the
        missing number.
        """
        if topic.last < topic.tracked_from:
            if event.sequence > topic.last_late:
                topic.last_late = event.sequence
                self._fan_out.deliver(recipients, event)
        elif not topic.replayed:
            self._registry.send_notice(recipients, event.channel, "reset", {"reason": "events_missed"})

    def _on_position(self, head: dict[str, Any], body: bytes) -> None:
        recipients, _ = _split_body(body)
        topic = self.topics.get(head["topic"])
        if topic is not None and topic.tracked and self._is_current(head["topic"], topic):
            if head["sequence"] > topic.last:
                self._expect(head["topic"], topic, head["sequence"])
        elif self._has_local_recipient(recipients):
            # This process does not know which events of the topic the recipients have got.
            self._set_topic(head["topic"], head["sequence"], recipients, tracked=True)
            self._registry.send_notice(recipients, head["channel"], "reset", {"reason": "events_missed"})
        else:
            self._record(head["topic"], head["sequence"])

    def _expect(self, name: str, topic: Topic, sequence: int) -> None:
        """Note that events up to `sequence` exist; start a task that reads those that do not arrive."""
        topic.expected = max(topic.expected, sequence)
        if name not in self._gap_tasks:
            self._gap_tasks[name] = asyncio.create_task(self._close_gap(name, topic))

    def _deliver_reordered(self, topic: Topic) -> None:
        """Deliver the buffered events that follow `topic.last` without a gap."""
        while topic.reorder_buffer and (item := topic.reorder_buffer.pop(topic.last + 1, None)):
            topic.advance(*item)
            self._fan_out.deliver(item[1], item[0])

    async def _close_gap(self, name: str, topic: Topic) -> None:
        """Give the missing events a moment to arrive, then read them."""
        try:
            await asyncio.sleep(GAP_WAIT)
            await self._backfill_with_retries(name, topic)
        finally:
            # Not in a done callback, which runs later: for an event that is expected in between, no new task would be
            # started, although this one has ended.
            del self._gap_tasks[name]

    async def _backfill_with_retries(self, name: str, topic: Topic) -> None:
        for attempt in range(MAX_ATTEMPTS):
            try:
                for _ in range(MAX_BACKFILL_READS):
                    if topic.last >= topic.expected:
                        return
                    await self._backfill_once(name, topic)
                break
            except Exception as error:
                count_failure("backfill")
                log.warning("backfill_failed", attempt=attempt, error=type(error).__name__)
                await asyncio.sleep(GAP_WAIT * 2**attempt)
        if topic.last < topic.expected:
            self._abandon_gap(topic)

    async def _backfill_once(self, name: str, topic: Topic) -> None:
        backfill = self._find(self._backfills, name)
        expected = topic.expected
        found = await backfill(name, topic.last)
        for event, recipients in found:
            if event.sequence > topic.last:
                topic.advance(event, recipients)
                self._fan_out.deliver(recipients, event)
        if not found:
            # The document that had this number has changed since; the event of that change has a higher number.
            topic.last = max(topic.last, expected)
        for sequence in [sequence for sequence in topic.reorder_buffer if sequence <= topic.last]:
            del topic.reorder_buffer[sequence]
        self._deliver_reordered(topic)

    def _abandon_gap(self, topic: Topic) -> None:
        """Send a `reset` to the recipients of the events that did arrive, then deliver those events. If there are
        none: to the recipients of the last one before."""
        buffered = sorted(topic.reorder_buffer.items())
        topic.reorder_buffer.clear()
        topic.last = topic.expected
        if not buffered:
            self._resets.add(topic.users, "events_missed")
        for _, (event, recipients) in buffered:
            self._registry.send_notice(recipients, event.channel, "reset", {"reason": "events_missed"})
            self._fan_out.deliver(recipients, event)

    def _is_current(self, name: str, topic: Topic) -> bool:
        """Return whether all events since the last one have been heard, or are being read."""
        since = self.subscriptions.since
        return name in self._gap_tasks or any(since(user_id) <= topic.heard_at for user_id in topic.users)

    @staticmethod
    def _find(by_prefix: dict[str, Found], name: str) -> Found:
        return next(found for prefix, found in by_prefix.items() if name.startswith(prefix))

    def _has_local_recipient(self, recipients: Recipients) -> bool:
        return recipients is None or self._registry.has_any_user(recipients)

    def _record(self, name: str, sequence: int) -> None:
        """Note that the topic has reached `sequence`, without tracking it: no recipient is here."""
        self._set_topic(name, max(sequence, self.last_known(name)), tracked=False)

    def _set_topic(
        self, name: str, last: int, users: Collection[str] = (), *, tracked: bool, replayed: bool = False
    ) -> Topic:
        topic = self.topics[name] = Topic(last, users, tracked=tracked, replayed=replayed)
        self.topics.move_to_end(name)
        if len(self.topics) > MAX_TOPICS:
            self.topics.popitem(last=False)
        return topic


def _addresses(recipients: Recipients, others: Collection[str], room: str | None) -> list[str] | None:
    """Return the addresses of an event to `recipients` that `others` get a substitute of; None: all processes.

    `room`: the topic whose room it may go to."""
    if recipients is None:
        return None
    if len(recipients) + len(others) > MAX_ADDRESSED:
        return None if room is None else [room_address(room)]
    return [user_address(user_id) for user_id in {*recipients, *others}]


def _encode_recipients(recipients: Collection[str]) -> bytes:
    """Return the recipients as one line, which precedes the event's own body in the body of a bus message."""
    return SEPARATOR.join(recipients).encode() + b"\n"


def _substitute(head: dict[str, Any]) -> tuple[frozenset[str], Event] | None:
    """Return the substitute of the event with this head."""
    found = head.get("substitute")
    if found is None:
        return None
    body = found["body"].encode()
    event = Event(found["type"], body, channel=head["channel"], topic=head["topic"], sequence=head["sequence"])
    return frozenset(found["user_ids"]), event


def _split_body(body: bytes) -> tuple[frozenset[str], bytes]:
    """Return the recipients and the event's own body of a bus message."""
    line, _, content = body.partition(b"\n")
    return (_parse_recipients_cached if len(line) > CACHE_MIN_BYTES else _parse_recipients)(line), content


def _parse_recipients(line: bytes) -> frozenset[str]:
    return frozenset(line.decode().split(SEPARATOR)) if line else frozenset()


_parse_recipients_cached = lru_cache(CACHE_SIZE)(_parse_recipients)
