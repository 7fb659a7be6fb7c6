"""A live connection: a bounded queue in front of a transport. Base of WebSocket and EventStream."""

import asyncio
import socket
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from enum import Enum
from operator import attrgetter
from typing import Any, ClassVar, Protocol, cast

import structlog

from service.common.close_reasons import GONE, RESTART, SLOW_CONSUMER, TOKEN_EXPIRED
from service.common.identity import Identity
from service.common.ids import new_id
from service.common.tasks import count_failure
from service.common.times import iso
from service.realtime.connection_queue import ConnectionQueue
from service.realtime.event import Event, Policy
from service.realtime.inbound_budget import InboundBudget
from service.realtime.timer_wheel import TimerWheel

log = structlog.get_logger()

WRITE_HIGH_WATER = 64 * 1024
"""Bytes that the transport may buffer; beyond that, events wait in the connection's queue, which is bounded."""
OVERFLOW_PAUSE = 1.0
"""Seconds between two checks whether a connection whose queue overflowed has caught up, so that a flood of events
causes at most one `reset` a second."""
OVERFLOW_TIMEOUT = 5.0
"""Seconds in which such a connection has to read what is queued for it, before it is closed with `slow_consumer`."""
CLOSE_TIMEOUT = 5.0
"""Seconds a peer has to complete the closing handshake before its connection is aborted."""
EXPIRY_NOTICE = 60.0
"""Seconds before its token expires that a connection is sent `token_expiring`."""
IDLE_TIMEOUT = 45.0
"""Seconds without any data from a peer (WebSocket), or to it (event stream), after which it counts as gone."""
TCP_USER_TIMEOUT = 23.0
"""Seconds after which the kernel drops a connection whose peer acknowledges nothing (RFC 5482). It is `IDLE_TIMEOUT`
less the time until an event stream sends something to acknowledge: a comment every 20 s, 1 s late at most."""


class ConnectionState(Enum):
    BUFFERING = "buffering"
    """Registered, while the edge reads what the client missed: events are queued, nothing is written."""
    LIVE = "live"
    """Events are written as they come."""
    CLOSING = "closing"
    """`close` has been called: nothing more is queued; the closing handshake or the end of the transport is awaited."""
    CLOSED = "closed"
    """The transport is gone."""


LIVE = ConnectionState.LIVE


class EventFilter(Protocol):
    """Decides which events arrive too late for one connection."""

    filters_sequenced: bool
    """Whether `rejects` may reject events with a sequence number, too. Only a call of `rejects` may change it."""

    def rejects(self, event: Event) -> bool:
        """Return whether to leave out `event`. Called for each event right before it would be queued."""
        ...


class WriteScheduler(Protocol):
    """What connections need of the FanOut."""

    def flush_pending_batches(self) -> None:
        """Queue all events delivered so far."""
        ...

    def schedule_write(self, connection: "Connection") -> None:
        """Call `connection.flush` at the end of this iteration of the event loop."""
        ...


class ConnectionHost(Protocol):
    """What connections need of the Registry."""

    timers: TimerWheel
    inbound: InboundBudget

    @property
    def fan_out(self) -> WriteScheduler: ...

    def unregister(self, connection: "Connection") -> None: ...

    def change_session(self, connection: "Connection", session_id: str) -> None: ...

    def mark_closing(self, connection: "Connection", reason: str) -> None: ...

    def mark_disconnected(self, connection: "Connection") -> None: ...

    def report_overflow(self, connection: "Connection", limit: str) -> None: ...


class Connection(asyncio.Protocol):
    """A client's connection to one channel, and the asyncio protocol of its transport.

    Life: created by an edge and registered (BUFFERING); `go_live` is called with what the client missed (LIVE); the
    `HijackResponse` then gives it its transport; it is closed once, with a reason (CLOSING), by whichever side; the
    transport ends (CLOSED). No method awaits except `wait_until_written`, and no connection needs a task: queued events
    are written once for each iteration of the event loop, and timing is the TimerWheel's.

    `direct_transport` is the fast path of the fan-out. It is the transport while an event may be written to it at once,
    and otherwise None. Only `_update_write_path` sets it.
    """

    __slots__ = (
        "_abort_at",
        "_all_written",
        "_close_reason",
        "_expiry_announced",
        "_fan_out",
        "_flush_scheduled",
        "_on_close",
        "_overflow_deadline",
        "_state",
        "_writing_paused",
        "channel",
        "direct_transport",
        "event_filter",
        "expires_at",
        "host",
        "id",
        "nest_notice_fields",
        "next_tick",
        "queue",
        "replayed_up_to",
        "resyncs_after_overflow",
        "session_id",
        "token_id",
        "transport",
        "user_id",
    )

    def __init__(
        self, host: ConnectionHost, caller: Identity, channel: str, *, nest_notice_fields: bool = False
    ) -> None:
        """`nest_notice_fields`: put the fields of notices (`reset`, `draining` …) into `data`, as the channel's events
        have them."""
        self.id = new_id()
        self.user_id = caller.user_id
        self.session_id = caller.session_id
        self.token_id = caller.token_id
        self.expires_at = caller.expires_at
        self.channel = channel
        self.nest_notice_fields = nest_notice_fields
        self.host = host
        self.queue = ConnectionQueue()
        self.transport: asyncio.Transport | None = None
        self.direct_transport: asyncio.Transport | None = None
        self.event_filter: EventFilter | None = None
        """Called for each event without a sequence number, and with one if it `filters_sequenced`."""
        self.replayed_up_to = 0
        """Events up to this sequence number have been replayed. For channels with one topic for each user."""
        self.resyncs_after_overflow = False
        """Whether the client fetches all events with a sequence number after a `reset`. See `_begin_overflow`."""
        self.next_tick = 0
        self._fan_out = host.fan_out
        self._state = ConnectionState.BUFFERING
        self._flush_scheduled = False
        self._writing_paused = False
        self._close_reason: tuple[int, str] = GONE
        self._abort_at = 0.0
        self._expiry_announced = False
        self._overflow_deadline = 0.0
        """When a connection whose queue overflowed is closed. 0 if its queue has not overflowed."""
        self._on_close: list[Callable[[], None]] = []
        self._all_written: asyncio.Event | None = None

    # Called by edges and services.

    def send(self, event: Event) -> None:
        """Queue `event` after all events delivered so far. If it is durable and does not fit, close the connection with
        `slow_consumer`."""
        self._fan_out.flush_pending_batches()
        if not self.try_enqueue(event):
            self.disconnect_slow()

    def go_live(
        self, first: Sequence[Event], *, replayed_up_to: int = 0, event_filter: EventFilter | None = None
    ) -> None:
        """End the buffering: queue `first`, then the events buffered meanwhile; from now on, write.

        Leaves out events with a sequence number up to `replayed_up_to`, and those that `event_filter` rejects: an event
        of `first` may still arrive, if it was stored before the edge read it and is still on its way to this process.
        Does nothing if the connection has been closed meanwhile.
        """
        self._fan_out.flush_pending_batches()
        # The flush may have closed the connection, if there was too much for its queue.
        if self.closing:
            return
        buffered = self.queue.events()
        self.queue.clear()
        # The client asked for this much: the bounds are for what it did not ask for.
        bounds = self.queue.max_events, self.queue.max_bytes
        self.queue.max_events, self.queue.max_bytes = 1 << 30, 1 << 30
        for event in first:
            self.queue.put(event, self.encode(event))
        self.replayed_up_to = replayed_up_to
        self.event_filter = event_filter
        self._state = LIVE
        for event in buffered:
            self.try_enqueue(event)
        self.queue.max_events, self.queue.max_bytes = bounds
        self._update_write_path()

    def notice(self, type: str, fields: dict[str, Any]) -> Event:
        """Return an event about this connection itself, in the shape of its channel's events."""
        return Event(type, {"data": fields} if self.nest_notice_fields else fields, channel=self.channel)

    def refresh_token(self, caller: Identity) -> None:
        """Extend the connection's life to that of a fresh token of the same user."""
        self.token_id = caller.token_id
        if caller.session_id != self.session_id:
            self.host.change_session(self, caller.session_id)
        self.expires_at = caller.expires_at
        self._expiry_announced = False
        if self.transport:
            self.host.timers.schedule(self._loop_time(), self)

    def close(self, code: int, reason: str) -> None:
        """Write what is queued, then the close code and reason, and end the connection. Later calls do nothing.

        Nothing queued is written if the connection was not live yet.
        """
        self._fan_out.flush_pending_batches()
        # The flush may have closed the connection, if there was too much for its queue.
        if self.closing:
            return
        if self._state is ConnectionState.BUFFERING:
            self.queue.clear()
        self._state = ConnectionState.CLOSING
        self._close_reason = (code, reason)
        self._update_write_path()
        self.host.unregister(self)
        for callback in self._on_close:
            try:
                callback()
            except Exception:
                count_failure("on_close")
                log.exception("on_close_failed", connection_id=self.id)
        self._on_close.clear()
        if self._all_written:
            self._all_written.set()
        if self.transport:
            self._start_closing()

    def drain(self, reconnect_after_ms: int) -> None:
        """Tell the client when to reconnect, and close: the server stops."""
        self.send(self.draining_notice(reconnect_after_ms))
        self.close(*RESTART)

    def draining_notice(self, reconnect_after_ms: int) -> Event:
        return self.notice("draining", {"reconnect_after_ms": reconnect_after_ms})

    def on_close(self, callback: Callable[[], None]) -> None:
        """Call `callback` once when either side closes the connection; at once if it is closed already."""
        if self.closing:
            callback()
        else:
            self._on_close.append(callback)

    @property
    def overflowed(self) -> bool:
        """Whether events are dropped because the queue overflowed, and the `reset` is still to be sent."""
        return self._overflow_deadline > 0

    @property
    def closing(self) -> bool:
        """Whether `close` has been called."""
        return self._state is ConnectionState.CLOSING or self._state is ConnectionState.CLOSED

    async def wait_until_written(self) -> None:
        """Wait until the transport has taken all that was queued. For answers that are longer than the queue."""
        while not self.closing and (self._writing_paused or len(self.queue)):
            self._all_written = self._all_written or asyncio.Event()
            self._all_written.clear()
            await self._all_written.wait()

    @property
    def token_expires_at(self) -> str:
        return iso(datetime.fromtimestamp(self.expires_at, UTC))

    # Defined by the subclasses.

    encode: ClassVar["attrgetter[bytes]"]
    """`encode(event)` returns the event, or a whole EventBatch, in the bytes of this kind of connection."""

    def heartbeat(self, now: float) -> float:
        """Send the peer and the routers on the way a sign of life if one is due; return when the next one is due."""
        raise NotImplementedError

    def write_close(self, code: int, reason: str) -> bool:
        """Write the end of the stream. Return whether the peer ends the transport; if not, it is closed at once."""
        raise NotImplementedError

    def handshake_bytes(self) -> bytes:
        """Return the first bytes to write: the HTTP response that starts this kind of connection."""
        raise NotImplementedError

    # Called by the transport.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have the methods of asyncio.Transport but are no subclasses of it.
        self.transport = transport = cast(asyncio.Transport, transport)
        transport.set_write_buffer_limits(high=WRITE_HIGH_WATER)
        _set_tcp_user_timeout(transport.get_extra_info("socket"))
        if self.closing:
            transport.write(self.handshake_bytes())
            self._start_closing()
            return
        # In one write: the client receives its first events with the head of the response.
        first = self.queue.take() if self._state is LIVE else b""
        transport.write(self.handshake_bytes() + first)
        self.host.timers.schedule(self.tick(self._loop_time()), self)
        self._update_write_path()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.closing:
            self.host.mark_closing(self, GONE.reason)
        self.transport = None
        self._update_write_path()
        self.close(*GONE)
        self._state = ConnectionState.CLOSED
        self.queue.clear()
        self.host.timers.cancel(self)
        self.host.mark_disconnected(self)

    def pause_writing(self) -> None:
        self._writing_paused = True
        self._update_write_path()

    def resume_writing(self) -> None:
        self._writing_paused = False
        self._update_write_path()
        if self._all_written and not len(self.queue):
            self._all_written.set()

    # Called by the registry, the fan-out and the timer wheel.

    def try_enqueue(self, event: Event) -> bool:
        """Queue `event` without flushing pending batches first. Return False if it is durable and does not fit."""
        if self._state is not LIVE and self.closing:
            return True
        if event.sequence and event.sequence <= self.replayed_up_to:
            return True
        if self._overflow_deadline and (event.sequence or event.policy is not Policy.DURABLE):
            return True
        event_filter = self.event_filter
        if (
            event_filter is not None
            and (event_filter.filters_sequenced or not event.sequence)
            and event_filter.rejects(event)
        ):
            return True
        if not self.queue.put(event, self.encode(event)):
            if not self._begin_overflow():
                return False
            if not event.sequence and not self.queue.put(event, self.encode(event)):
                return False
        if not self._flush_scheduled:
            self._update_write_path()
        return True

    def disconnect_slow(self) -> None:
        """Drop what is queued and close: the peer reads too slowly, and fetches what it missed when it reconnects."""
        if self.closing:
            return
        if not self._overflow_deadline:
            self._report_overflow()
        self.queue.clear()
        self.close(*SLOW_CONSUMER)

    def flush(self) -> None:
        """Hand all queued events to the transport, in one write."""
        self._flush_scheduled = False
        if self.transport is not None and not self._writing_paused and self.queue.size:
            self.transport.write(self.queue.take())
            if self._all_written and not self._writing_paused:
                self._all_written.set()
        self._update_write_path()

    def tick(self, now: float) -> float:
        """See `Timer`: send heartbeats, announce and enforce the token's expiry, abort a closing that hangs."""
        if self.closing:
            if now >= self._abort_at and self.transport:
                self.transport.abort()
            return self._abort_at + CLOSE_TIMEOUT
        seconds_left = self.expires_at - datetime.now(UTC).timestamp()
        if seconds_left <= 0:
            self.close(*TOKEN_EXPIRED)
            return self._abort_at
        if self._overflow_deadline:
            self._check_overflow(now)
            if self.closing:
                return self._abort_at
        if seconds_left <= EXPIRY_NOTICE and not self._expiry_announced:
            self._expiry_announced = True
            self.send(self.notice("token_expiring", {"token_expires_at": self.token_expires_at}))
            if self.closing:
                return self._abort_at
        next_expiry_check = seconds_left if self._expiry_announced else seconds_left - EXPIRY_NOTICE
        when = min(self.heartbeat(now), now + next_expiry_check)
        return min(when, now + OVERFLOW_PAUSE) if self._overflow_deadline else when

    def _begin_overflow(self) -> bool:
        """Keep the connection open although its queue is full; return False if it has to be closed.

        If the client `resyncs_after_overflow`, drop the queued events with a sequence number, and further ones too,
        until the client has read the rest. It then gets a `reset` and fetches what was dropped. So a flood of events,
        which anybody may cause, disconnects only clients that do not read.
        """
        if not self.resyncs_after_overflow or self._state is not LIVE or self._overflow_deadline:
            return False
        self._report_overflow()
        self._overflow_deadline = self._loop_time() + OVERFLOW_TIMEOUT
        self.queue.discard_sequenced()
        self.host.timers.schedule(self._loop_time() + OVERFLOW_PAUSE, self)
        return True

    def _report_overflow(self) -> None:
        self.host.report_overflow(self, "events" if len(self.queue) >= self.queue.max_events else "bytes")

    def _check_overflow(self, now: float) -> None:
        """Send `reset` if the client has caught up since its queue overflowed; if it takes too long, close."""
        if not self._writing_paused and not self.queue.size:
            self._overflow_deadline = 0.0
            self.send(self.notice("reset", {"reason": "slow_consumer"}))
            self._update_write_path()
        elif now >= self._overflow_deadline:
            self.disconnect_slow()

    def _update_write_path(self) -> None:
        """Decide how the next event leaves: directly, or through the queue. Schedules a flush if events are queued."""
        if self._flush_scheduled:
            # `direct_transport` is None until the flush.
            return
        if self._state is not LIVE or self._writing_paused or self.transport is None:
            self.direct_transport = None
        elif self.queue.size:
            self.direct_transport = None
            self._flush_scheduled = True
            self._fan_out.schedule_write(self)
        elif self._overflow_deadline:
            self.direct_transport = None
        elif self.event_filter is None or not self.event_filter.filters_sequenced:
            self.direct_transport = self.transport
        else:
            self.direct_transport = None

    def _start_closing(self) -> None:
        assert self.transport
        self.host.mark_closing(self, self._close_reason[1])
        # First of all: if a write fails, the timer still aborts the connection.
        self._abort_at = self._loop_time() + CLOSE_TIMEOUT
        self.host.timers.schedule(self._abort_at, self)
        if len(self.queue):
            self.transport.write(self.queue.take())
        if not self.write_close(*self._close_reason):
            self.transport.close()

    @staticmethod
    def _loop_time() -> float:
        return asyncio.get_running_loop().time()


def _set_tcp_user_timeout(sock: Any) -> None:
    if sock is not None and hasattr(socket, "TCP_USER_TIMEOUT") and sock.family in (socket.AF_INET, socket.AF_INET6):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(TCP_USER_TIMEOUT * 1000))
