"""The response with which a connection takes over its transport from Sanic."""

from typing import Any

from sanic import HTTPResponse
from sanic.http.constants import Stage

from service.common.close_reasons import GONE
from service.realtime.connection import Connection
from service.realtime.event_stream import EventStream

RESERVED_HEADERS = {
    "content-type",
    "content-length",
    "transfer-encoding",
    "connection",
    "cache-control",
    "x-accel-buffering",
}
"""Headers that EventStream writes itself, or that do not apply to a response without a length."""


class HijackResponse(HTTPResponse):
    """Returned from a handler. Middleware sees it like any response; then `connection` becomes the protocol of the
    transport.

    Sanic's HTTP protocol is detached: it no longer counts, times or closes the transport. So draining connections when
    the server stops is up to the registry.
    """

    __slots__ = ("_connection",)

    def __init__(self, connection: Connection, status: int = 101) -> None:
        super().__init__(status=200 if isinstance(connection, EventStream) else status)
        self._connection = connection

    async def send(self, data: Any = None, end_stream: bool | None = None) -> None:
        http: Any = self.stream
        protocol = http.protocol
        transport = protocol.transport
        # Ends Sanic's loop over the requests of this transport, without a response of its own.
        http.keep_alive = False
        http.stage = Stage.IDLE
        http.response_func = None
        if transport is None or transport.is_closing():
            self._connection.close(*GONE)
            return
        if isinstance(self._connection, EventStream):
            self._connection.add_headers(_header_lines(self))
        buffered = bytes(http.recv_buffer)
        http.recv_buffer.clear()
        protocol.connections.discard(protocol)
        protocol.transport = None
        transport.set_protocol(self._connection)
        transport.resume_reading()
        self._connection.connection_made(transport)
        if buffered:
            self._connection.data_received(buffered)


def _header_lines(response: HTTPResponse) -> bytes:
    """Return the headers that middleware has added, as bytes of the response head."""
    return b"".join(
        b"%b: %b\r\n" % (name, value)
        for name, value in response.processed_headers
        if name.decode().lower() not in RESERVED_HEADERS
    )
