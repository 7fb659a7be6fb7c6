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
from itertools import islice
from typing import Any

import structlog
from redis.asyncio import Redis

from service.common.encoding import dumps, loads
from service.common.tasks import cancel_and_wait, run_forever
from service.datastores.redis import TAG, database_number, is_cluster
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
"""Seconds without any message, including the process's own, after which it renews its subscription: TCP does not report
a cut cable. After as many without one of its own, the process is not ready."""
RECONNECT_INTERVAL = 1.0
"""Seconds between two attempts to reach an unavailable Redis, at most: users wait for events of other processes, and an
attempt costs next to nothing."""
STARTUP_WAIT = 2.0
"""Seconds that `start` waits for its first heartbeat to return, and `close` for the outbox. Redis may be
unavailable."""

GAP = "bus.gap"
"""The kind of the message that reports dropped messages."""


class RedisBus:
    """See `Bus`. `publish` enqueues; one task sends everything in the outbox in as few PUBLISH commands as possible.

    Format of a publication: a line with the id of the process and the time of its clock; then, for each message, a line
    with the JSON array `[kind, length of the body in bytes, head]`, and the body.
    """

    def __init__(self, redis: "Redis", tag: str = TAG) -> None:
        """`tag`: as in `connect`."""
        self.process_id = uuid.uuid4().hex
        self._own_prefix = self.process_id.encode() + b" "
        self.lag = 0.0
        """Seconds that this process's last publication took through Redis and back."""
        self._redis = redis
        self._pubsub_channel = channel_name(tag, database_number(redis))
        self._sharded: bool | None = None
        """Whether the server is a cluster; None: not known yet."""
        self._handlers = Handlers()
        self._gap_callbacks: list[Callable[[], None]] = []
        self._outbox: deque[bytes] = deque()
        self._outbox_bytes = 0
        self._overflowed = False
        self._heartbeat_due = False
        self._last_round_trip = -math.inf
        """When this process last received a publication of its own, by the monotonic clock."""
        self._wake = asyncio.Event()
        self._subscribed = asyncio.Event()
        self._round_trip = asyncio.Event()
        self._outbox_empty = asyncio.Event()
        self._outbox_empty.set()
        self._tasks: list[asyncio.Task[None]] = []
        self._connected = False
        self._was_connected = False

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
        self._tasks = [
            asyncio.create_task(run_forever(self._listen, "bus_listen", RECONNECT_INTERVAL)),
            asyncio.create_task(run_forever(self._send, "bus_send", RECONNECT_INTERVAL)),
            asyncio.create_task(run_forever(self._heartbeat, "bus_heartbeat")),
        ]
        # Usually the first connections then find a connected bus.
        await _wait(self._round_trip, STARTUP_WAIT)

    async def close(self) -> None:
        await _wait(self._outbox_empty, STARTUP_WAIT)
        for task in self._tasks:
            await cancel_and_wait(task)

    async def subscriber_count(self) -> int:
        """Return the number of subscribed processes. Raises one of REDIS_ERRORS."""
        count = self._redis.pubsub_shardnumsub if await self._is_sharded() else self._redis.pubsub_numsub
        ((_, subscribers),) = await count(self._pubsub_channel)
        return int(subscribers)

    async def _is_sharded(self) -> bool:
        if self._sharded is None:
            self._sharded = await is_cluster(self._redis)
        return self._sharded

    # Sending.

    def _enqueue(self, kind: str, head: dict[str, Any], body: bytes) -> None:
        # JSON contains no line break: one line is enough.
        message = dumps([kind, len(body), head]).encode() + b"\n" + body
        self._outbox.append(message)
        self._outbox_bytes += len(message)
        while len(self._outbox) > MAX_OUTBOX_MESSAGES or self._outbox_bytes > MAX_OUTBOX_BYTES:
            self._outbox_bytes -= len(self._outbox.popleft())
            self._overflowed = True
        self._outbox_empty.clear()
        self._wake.set()

    async def _send(self) -> None:
        await self._wake.wait()
        if self._overflowed:
            self._overflowed = False
            self._enqueue(GAP, {}, b"")
        while self._outbox or self._heartbeat_due:
            self._heartbeat_due = False
            batch = self._next_batch()
            publish = self._redis.spublish if await self._is_sharded() else self._redis.publish
            prefix = self._own_prefix + f"{time.monotonic()}\n".encode()
            await publish(self._pubsub_channel, b"".join([prefix, *batch]))
            # Only now: a batch whose PUBLISH failed is sent again, possibly twice; sequence numbers make that harmless.
            for message in batch:
                if self._outbox and self._outbox[0] is message:
                    self._outbox_bytes -= len(self._outbox.popleft())
        self._wake.clear()
        self._outbox_empty.set()

    def _next_batch(self) -> list[bytes]:
        batch: list[bytes] = []
        size = 0
        for message in islice(self._outbox, MAX_BATCH_MESSAGES):
            size += len(message)
            if batch and size > MAX_BATCH_BYTES:
                break
            batch.append(message)
        return batch

    async def _heartbeat(self) -> None:
        # This process would not receive a heartbeat sent before it subscribed, and would not know the lag until the
        # next one.
        await self._subscribed.wait()
        self._heartbeat_due = True
        self._wake.set()
        await asyncio.sleep(HEARTBEAT_INTERVAL)

    # Receiving.

    async def _listen(self) -> None:
        pubsub = self._redis.pubsub(push_handler_func=_return_push_message)
        try:
            # After a reconnect the server may be another one, of the other kind.
            self._sharded = None
            await (pubsub.ssubscribe if await self._is_sharded() else pubsub.subscribe)(self._pubsub_channel)
            last_received = time.monotonic()
            while True:
                message = await pubsub.get_message(timeout=SUBSCRIPTION_TIMEOUT)
                if message is None:
                    if time.monotonic() - last_received >= SUBSCRIPTION_TIMEOUT:
                        log.warning("bus_subscription_timeout", seconds=SUBSCRIPTION_TIMEOUT)
                        return
                    continue
                last_received = time.monotonic()
                if message["type"] in ("message", "smessage"):
                    self._on_message(message["data"])
                elif message["type"] in ("subscribe", "ssubscribe"):
                    self._on_subscribed()
                elif message["type"] == "sunsubscribe":
                    # The slot has moved: subscribe again, on its new node.
                    return
        finally:
            # redis-py would return the connection, which still receives messages, to the pool that commands use.
            self._connected = False
            await pubsub.aclose()  # type: ignore[no-untyped-call]

    def _on_subscribed(self) -> None:
        self._connected = True
        self._subscribed.set()
        if self._was_connected:
            log.info("bus_resubscribed")
            self._notify_gap()
        self._was_connected = True

    def _on_message(self, data: bytes) -> None:
        start = data.index(b"\n") + 1
        if data.startswith(self._own_prefix):
            # `publish` has handled these messages already. Not decoded again: a single process has no others.
            self._last_round_trip = time.monotonic()
            self.lag = self._last_round_trip - float(data[len(self._own_prefix) : start])
            self._round_trip.set()
            return
        while start < len(data):
            end = data.index(b"\n", start)
            kind, size, head = loads(data[start:end])
            start = end + 1 + size
            if kind == GAP:
                self._notify_gap()
            else:
                self._handlers.call(kind, head, data[end + 1 : start])

    def _notify_gap(self) -> None:
        for callback in self._gap_callbacks:
            callback()


def channel_name(tag: str, database: int) -> str:
    """Return the pub/sub channel of a deployment. Redis shares channels between the numbered databases of a server, so
    the number is a part of the name; 0 is left out, as in a cluster, which has no other."""
    return f"{tag}:bus:{FORMAT_VERSION}" + (f":db{database}" if database else "")


async def _return_push_message(message: Any) -> Any:
    """Replace redis-py's own handler, which formats every message for a log that is switched off."""
    return message


async def _wait(event: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
