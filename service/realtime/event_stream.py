"""Event streams (server-sent events, WHATWG HTML 9.2): connections on which the client sends nothing."""

from operator import attrgetter

from service.common.close_reasons import SILENT
from service.common.identity import Identity
from service.realtime.connection import IDLE_TIMEOUT, LIVE, Connection, ConnectionHost

RETRY_MS = 3000
COMMENT_INTERVAL = 20.0
"""Seconds; well below the 55 after which routers such as Heroku's drop a silent connection."""

COMMENT = b": \n\n"


class EventStream(Connection):
    """An HTTP response without a length and without chunks: it lasts as long as the connection (RFC 9112, 6.3)."""

    __slots__ = ("_headers", "_last_progress", "_next_comment")

    encode = attrgetter("sse_bytes")

    def __init__(self, host: ConnectionHost, caller: Identity, channel: str) -> None:
        super().__init__(host, caller, channel)
        self._headers = b""
        self._last_progress = 0.0
        self._next_comment = 0.0

    def add_headers(self, headers: bytes) -> None:
        """Add lines to the head of the response, each ending in CRLF."""
        self._headers = headers

    def handshake_bytes(self) -> bytes:
        self._last_progress = self._loop_time()
        self._next_comment = self._last_progress + COMMENT_INTERVAL
        return (
            b"HTTP/1.1 200 OK\r\n"
            b"Content-Type: text/event-stream\r\n"
            b"Cache-Control: no-cache, no-transform\r\n"
            b"X-Accel-Buffering: no\r\n"
            b"Connection: close\r\n" + self._headers + b"\r\nretry: %d\n\n" % RETRY_MS
        )

    def drain(self, reconnect_after_ms: int) -> None:
        if self._state is LIVE and self.transport:
            self.transport.write(self.queue.take() + b"retry: %d\n\n" % reconnect_after_ms)
        super().drain(reconnect_after_ms)

    def heartbeat(self, now: float) -> float:
        if not self._writing_paused:
            self._last_progress = now
        elif now - self._last_progress >= IDLE_TIMEOUT:
            self.close(*SILENT)
            if self.transport:
                self.transport.abort()
        if now >= self._next_comment - 1:
            self._next_comment = now + COMMENT_INTERVAL
            if self.transport and not self._writing_paused:
                self.transport.write(COMMENT)
        return self._next_comment

    def write_close(self, code: int, reason: str) -> bool:
        """An event stream has no closing handshake: it just ends."""
        return False

    def data_received(self, data: bytes) -> None:
        """Ignore `data`: the client of an event stream has nothing more to send."""
