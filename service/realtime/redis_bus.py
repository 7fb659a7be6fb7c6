"""The bus over Redis: a pub/sub channel for each address, and one for what goes to every process.

A process subscribes to the addresses that its connections need and receives nothing else, so the events of other users
cost it nothing. Messages that are published while a publication to the same channel is in flight are sent together in
the next one. What is published to several channels in one iteration of the event loop leaves in one command.

In a cluster the channels are sharded ones (SPUBLISH): only the node that serves its slot carries a message, and the
addresses are spread over the nodes.
"""

import asyncio
import math
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

import structlog

from service.common.encoding import dumps, loads
from service.common.tasks import cancel_and_wait, count_failure, run_forever
from service.datastores.redis import TAG, endpoint
from service.datastores.redis_link import Publication, RedisLink, error_code
from service.realtime.addresses import Addresses
from service.realtime.bus import Handler, Handlers
from service.realtime.heartbeats import Heartbeats
from service.realtime.outbox import Message, Outbox, marks

log = structlog.get_logger()

MAX_OUTBOX_MESSAGES = 10_000
MAX_OUTBOX_BYTES = 32 * 1024 * 1024
"""Limits of what waits for an unavailable Redis, for all channels together. Beyond either, the oldest message to one
channel is dropped, and a GAP message there reports that to the other processes."""
MAX_GAPS = 10_000
"""Channels without a message that waits, of which some were dropped: 10 MB. If there are more, beside those that were
in flight at the last such message, a GAP message to all processes stands for those to each: all that they hear may have
been dropped."""
COMPARE_INTERVAL = 40.0
"""Seconds between two comparisons of what has arrived with what was published: the loss of the last message to an
address, or to all, would not be noticed otherwise."""
STARTUP_WAIT = 2.0
"""Seconds that `start` waits for its first heartbeat to return, and `close` for the outbox. Redis may be
unavailable."""
MAX_HANDLED = 10_000
"""Messages to several addresses that are remembered, so that each is handled once. They arrive within moments."""
EARLIER_TIMEOUT = 6.0
"""Seconds without a heartbeat of a process of the version before, which knows no addresses, after which there is
none."""

GAP = "bus.gap"
"""The kind of the message that reports dropped messages."""
COPY = "copy"
"""The field in the head of a message to addresses that is also sent to all, for processes of the version before."""
KNOWS_ADDRESSES = b" 3\n"
"""The end of the first line of a publication. Processes of the version before, which know no addresses, have the time
of their clock in place of the number."""


class Sending(NamedTuple):
    """What is in flight to one channel. `overflowed`: as the outbox was before."""

    outbox: Outbox
    batch: list[Message]
    overflowed: bool


class RedisBus:
    """See `Bus`. `publish` enqueues; what is in an outbox is sent in as few publications as possible, one at a time.

    Format of a publication: a line with the id of the process and a number (see KNOWS_ADDRESSES); then, for each
    message, a line with the JSON array `[kind, length of the body in bytes, head]`, and the body. A message to several
    addresses has a number as the fourth element of the array, which no other message of this process has.

    During a deployment, processes of the version before may be alive, which know only messages to all. As long as one
    is heard, and at the start, each message to addresses is also sent to all; only those processes handle it.
    """

    def __init__(self, url: str, tag: str = TAG) -> None:
        """`url`: see `pool_options`. `tag`: the prefix of the channels. Raises InvalidRedisURL."""
        self.process_id = uuid.uuid4().hex
        self._own_line = self.process_id.encode() + KNOWS_ADDRESSES
        servers = endpoint(url)
        self._addresses = Addresses(tag, servers.database)
        self._control = self._addresses.control
        self._link = RedisLink(servers, self)
        self._heartbeats = Heartbeats(self._link, partial(self._addresses.own, self.process_id))
        self._handlers = Handlers()
        self._gap_callbacks: list[Callable[[], None]] = []
        self._doubt_callbacks: list[Callable[[str], None]] = []
        self._confirmed_callbacks: list[Callable[[str], None]] = []
        self._subscribed: set[str] = set()
        """Addresses whose messages arrive at present."""
        self._outboxes: dict[bytes, Outbox] = {}
        """By channel; none is idle, unless its last publication is in flight."""
        self._with_messages: dict[bytes, None] = {}
        """Channels whose outbox has messages, the one first that has had some for the longest time."""
        self._gaps_in_flight = 0
        """Channels that the last report to all has not covered: their publications were in flight."""
        self._waiting = 0
        self._waiting_bytes = 0
        self._to_flush: dict[bytes, None] = {}
        """Channels to publish to at the end of this iteration of the event loop."""
        self._published = 0
        """The number of messages to several addresses."""
        self._handled: OrderedDict[tuple[bytes, int], None] = OrderedDict()
        """The publishers and numbers of messages to several addresses."""
        self._earlier_heard = -math.inf
        """When this process last heard of one of the version before, by the monotonic clock."""
        self._failed = False
        """Whether Redis has refused a publication, and accepted none since."""
        self._comparing: asyncio.Task[None] | None = None
        self._outbox_empty = asyncio.Event()
        self._outbox_empty.set()
        self._started = False
        self._connected = False
        self._may_have_missed = False
        """Whether the process serves connections although the bus has never been connected."""

    @property
    def connected(self) -> bool:
        return self._connected

    @property
    def receives_all(self) -> bool:
        return self._link.all_confirmed and self._heartbeats.return_from_all

    @property
    def has_earlier_processes(self) -> bool:
        return time.monotonic() - self._earlier_heard < EARLIER_TIMEOUT

    @property
    def receives_own_messages(self) -> bool:
        """Whether a heartbeat of this process has recently come back to it: it can both publish and receive."""
        return self._heartbeats.return_from_main

    @property
    def lag(self) -> float:
        """Seconds that this process's last heartbeat took through Redis and back."""
        return self._heartbeats.lag

    @property
    def outbox_size(self) -> int:
        """The number of messages that Redis has not accepted yet; one to several addresses counts for each."""
        return self._waiting

    def on(self, kind: str, handler: Handler) -> None:
        self._handlers.add(kind, handler)

    def on_confirmed(self, callback: Callable[[str], None]) -> None:
        self._confirmed_callbacks.append(callback)

    def on_doubt(self, callback: Callable[[str], None]) -> None:
        self._doubt_callbacks.append(callback)

    def on_gap(self, callback: Callable[[], None]) -> None:
        self._gap_callbacks.append(callback)

    def subscribe(self, address: str) -> None:
        self._link.subscribe([self._addresses.channel(address)])

    def unsubscribe(self, address: str) -> None:
        self._subscribed.discard(address)
        self._link.unsubscribe([self._addresses.channel(address)])

    def is_subscribed(self, address: str) -> bool:
        return address in self._subscribed

    async def last_published(self, topics: Iterable[tuple[str, str]]) -> dict[str, int]:
        if not self._connected:
            return {}
        keys = {self._addresses.mark(address, topic): topic for address, topic in topics}
        found: dict[str, int] = {}
        for key, number in (await self._link.read(keys)).items():
            found[keys[key]] = max(number, found.get(keys[key], 0))
        return found

    def publish(
        self,
        kind: str,
        head: dict[str, Any],
        body: bytes = b"",
        to: Collection[str] | None = None,
        last: tuple[str, int] | None = None,
    ) -> None:
        self._handlers.call(kind, head, body)
        if to is None:
            self._enqueue(self._control, Message(_encode(kind, head, body)))
            return
        self._published += 1
        content = _encode(kind, head, body, *([self._published] if len(to) > 1 else []))
        for address in to:
            mark = (self._addresses.mark(address, last[0]), last[1]) if last else None
            self._enqueue(self._addresses.channel(address), Message(content, mark))
        if self.has_earlier_processes:
            self._enqueue(self._control, Message(_encode(kind, head | {COPY: True}, body)))

    async def start(self) -> None:
        """Start to send and receive. An unavailable Redis is tried again until it answers."""
        self._started = True
        self._earlier_heard = time.monotonic()
        self._link.subscribe([self._control])
        self._heartbeats.start()
        self._schedule_all()
        self._comparing = asyncio.create_task(run_forever(self._compare, "bus_compare"))
        # Usually the first connections then find a connected bus.
        await _wait(self._heartbeats.first_returned, STARTUP_WAIT)
        self._may_have_missed = not self._connected

    async def close(self) -> None:
        if self._started:
            await _wait(self._outbox_empty, STARTUP_WAIT)
        self._started = False
        self._heartbeats.close()
        await cancel_and_wait(self._comparing)
        await self._link.close()

    async def subscriber_count(self) -> int:
        """Return the number of started processes. Raises one of REDIS_ERRORS."""
        command = "SHARDNUMSUB" if await self._link.is_cluster() else "NUMSUB"
        _, subscribers = await self._link.request(self._control, "PUBSUB", command, self._control)
        return int(subscribers)

    async def _compare(self) -> None:
        await asyncio.sleep(COMPARE_INTERVAL)
        if self._connected:
            await self._link.check_counts()

    # Sending.

    def _enqueue(self, channel: bytes, message: Message) -> None:
        self._outbox(channel).messages.append(message)
        self._with_messages.setdefault(channel)
        self._waiting += 1
        self._waiting_bytes += len(message.content)
        while self._waiting > MAX_OUTBOX_MESSAGES or self._waiting_bytes > MAX_OUTBOX_BYTES:
            self._drop_oldest()
        self._outbox_empty.clear()
        self._schedule_flush(channel)

    def _drop_oldest(self) -> None:
        channel = next(iter(self._with_messages))
        outbox = self._outboxes[channel]
        self._waiting -= 1
        self._waiting_bytes -= len(outbox.messages.popleft().content)
        outbox.overflowed = True
        if not outbox.messages:
            del self._with_messages[channel]
            # Channels in flight cannot be forgotten yet: to look at them again with each message would take long.
            if len(self._outboxes) - len(self._with_messages) > MAX_GAPS + self._gaps_in_flight:
                self._report_gaps_to_all()

    def _report_gaps_to_all(self) -> None:
        for channel, outbox in list(self._outboxes.items()):
            if not (outbox.messages or outbox.in_flight):
                del self._outboxes[channel]
        self._gaps_in_flight = len(self._outboxes) - len(self._with_messages)
        self._outbox(self._control).overflowed = True
        self._schedule_flush(self._control)

    def _outbox(self, channel: bytes) -> Outbox:
        outbox = self._outboxes.get(channel)
        if outbox is None:
            outbox = self._outboxes[channel] = Outbox()
        return outbox

    def _schedule_flush(self, channel: bytes) -> None:
        """Send at the end of this iteration of the event loop, together with what else is published in it."""
        outbox = self._outboxes.get(channel)
        if self._started and outbox and not outbox.in_flight:
            if not self._to_flush:
                asyncio.get_running_loop().call_soon(self._flush)
            self._to_flush[channel] = None

    def _schedule_all(self) -> None:
        for channel in self._outboxes:
            self._schedule_flush(channel)

    def _flush(self) -> None:
        channels, self._to_flush = self._to_flush, {}
        self._send(channels)

    def _send(self, channels: Iterable[bytes]) -> None:
        sending: dict[bytes, Sending] = {}
        publications = []
        for channel in channels:
            outbox = self._outboxes.get(channel)
            if outbox is None or outbox.in_flight or not self._started:
                continue
            if outbox.is_idle:
                del self._outboxes[channel]
                if not self._waiting:
                    self._outbox_empty.set()
                continue
            batch = outbox.next_batch()
            sending[channel] = Sending(outbox, batch, outbox.overflowed)
            # Not queued with the messages: it would displace one of them with each attempt.
            gap = _encode(GAP, {}, b"") if outbox.overflowed else b""
            parts = [self._own_line, gap, *(message.content for message in batch)]
            publications.append(Publication(channel, b"".join(parts), marks(batch)))
        for group, published in self._link.publish_all(publications):
            sent = {each.channel: sending[each.channel] for each in group}
            for outbox, _, _ in sent.values():
                outbox.overflowed = False
                outbox.in_flight = True
            published.add_done_callback(partial(self._on_published, sent))

    def _on_published(self, sent: "dict[bytes, Sending]", published: "asyncio.Future[Any]") -> None:
        for outbox, _, _ in sent.values():
            outbox.in_flight = False
        if published.cancelled():
            return
        error = published.exception()
        if error and not self._started:
            # `close` has ended the connection under it.
            return
        if error:
            # All of it is sent again, possibly twice; sequence numbers make that harmless.
            count_failure("bus_send")
            if not self._failed:
                self._failed = True
                log.warning("bus_send_failed", error=error_code(error))
            for outbox, _, overflowed in sent.values():
                outbox.overflowed |= overflowed
            self._link.recover(next(iter(sent)), error)
            return
        self._failed = False
        for channel, (outbox, batch, _) in sent.items():
            count, size = outbox.remove(batch)
            self._waiting -= count
            self._waiting_bytes -= size
            if not outbox.messages:
                self._with_messages.pop(channel, None)
        self._send(sent)

    # Receiving: called by the link.

    def on_ready(self) -> None:
        self._heartbeats.on_ready()
        self._schedule_all()

    def on_subscribed(self, channel: bytes, again: bool) -> None:
        if channel in self._heartbeats:
            self._heartbeats.on_subscribed(channel)
            return
        if channel != self._control:
            address = self._addresses.address(channel)
            self._subscribed.add(address)
            for callback in self._confirmed_callbacks:
                callback(address)
            if again:
                self._notify_missed(channel)
            return
        self._connected = True
        if again or self._may_have_missed:
            self._may_have_missed = False
            log.info("bus_resubscribed")
            self._notify_missed(channel)

    def on_unsubscribed(self, channel: bytes) -> None:
        if channel in self._heartbeats:
            self._heartbeats.on_unsubscribed(channel)
        elif channel == self._control:
            self._connected = False
        else:
            self._subscribed.discard(self._addresses.address(channel))

    def on_missed(self, channel: bytes) -> None:
        if channel not in self._heartbeats:
            self._notify_missed(channel)

    def on_message(self, channel: bytes, payload: bytes) -> None:
        if channel in self._heartbeats:
            self._heartbeats.on_message(channel, payload)
            return
        if payload.startswith(self._own_line):
            # `publish` has handled these messages already. Not decoded again: a single process has no others.
            return
        start = payload.index(b"\n") + 1
        if channel == self._control and not payload.startswith(KNOWS_ADDRESSES, start - len(KNOWS_ADDRESSES)):
            self._earlier_heard = time.monotonic()
        publisher = payload[: payload.index(b" ")]
        while start < len(payload):
            end = payload.index(b"\n", start)
            kind, size, head, *number = loads(payload[start:end])
            start = end + 1 + size
            if kind == GAP:
                self._notify_missed(channel)
                if channel == self._control:
                    # See MAX_GAPS.
                    for address in list(self._subscribed):
                        self._notify_doubt(address)
            elif COPY not in head and not (number and self._is_repeated(publisher, number[0])):
                self._handlers.call(kind, head, payload[end + 1 : start])

    def _is_repeated(self, publisher: bytes, number: int) -> bool:
        """Return whether this message to several addresses has arrived at another one before."""
        key = publisher, number
        if key in self._handled:
            return True
        self._handled[key] = None
        if len(self._handled) > MAX_HANDLED:
            self._handled.popitem(last=False)
        return False

    def _notify_missed(self, channel: bytes) -> None:
        if channel == self._control:
            for gap_callback in self._gap_callbacks:
                gap_callback()
        else:
            self._notify_doubt(self._addresses.address(channel))

    def _notify_doubt(self, address: str) -> None:
        for callback in self._doubt_callbacks:
            callback(address)


def _encode(kind: str, head: dict[str, Any], body: bytes, *number: int) -> bytes:
    # JSON contains no line break: one line is enough.
    return dumps([kind, len(body), head, *number]).encode() + b"\n" + body


async def _wait(event: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
