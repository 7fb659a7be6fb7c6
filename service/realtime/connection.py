"""A live connection: a bounded queue in front of a bare transport. Sockets and event streams are its two kinds."""

import asyncio
import socket
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from operator import attrgetter
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, cast

from service.common.close_reasons import GONE, RESTART, SLOW_CONSUMER, TOKEN_EXPIRED
from service.common.identity import Identity
from service.common.ids import new_id
from service.common.times import iso
from service.realtime.connection_queue import ConnectionQueue
from service.realtime.event import Event

if TYPE_CHECKING:
    from service.realtime.registry import Registry

HIGH_WATER = 64 * 1024
"""Bytes that may wait inside the transport; past it, what comes waits in the queue, where it is bounded."""
CLOSE_TIMEOUT = 5.0
"""Seconds a peer has to take part in the closing before it is cut off."""
EXPIRY_NOTICE = 60.0
"""Seconds ahead of its token's expiry that a connection is told."""
IDLE_TIMEOUT = 45.0
"""Seconds without a sign of life after which a peer is gone."""
TCP_USER_TIMEOUT = 23.0
"""Seconds after which the kernel gives up a peer that acknowledges nothing (RFC 5482): `IDLE_TIMEOUT` less
the 20 s, and the ticker's one, in which an event stream sends something that is to be acknowledged."""


class EventFilter(Protocol):
    """Knows which events come too late for one connection."""

    filters_sequenced: bool
    """Whether that may be a numbered one, too. Only a call of `rejects` may change it."""

    def rejects(self, event: Event) -> bool:
        """Whether `event`, about to be queued, is to be left out."""
        ...


class Connection(asyncio.Protocol):
    """Base of WebSocket and EventStream, and the asyncio protocol of their transport.

    Life: made by an edge, *held* while the edge reads what it missed (events gather), `open`ed with those first, given
    its transport by `HijackResponse`, closed once. Nothing here awaits and nothing needs a task: bytes leave in one
    write a turn of the loop, and time comes from the registry's ticker.
    """

    __slots__ = (
        "_close_by",
        "_closing",
        "_dirty",
        "_drained",
        "_expiry_announced",
        "_held",
        "_on_close",
        "_paused",
        "channel",
        "direct_transport",
        "event_filter",
        "expires_at",
        "id",
        "nest_notice_fields",
        "next_tick",
        "queue",
        "registry",
        "replayed_up_to",
        "session_id",
        "token_id",
        "transport",
        "user_id",
    )

    def __init__(
        self, registry: "Registry", caller: Identity, channel: str, *, nest_notice_fields: bool = False
    ) -> None:
        """`nest_notice_fields`: the fields of `reset`, `draining` and the like go inside `data`, as its events do."""
        self.id = new_id()
        self.user_id = caller.user_id
        self.session_id = caller.session_id
        self.token_id = caller.token_id
        self.expires_at = caller.expires_at
        self.channel = channel
        self.nest_notice_fields = nest_notice_fields
        self.registry = registry
        self.queue = ConnectionQueue()
        self.transport: asyncio.Transport | None = None
        self.direct_transport: asyncio.Transport | None = None
        """The transport, while a numbered event may be written to it straight away: nothing waits, nothing hinders."""
        self.event_filter: EventFilter | None = None
        """Asked about every event without a number, and about the numbered ones where it says so."""
        self.replayed_up_to = 0
        """Numbered events up to this one are in its past. For a channel that has one topic."""
        self.next_tick = 0
        self._held = True
        self._dirty = False
        self._paused = False
        self._closing: tuple[int, str] | None = None
        self._close_by = 0.0
        self._expiry_announced = False
        self._on_close: list[Callable[[], None]] = []
        self._drained: asyncio.Event | None = None

    # What an edge or the registry calls.

    def send(self, event: Event) -> None:
        """Queue `event`, after all that was delivered before. Where a durable one finds no room, the connection is
        closed with `slow_consumer`."""
        self.registry.flush_pending_batches()
        if not self.try_enqueue(event):
            self.disconnect_slow()

    def try_enqueue(self, event: Event) -> bool:
        """As `send`, but for what was delivered before, and only say so (False) where a durable event finds no room."""
        if self._closing:
            return True
        if event.sequence and event.sequence <= self.replayed_up_to:
            return True
        event_filter = self.event_filter
        if (
            event_filter is not None
            and (event_filter.filters_sequenced or not event.sequence)
            and event_filter.rejects(event)
        ):
            return True
        if not self.queue.put(event, self.encode(event)):
            return False
        if not self._dirty:
            self._want_flush()
        return True

    def disconnect_slow(self) -> None:
        """The peer reads too slowly: what waits would come too late, and it will ask for it again."""
        if self._closing:
            return
        self.registry.report_overflow(self, "events" if len(self.queue) >= self.queue.max_events else "bytes")
        self.queue.clear()
        self.close(*SLOW_CONSUMER)

    def go_live(
        self, first: Sequence[Event], *, replayed_up_to: int = 0, event_filter: EventFilter | None = None
    ) -> None:
        """End the hold: `first`, then what gathered meanwhile, then what comes; both but for numbered events up to
        `replayed_up_to`, and those that `event_filter` rejects.

        What is in `first` may yet come: it was stored when the past was read, and is still on its way here. Where the
        connection has been closed meanwhile, nothing of it is said.
        """
        self.registry.flush_pending_batches()
        # That may have been too much for it, and closed it.
        if self._closing:
            return
        gathered = self.queue.events()
        self.queue.clear()
        # What the connection asked for is as long as it is: the bound is for what it did not ask for.
        room = self.queue.max_events, self.queue.max_bytes
        self.queue.max_events, self.queue.max_bytes = 1 << 30, 1 << 30
        for event in first:
            self.queue.put(event, self.encode(event))
        self.replayed_up_to = replayed_up_to
        self.event_filter = event_filter
        self._held = False
        for event in gathered:
            self.try_enqueue(event)
        self.queue.max_events, self.queue.max_bytes = room
        self._want_flush()

    def notice(self, type: str, fields: dict[str, Any]) -> Event:
        """An event about this connection itself, in the shape of its channel."""
        return Event(type, {"data": fields} if self.nest_notice_fields else fields, channel=self.channel)

    def refresh_token(self, caller: Identity) -> None:
        """A fresh token of the same user and session was shown: the connection lives as long as it does."""
        self.token_id = caller.token_id
        self.session_id = caller.session_id
        self.expires_at = caller.expires_at
        self._expiry_announced = False
        if self.transport:
            self.registry.timers.schedule(self._loop_time(), self)

    def close(self, code: int, reason: str) -> None:
        """Send what waits, say why, and end. Only the first call counts."""
        self.registry.flush_pending_batches()
        # That may have been too much for it, and closed it.
        if self._closing:
            return
        self._closing = (code, reason)
        self.direct_transport = None
        self.registry.unregister(self)
        for callback in self._on_close:
            callback()
        self._on_close.clear()
        if self._drained:
            self._drained.set()
        if self.transport:
            self._finish()

    def drain(self, reconnect_after_ms: int) -> None:
        """The server is going: say when to come back, and close."""
        self.send(self.notice("draining", {"reconnect_after_ms": reconnect_after_ms}))
        self.close(*RESTART)

    def on_close(self, callback: Callable[[], None]) -> None:
        """Call `callback` once when the connection closes, whoever closes it; at once where it is closed already."""
        if self._closing:
            callback()
        else:
            self._on_close.append(callback)

    @property
    def closing(self) -> bool:
        return self._closing is not None

    async def wait_until_written(self) -> None:
        """Wait until all that was queued has gone to the transport, for answers too long for the queue."""
        while not self._closing and (self._paused or len(self.queue)):
            self._drained = self._drained or asyncio.Event()
            self._drained.clear()
            await self._drained.wait()

    @property
    def token_expires_at(self) -> str:
        return iso(datetime.fromtimestamp(self.expires_at, UTC))

    # What the kinds define.

    encode: ClassVar["attrgetter[bytes]"]
    """An event in the bytes of this kind."""

    def heartbeat(self, now: float) -> float:
        """Show the peer, and the routers on the way, that the connection lives; return when to do it next."""
        raise NotImplementedError

    def write_close(self, code: int, reason: str) -> bool:
        """Write the closing; False where the transport can be closed as soon as that is out."""
        raise NotImplementedError

    def handshake_bytes(self) -> bytes:
        """The first bytes to write: the HTTP response that starts this kind."""
        raise NotImplementedError

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have the methods but not the base class.
        self.transport = transport = cast(asyncio.Transport, transport)
        transport.set_write_buffer_limits(high=HIGH_WATER)
        _tune(transport.get_extra_info("socket"))
        transport.write(self.handshake_bytes())
        if self._closing:
            self._finish()
            return
        self.registry.timers.schedule(self.tick(self._loop_time()), self)
        self._want_flush()

    def connection_lost(self, error: Exception | None) -> None:
        if not self._closing:
            self.registry.mark_closing(self, GONE.reason)
        self.transport = self.direct_transport = None
        self.close(*GONE)
        self.queue.clear()
        self.registry.timers.cancel(self)
        self.registry.mark_disconnected(self)

    def pause_writing(self) -> None:
        self._paused = True
        self.direct_transport = None

    def resume_writing(self) -> None:
        self._paused = False
        self._want_flush()
        if self._drained and not len(self.queue):
            self._drained.set()

    # What the registry and its ticker call.

    def flush(self) -> None:
        """Hand all that waits to the transport, in one write."""
        self._dirty = False
        if self.transport is not None and not self._paused and self.queue.size:
            self.transport.write(self.queue.take())
            if self._drained and not self._paused:
                self._drained.set()
        self._want_flush()

    def tick(self, now: float) -> float:
        """See `Timer`: heartbeat, expiry, and the end of a closing that takes too long."""
        if self._closing:
            if now >= self._close_by and self.transport:
                self.transport.abort()
            return self._close_by + CLOSE_TIMEOUT
        left = self.expires_at - datetime.now(UTC).timestamp()
        if left <= 0:
            self.close(*TOKEN_EXPIRED)
            return self._close_by
        if left <= EXPIRY_NOTICE and not self._expiry_announced:
            self._expiry_announced = True
            self.send(self.notice("token_expiring", {"token_expires_at": self.token_expires_at}))
        return min(self.heartbeat(now), now + (left if self._expiry_announced else left - EXPIRY_NOTICE))

    def _want_flush(self) -> None:
        if self._dirty or self._held or self._paused or self._closing or self.transport is None:
            return
        if self.queue.size:
            self._dirty = True
            self.direct_transport = None
            self.registry.schedule_write(self)
        elif self.event_filter is None or not self.event_filter.filters_sequenced:
            self.direct_transport = self.transport

    def _finish(self) -> None:
        assert self.transport
        assert self._closing
        self.registry.mark_closing(self, self._closing[1])
        if len(self.queue) and not self._held:
            self.transport.write(self.queue.take())
        self._close_by = self._loop_time() + CLOSE_TIMEOUT
        self.registry.timers.schedule(self._close_by, self)
        if not self.write_close(*self._closing):
            self.transport.close()

    @staticmethod
    def _loop_time() -> float:
        return asyncio.get_running_loop().time()


def _tune(sock: Any) -> None:
    """Let the kernel give up on a peer that no longer acknowledges."""
    if sock is not None and hasattr(socket, "TCP_USER_TIMEOUT") and sock.family in (socket.AF_INET, socket.AF_INET6):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(TCP_USER_TIMEOUT * 1000))
