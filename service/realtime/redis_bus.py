"""The bus over Redis: one channel that every process listens to.

Why one channel and not one for each connected user: whoever connects would have to wait until Redis knows of the
subscription, a reconnect storm would be thousands of them, and an event for a group of a thousand would be a thousand
messages, decoded again by each process for each member. So an event is sent once, with its recipients in front, and
each process picks out its own; and a connection costs the bus nothing. What is said while one PUBLISH is under way
goes into the next one, together.

In a cluster the channel is a sharded one (SPUBLISH): the node that serves its slot carries it, and the others hear
nothing of it.
"""

import asyncio
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
from service.datastores.redis import TAG, is_cluster
from service.realtime.bus import Handler, Handlers

log = structlog.get_logger()

PUBSUB_CHANNEL = f"{TAG}:bus:2"
MAX_OUTBOX_MESSAGES = 10_000
MAX_OUTBOX_BYTES = 32 * 1024 * 1024
"""What may wait for a Redis that is away. Past either, the oldest goes, and the others are told of the gap."""
MAX_BATCH_MESSAGES = 256
MAX_BATCH_BYTES = 256 * 1024
"""What goes into one PUBLISH, and at least one message: whoever reads it reads it whole."""
HEARTBEAT_INTERVAL = 2.0
"""Seconds after which a process sends one that is empty, for the sake of hearing itself."""
SUBSCRIPTION_TIMEOUT = 6.0
"""Seconds without hearing even oneself after which the subscription is taken for dead: a cut cable sends no word."""

RECONNECT_INTERVAL = 1.0
"""Seconds between two tries to reach a Redis that is away, at most: people wait for what is said on other processes,
and a try costs next to nothing."""
STARTUP_WAIT = 2.0
"""Seconds that starting and closing wait for a Redis that may be away."""

GAP = "bus.gap"


class RedisBus:
    """See `Bus`. Publishing is handed to one task, which sends whatever has gathered in one PUBLISH.

    It holds a line with the process's id and its time, and then for each message a line of JSON `[kind, bytes of the
    body, head]` and the body.
    """

    def __init__(self, redis: "Redis", pubsub_channel: str = PUBSUB_CHANNEL) -> None:
        self.process_id = uuid.uuid4().hex
        self._own_prefix = self.process_id.encode() + b" "
        self.lag = 0.0
        """Seconds that what this process said last took through Redis and back."""
        self._redis = redis
        self._pubsub_channel = pubsub_channel
        self._sharded: bool | None = None
        """Whether the server is a cluster; None: not known yet."""
        self._handlers = Handlers()
        self._gap_callbacks: list[Callable[[], None]] = []
        self._outbox: deque[bytes] = deque()
        self._outbox_bytes = 0
        self._overflowed = False
        self._heartbeat_due = False
        self._wake = asyncio.Event()
        self._subscribed = asyncio.Event()
        self._outbox_empty = asyncio.Event()
        self._outbox_empty.set()
        self._tasks: list[asyncio.Task[None]] = []
        self._connected = False
        self._was_connected = False

    @property
    def connected(self) -> bool:
        return self._connected

    @property
    def outbox_size(self) -> int:
        """Messages that Redis has not taken yet."""
        return len(self._outbox)

    def on(self, kind: str, handler: Handler) -> None:
        self._handlers.add(kind, handler)

    def on_gap(self, callback: Callable[[], None]) -> None:
        self._gap_callbacks.append(callback)

    def publish(self, kind: str, head: dict[str, Any], body: bytes = b"") -> None:
        self._handlers.call(kind, head, body)
        self._enqueue(kind, head, body)

    async def start(self) -> None:
        """Listen and send from now on. Where Redis is away, it is tried again for as long as it takes."""
        self._tasks = [
            asyncio.create_task(run_forever(self._listen, "bus_listen", RECONNECT_INTERVAL)),
            asyncio.create_task(run_forever(self._send, "bus_send", RECONNECT_INTERVAL)),
            asyncio.create_task(run_forever(self._heartbeat, "bus_beat")),
        ]
        # A moment's grace, so that the first connections find a bus that hears; not longer, for Redis may be away.
        await _wait(self._subscribed, STARTUP_WAIT)

    async def close(self) -> None:
        await _wait(self._outbox_empty, STARTUP_WAIT)
        for task in self._tasks:
            await cancel_and_wait(task)

    async def subscriber_count(self) -> int:
        """How many processes listen. Raises one of REDIS_ERRORS."""
        count = self._redis.pubsub_shardnumsub if await self._is_sharded() else self._redis.pubsub_numsub
        ((_, listeners),) = await count(self._pubsub_channel)
        return int(listeners)

    async def _is_sharded(self) -> bool:
        if self._sharded is None:
            self._sharded = await is_cluster(self._redis)
        return self._sharded

    # Saying.

    def _enqueue(self, kind: str, head: dict[str, Any], body: bytes) -> None:
        # One line, for JSON holds no line break.
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
            first = self._own_prefix + f"{time.monotonic()}\n".encode()
            await publish(self._pubsub_channel, b"".join([first, *batch]))
            # Only what Redis has taken leaves; a batch that failed may be said twice, which numbers sort out.
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
        # What is said before anyone listens is not heard, and the lag would not be known until the next one.
        await self._subscribed.wait()
        self._heartbeat_due = True
        self._wake.set()
        await asyncio.sleep(HEARTBEAT_INTERVAL)

    # Hearing.

    async def _listen(self) -> None:
        pubsub = self._redis.pubsub(push_handler_func=_take)
        try:
            # A server that is another now may be of the other kind.
            self._sharded = None
            await (pubsub.ssubscribe if await self._is_sharded() else pubsub.subscribe)(self._pubsub_channel)
            heard = time.monotonic()
            while True:
                message = await pubsub.get_message(timeout=SUBSCRIPTION_TIMEOUT)
                if message is None:
                    if time.monotonic() - heard >= SUBSCRIPTION_TIMEOUT:
                        log.warning("bus_deaf", seconds=SUBSCRIPTION_TIMEOUT)
                        return
                    continue
                heard = time.monotonic()
                if message["type"] in ("message", "smessage"):
                    self._on_message(message["data"])
                elif message["type"] in ("subscribe", "ssubscribe"):
                    self._on_subscribed()
                elif message["type"] == "sunsubscribe":
                    # The slot has been moved: its new node has to be found.
                    return
        finally:
            # Nobody else closes it: a connection that is still read from would go back to those that others use.
            self._connected = False
            await pubsub.aclose()  # type: ignore[no-untyped-call]

    def _on_subscribed(self) -> None:
        self._connected = True
        self._subscribed.set()
        if self._was_connected:
            log.info("bus_back")
            self._notify_gap()
        self._was_connected = True

    def _on_message(self, data: bytes) -> None:
        start = data.index(b"\n") + 1
        if data.startswith(self._own_prefix):
            # It was heard as it was said. With one process that is all there is: not read to be thrown away.
            self.lag = time.monotonic() - float(data[len(self._own_prefix) : start])
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


async def _take(message: Any) -> Any:
    """In place of redis-py's own, which makes a text of each message for a log that nobody reads."""
    return message


async def _wait(event: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
