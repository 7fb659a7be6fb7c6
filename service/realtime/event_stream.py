"""An event stream (server-sent events, WHATWG HTML 9.2): the same connection, with nothing coming in."""

from operator import attrgetter

from service.common.close_reasons import SILENT
from service.common.identity import Identity
from service.realtime.connection import IDLE_TIMEOUT, Connection
from service.realtime.registry import Registry

RETRY_MS = 3000
COMMENT_INTERVAL = 20.0
"""Seconds; well inside the 55 after which routers such as Heroku's cut a silent connection."""

COMMENT = b": \n\n"


class EventStream(Connection):
    """The response has no length and no chunks: it lasts as long as the connection does (RFC 9112, 6.3)."""

    __slots__ = ("_headers", "_last_flow", "_next_comment")

    encode = attrgetter("sse_bytes")

    def __init__(self, registry: Registry, caller: Identity, channel: str) -> None:
        super().__init__(registry, caller, channel)
        self._headers = b""
        self._last_flow = 0.0
        self._next_comment = 0.0

    def add_headers(self, headers: bytes) -> None:
        """More lines for the response's head, each ending in CRLF."""
        self._headers = headers

    def handshake_bytes(self) -> bytes:
        self._last_flow = self._loop_time()
        self._next_comment = self._last_flow + COMMENT_INTERVAL
        return (
            b"HTTP/1.1 200 OK\r\n"
            b"Content-Type: text/event-stream\r\n"
            b"Cache-Control: no-cache, no-transform\r\n"
            b"X-Accel-Buffering: no\r\n"
            b"Connection: close\r\n" + self._headers + b"\r\nretry: %d\n\n" % RETRY_MS
        )

    def drain(self, reconnect_after_ms: int) -> None:
        if not self.closing and self.transport and not self._held:
            self.transport.write(self.queue.take() + b"retry: %d\n\n" % reconnect_after_ms)
        super().drain(reconnect_after_ms)

    def heartbeat(self, now: float) -> float:
        if not self._paused:
            self._last_flow = now
        elif now - self._last_flow >= IDLE_TIMEOUT:
            self.close(*SILENT)
            if self.transport:
                self.transport.abort()
        if now >= self._next_comment - 1:
            self._next_comment = now + COMMENT_INTERVAL
            if self.transport and not self._paused:
                self.transport.write(COMMENT)
        return self._next_comment

    def write_close(self, code: int, reason: str) -> bool:
        return False

    def data_received(self, data: bytes) -> None:
        """An event stream's client has nothing more to say; what it says all the same is not kept."""
