"""Event streams (server-sent events, WHATWG HTML 9.2): connections on which the client sends nothing."""

import time
from functools import lru_cache
from operator import attrgetter

from service.common.close_reasons import SILENT
from service.common.identity import Identity
from service.common.times import iso, now
from service.realtime.connection import IDLE_TIMEOUT, Connection, ConnectionHost
from service.realtime.event import Event

RETRY_MS = 3000
"""Milliseconds after which an EventSource reconnects, unless `draining` names another time."""
HEARTBEAT_INTERVAL = 20.0
"""Seconds; well below the 55 after which routers such as Heroku's drop a silent connection."""
HEARTBEAT = "heartbeat"
LAST_CHUNK = b"0\r\n\r\n"


class EventStream(Connection):
    """An HTTP/1.1 response in chunks without end (RFC 9112, 7.1).

    Chunks distinguish an orderly end from a cut, and some caches (Varnish) hold the beginning of a body that only ends
    with its connection. Every block has data: some clients make an empty message of one that has none.
    """

    __slots__ = ("_headers", "_last_progress", "_next_heartbeat")

    encode = attrgetter("sse_chunk")
    transfer_encoding = b"Transfer-Encoding: chunked\r\n"
    end = LAST_CHUNK

    def __init__(self, host: ConnectionHost, caller: Identity, channel: str) -> None:
        super().__init__(host, caller, channel)
        self._headers = b""
        self._last_progress = 0.0
        self._next_heartbeat = 0.0

    def add_headers(self, headers: bytes) -> None:
        """Add lines to the head of the response, each ending in CRLF."""
        self._headers = headers

    def handshake_bytes(self) -> bytes:
        self._last_progress = self._loop_time()
        self._next_heartbeat = self._last_progress + HEARTBEAT_INTERVAL
        return (
            b"HTTP/1.1 200 OK\r\n"
            b"Content-Type: text/event-stream\r\n"
            b"Cache-Control: no-cache, no-transform\r\n"
            b"X-Accel-Buffering: no\r\n"
            b"Connection: close\r\n" + self.transfer_encoding + self._headers + b"\r\n"
        )

    def draining_notice(self, reconnect_after_ms: int) -> Event:
        fields = {"reconnect_after_ms": reconnect_after_ms}
        return Event("draining", fields, channel=self.channel, sse_fields=b"retry: %d\n" % reconnect_after_ms)

    def heartbeat(self, now: float) -> float:
        if not self._writing_paused:
            self._last_progress = now
        elif now - self._last_progress >= IDLE_TIMEOUT:
            self.close(*SILENT)
            if self.transport:
                self.transport.abort()
        if now >= self._next_heartbeat - 1:
            self._next_heartbeat = now + HEARTBEAT_INTERVAL
            if self.transport and not self._writing_paused:
                self.transport.write(type(self).encode(_heartbeat(self.channel, int(time.time()))))
        return self._next_heartbeat

    def write_close(self, code: int, reason: str) -> bool:
        """An event stream has no closing handshake: it ends with the last chunk."""
        if self.end and self.transport and not self.transport.is_closing():
            self.transport.write(self.end)
        return False

    def data_received(self, data: bytes) -> None:
        """Ignore `data`: the client of an event stream has nothing more to send."""


class UnchunkedEventStream(EventStream):
    """For an HTTP/1.0 client, such as nginx in its default configuration: the response ends with its connection."""

    __slots__ = ()

    encode = attrgetter("sse_bytes")
    transfer_encoding = b""
    end = b""


@lru_cache(8)
def _heartbeat(channel: str, second: int) -> Event:
    """The heartbeat of all streams within one `second`: encoded once."""
    return Event(HEARTBEAT, {"server_time": iso(now())}, channel=channel)
