"""The bus over Redis: one pub/sub channel to which every process subscribes.

Why not one channel for each connected user: a new connection would have to wait for its subscription, a reconnect storm
would be thousands of subscriptions, and an event for a group of a thousand would be a thousand messages, decoded again
by each process for each member. With one channel an event is published once, with its recipients, each process picks
out its own users, and a connection costs the bus nothing. Messages that are enqueued while a PUBLISH is in flight are
sent together in the next one.

In a cluster the channel is a sharded one (SPUBLISH): only the node that serves its slot carries the messages.
"""

import asyncio
import math
import time
import uuid
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import Any

import structlog

from service.common.encoding import dumps, loads
from service.common.tasks import count_failure
from service.datastores.redis import TAG, endpoint
from service.datastores.redis_link import RedisLink, error_code
from service.realtime.bus import Handler, Handlers

log = structlog.get_logger()

FORMAT_VERSION = 2
"""The version of the format of the messages. It is part of the channel's name, because processes of both versions run
during a deployment."""
MAX_OUTBOX_MESSAGES = 10_000
MAX_OUTBOX_BYTES = 32 * 1024 * 1024
"""Limits of what waits for an unavailable Redis. Beyond either, the oldest message is dropped, and a GAP message
reports that to the other processes."""
MAX_BATCH_MESSAGES = 256
MAX_BATCH_BYTES = 256 * 1024
"""Limits of one PUBLISH, which has at least one message: a subscriber reads it as a whole."""
HEARTBEAT_INTERVAL = 2.0
"""Seconds between two publications of a process, empty if need be, so that it receives at least its own messages."""
SUBSCRIPTION_TIMEOUT = 6.0
"""Seconds without any message, including the process's own, after which it renews its subscription, if Redis accepts
its publications: its server may no longer be the one on which messages are published. After as many without one of its
own, the process is not ready."""
STARTUP_WAIT = 2.0
"""Seconds that `start` waits for its first heartbeat to return, and `close` for the outbox. Redis may be
unavailable."""

GAP = "bus.gap"
"""The kind of the message that reports dropped messages."""


class RedisBus:
    """See `Bus`. `publish` enqueues; what is in the outbox is sent in as few publications as possible, one at a time.

    Format of a publication: a line with the id of the process and the time of its clock; then, for each message, a line
    with the JSON array `[kind, length of the body in bytes, head]`, and the body.
    """

    def __init__(self, url: str, tag: str = TAG) -> None:
        """`url`: see `pool_options`. `tag`: the prefix of the channel. Raises InvalidRedisURL."""
        self.process_id = uuid.uuid4().hex
        self._own_prefix = self.process_id.encode() + b" "
        self.lag = 0.0
        """Seconds that this process's last publication took through Redis and back."""
        servers = endpoint(url)
        self._channel = channel_name(tag, servers.database).encode()
        self._link = RedisLink(servers, self)
        self._handlers = Handlers()
        self._gap_callbacks: list[Callable[[], None]] = []
        self._outbox: deque[bytes] = deque()
        self._outbox_bytes = 0
        self._overflowed = False
        self._in_flight = False
        """Whether a publication has not been answered yet."""
        self._is_accepted = False
        """Whether Redis accepted the last publication: only then something has to arrive."""
        self._flushing = False
        self._heartbeat_due = False
        self._heartbeat_timer: asyncio.TimerHandle | None = None
        self._last_received = -math.inf
        self._last_round_trip = -math.inf
        """When this process last received a publication, and one of its own, by the monotonic clock."""
        self._round_trip = asyncio.Event()
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
    def receives_own_messages(self) -> bool:
        """Whether a publication of this process has recently come back to it: it can both publish and receive."""
        return time.monotonic() - self._last_round_trip < SUBSCRIPTION_TIMEOUT

    @property
    def outbox_size(self) -> int:
        """The number of messages that Redis has not accepted yet."""
        return len(self._outbox)

    def on(self, kind: str, handler: Handler) -> None:
        self._handlers.add(kind, handler)

    def on_gap(self, callback: Callable[[], None]) -> None:
        self._gap_callbacks.append(callback)

    def publish(self, kind: str, head: dict[str, Any], body: bytes = b"") -> None:
        self._handlers.call(kind, head, body)
        self._enqueue(kind, head, body)

    async def start(self) -> None:
        """Start to send and receive. An unavailable Redis is tried again until it answers."""
        self._started = True
        self._link.subscribe([self._channel])
        self._schedule_flush()
        # Usually the first connections then find a connected bus.
        await _wait(self._round_trip, STARTUP_WAIT)
        self._may_have_missed = not self._connected

    async def close(self) -> None:
        if self._started:
            await _wait(self._outbox_empty, STARTUP_WAIT)
        self._started = False
        if self._heartbeat_timer:
            self._heartbeat_timer.cancel()
        await self._link.close()

    async def subscriber_count(self) -> int:
        """Return the number of subscribed processes. Raises one of REDIS_ERRORS."""
        command = "SHARDNUMSUB" if await self._link.is_cluster() else "NUMSUB"
        _, subscribers = await self._link.request(self._channel, "PUBSUB", command, self._channel)
        return int(subscribers)

    # Sending.

    def _enqueue(self, kind: str, head: dict[str, Any], body: bytes) -> None:
        message = _encode(kind, head, body)
        self._outbox.append(message)
        self._outbox_bytes += len(message)
        while len(self._outbox) > MAX_OUTBOX_MESSAGES or self._outbox_bytes > MAX_OUTBOX_BYTES:
            self._outbox_bytes -= len(self._outbox.popleft())
            self._overflowed = True
        self._outbox_empty.clear()
        self._schedule_flush()

    def _schedule_flush(self) -> None:
        """Send at the end of this iteration of the event loop, together with what else is published in it."""
        if self._started and not self._flushing and not self._in_flight:
            self._flushing = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        if self._in_flight or not self._started:
            return
        overflowed = self._overflowed
        if not self._outbox and not self._heartbeat_due and not overflowed:
            self._outbox_empty.set()
            return
        batch = self._next_batch()
        prefix = self._own_prefix + f"{time.monotonic()}\n".encode()
        # Not queued with the messages: it would displace one of them with each attempt.
        gap = _encode(GAP, {}, b"") if overflowed else b""
        published = self._link.publish(self._channel, b"".join([prefix, gap, *batch]))
        if published is None:
            self._is_accepted = False
        else:
            self._heartbeat_due = False
            self._overflowed = False
            self._in_flight = True
            published.add_done_callback(partial(self._on_published, batch, overflowed))

    def _on_published(self, batch: list[bytes], overflowed: bool, published: "asyncio.Future[Any]") -> None:
        self._in_flight = False
        if published.cancelled():
            return
        error = published.exception()
        self._is_accepted = error is None
        if error and not self._started:
            # `close` has ended the connection under a heartbeat.
            return
        if error:
            # The batch is sent again, possibly twice; sequence numbers make that harmless.
            count_failure("bus_send")
            log.warning("bus_send_failed", error=error_code(error))
            self._overflowed |= overflowed
            self._link.recover(self._channel, error)
            return
        for message in batch:
            if self._outbox and self._outbox[0] is message:
                self._outbox_bytes -= len(self._outbox.popleft())
        self._flush()

    def _next_batch(self) -> list[bytes]:
        batch: list[bytes] = []
        size = 0
        for message in islice(self._outbox, MAX_BATCH_MESSAGES):
            size += len(message)
            if batch and size > MAX_BATCH_BYTES:
                break
            batch.append(message)
        return batch

    def _send_heartbeat(self) -> None:
        """Send a heartbeat, and renew a subscription on which nothing arrives."""
        self._heartbeat_timer = asyncio.get_running_loop().call_later(HEARTBEAT_INTERVAL, self._send_heartbeat)
        self._heartbeat_due = True
        self._schedule_flush()
        is_silent = time.monotonic() - self._last_received >= SUBSCRIPTION_TIMEOUT
        if self._connected and self._is_accepted and is_silent:
            log.warning("bus_subscription_timeout", seconds=SUBSCRIPTION_TIMEOUT)
            self._link.renew(self._channel)

    # Receiving: called by the link.

    def on_ready(self) -> None:
        self._schedule_flush()

    def on_subscribed(self, channel: bytes, again: bool) -> None:
        self._connected = True
        self._last_received = time.monotonic()
        if self._heartbeat_timer:
            self._heartbeat_timer.cancel()
        # Not earlier: this process would not receive it, and would not know the lag until the next one.
        self._send_heartbeat()
        if again or self._may_have_missed:
            self._may_have_missed = False
            log.info("bus_resubscribed")
            self._notify_gap()

    def on_unsubscribed(self, channel: bytes) -> None:
        self._connected = False

    def on_missed(self, channel: bytes) -> None:
        self._notify_gap()

    def on_message(self, channel: bytes, payload: bytes) -> None:
        self._last_received = time.monotonic()
        start = payload.index(b"\n") + 1
        if payload.startswith(self._own_prefix):
            # `publish` has handled these messages already. Not decoded again: a single process has no others.
            self._last_round_trip = self._last_received
            self.lag = self._last_round_trip - float(payload[len(self._own_prefix) : start])
            self._round_trip.set()
            return
        while start < len(payload):
            end = payload.index(b"\n", start)
            kind, size, head = loads(payload[start:end])
            start = end + 1 + size
            if kind == GAP:
                self._notify_gap()
            else:
                self._handlers.call(kind, head, payload[end + 1 : start])

    def _notify_gap(self) -> None:
        for callback in self._gap_callbacks:
            callback()


def _encode(kind: str, head: dict[str, Any], body: bytes) -> bytes:
    # JSON contains no line break: one line is enough.
    return dumps([kind, len(body), head]).encode() + b"\n" + body


def channel_name(tag: str, database: int) -> str:
    """Return the pub/sub channel of a deployment. Redis shares channels between the numbered databases of a server, so
    the number is a part of the name; 0 is left out, as in a cluster, which has no other."""
    return f"{tag}:bus:{FORMAT_VERSION}" + (f":db{database}" if database else "")


async def _wait(event: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
