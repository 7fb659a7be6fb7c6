"""The bus over Redis: one channel that every process listens to.

Why one channel and not one for each connected user: whoever connects would have to wait until Redis knows of the
subscription, a reconnect storm would be thousands of them, and an event for a group of a thousand would be a thousand
messages, decoded again by each process for each member. So an event is one PUBLISH, with its recipients in front,
and one message for each process, which picks out its own; and a connection costs the bus nothing.

In a cluster the channel is a sharded one (SPUBLISH): the node that serves its slot carries it, and the others hear
nothing of it.
"""

import asyncio
import time
import uuid
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import structlog
from redis.asyncio import Redis

from service.datastores.redis import TAG, is_cluster
from service.encoding import dumps, loads
from service.realtime.bus import Handler, Handlers
from service.tasks import forever, stop

log = structlog.get_logger()

CHANNEL = f"{TAG}:bus"
MAX_WAITING = 10_000
MAX_WAITING_BYTES = 32 * 1024 * 1024
"""What may wait for a Redis that is away. Past either, the oldest goes, and the others are told of the gap."""
MAX_BATCH = 256
BEAT = 2.0
"""Seconds between the messages that a process sends for the sake of hearing them itself."""
DEAF_AFTER = 6.0
"""Seconds without hearing even oneself after which the subscription is taken for dead: a cut cable sends no word."""

RETRY = 1.0
"""Seconds between two tries to reach a Redis that is away, at most: people wait for what is said on other processes,
and a try costs next to nothing."""
GRACE = 2.0
"""Seconds that starting and closing wait for a Redis that may be away."""

GAP = "bus.gap"
BEAT_KIND = "bus.beat"


class RedisBus:
    """See `Bus`. Publishing is handed to one task, which sends whatever has gathered in one pipeline."""

    def __init__(self, redis: "Redis", channel: str = CHANNEL) -> None:
        self.process_id = uuid.uuid4().hex
        self._mine = f'["{self.process_id}",'.encode()
        self._my_beat = f'["{self.process_id}","{BEAT_KIND}",'.encode()
        self.lag = 0.0
        """Seconds that the last own message took through Redis and back."""
        self._redis = redis
        self._channel = channel
        self._sharded: bool | None = None
        """Whether the server is a cluster; None: not known yet."""
        self._handlers = Handlers()
        self._gap_callbacks: list[Callable[[], None]] = []
        self._outbox: deque[bytes] = deque()
        self._outbox_bytes = 0
        self._overflowed = False
        self._wake = asyncio.Event()
        self._hears = asyncio.Event()
        self._all_said = asyncio.Event()
        self._all_said.set()
        self._tasks: list[asyncio.Task[None]] = []
        self._connected = False
        self._was_connected = False

    @property
    def connected(self) -> bool:
        return self._connected

    @property
    def waiting(self) -> int:
        """Messages that Redis has not taken yet."""
        return len(self._outbox)

    def on(self, kind: str, handler: Handler) -> None:
        self._handlers.add(kind, handler)

    def on_gap(self, callback: Callable[[], None]) -> None:
        self._gap_callbacks.append(callback)

    def publish(self, kind: str, head: dict[str, Any], body: bytes = b"") -> None:
        self._handlers.call(kind, head, body)
        self._post(kind, head, body)

    async def start(self) -> None:
        """Listen and send from now on. Where Redis is away, it is tried again for as long as it takes."""
        self._tasks = [
            asyncio.create_task(forever(self._listen, "bus_listen", RETRY)),
            asyncio.create_task(forever(self._send, "bus_send", RETRY)),
            asyncio.create_task(forever(self._beat, "bus_beat")),
        ]
        # A moment's grace, so that the first connections find a bus that hears; not longer, for Redis may be away.
        await _wait(self._hears, GRACE)

    async def close(self) -> None:
        await _wait(self._all_said, GRACE)
        for task in self._tasks:
            await stop(task)

    async def listeners(self) -> int:
        """How many processes listen. Raises one of OUTAGE."""
        count = self._redis.pubsub_shardnumsub if await self._is_sharded() else self._redis.pubsub_numsub
        ((_, listeners),) = await count(self._channel)
        return int(listeners)

    async def _is_sharded(self) -> bool:
        if self._sharded is None:
            self._sharded = await is_cluster(self._redis)
        return self._sharded

    # Saying.

    def _post(self, kind: str, head: dict[str, Any], body: bytes) -> None:
        # The head is one line, for JSON holds no line break: what follows the first one is the body.
        message = dumps([self.process_id, kind, head]).encode() + b"\n" + body
        self._outbox.append(message)
        self._outbox_bytes += len(message)
        while len(self._outbox) > MAX_WAITING or self._outbox_bytes > MAX_WAITING_BYTES:
            self._outbox_bytes -= len(self._outbox.popleft())
            self._overflowed = True
        self._all_said.clear()
        self._wake.set()

    async def _send(self) -> None:
        await self._wake.wait()
        if self._overflowed:
            self._overflowed = False
            self._post(GAP, {}, b"")
        while self._outbox:
            batch = [self._outbox[place] for place in range(min(MAX_BATCH, len(self._outbox)))]
            pipeline = self._redis.pipeline(transaction=False)
            publish = pipeline.spublish if await self._is_sharded() else pipeline.publish
            for message in batch:
                publish(self._channel, message)
            await pipeline.execute()
            # Only what Redis has taken leaves; some of a failed batch may be said twice, which numbers sort out.
            for message in batch:
                if self._outbox and self._outbox[0] is message:
                    self._outbox_bytes -= len(self._outbox.popleft())
        self._wake.clear()
        self._all_said.set()

    async def _beat(self) -> None:
        # What is said before anyone listens is not heard, and the lag would not be known until the next one.
        await self._hears.wait()
        self._post(BEAT_KIND, {"at": time.monotonic()}, b"")
        await asyncio.sleep(BEAT)

    # Hearing.

    async def _listen(self) -> None:
        pubsub = self._redis.pubsub(push_handler_func=_take)
        try:
            # A server that is another now may be of the other kind.
            self._sharded = None
            await (pubsub.ssubscribe if await self._is_sharded() else pubsub.subscribe)(self._channel)
            heard = time.monotonic()
            while True:
                message = await pubsub.get_message(timeout=DEAF_AFTER)
                if message is None:
                    if time.monotonic() - heard >= DEAF_AFTER:
                        log.warning("bus_deaf", seconds=DEAF_AFTER)
                        return
                    continue
                heard = time.monotonic()
                if message["type"] in ("message", "smessage"):
                    self._hear(message["data"])
                elif message["type"] in ("subscribe", "ssubscribe"):
                    self._hearing()
                elif message["type"] == "sunsubscribe":
                    # The slot has been moved: its new node has to be found.
                    return
        finally:
            # Nobody else closes it: a connection that is still read from would go back to those that others use.
            self._connected = False
            await pubsub.aclose()  # type: ignore[no-untyped-call]

    def _hearing(self) -> None:
        self._connected = True
        self._hears.set()
        if self._was_connected:
            log.info("bus_back")
            self._missed()
        self._was_connected = True

    def _hear(self, data: bytes) -> None:
        # Not decoded to be thrown away: with one process that would be every message, with all its recipients.
        mine = data.startswith(self._mine)
        if mine and not data.startswith(self._my_beat):
            return
        line, _, body = data.partition(b"\n")
        _, kind, head = loads(line)
        if mine:
            self.lag = time.monotonic() - head["at"]
        elif kind == GAP:
            self._missed()
        else:
            self._handlers.call(kind, head, body)

    def _missed(self) -> None:
        for callback in self._gap_callbacks:
            callback()


async def _take(message: Any) -> Any:
    """In place of redis-py's own, which makes a text of each message for a log that nobody reads."""
    return message


async def _wait(event: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
