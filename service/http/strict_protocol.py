"""Sanic's HTTP/1.1, made to follow RFC 9112 where it does not: heads, chunks, trailers, `Expect`.

One subclass of Sanic's `Http` corrects all of it. Everything else of a request is Sanic's own.
"""

# mypy: allow-untyped-calls, allow-subclassing-any

import asyncio
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from sanic.exceptions import BadRequest, PayloadTooLarge, SanicException
from sanic.http import Http
from sanic.server.protocols.http_protocol import HttpProtocol

from service.http.request_head import FIELD, BadHead, check_head

CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?")
"""A size in hex digits and extensions, which Loa ignores (RFC 9112, 7.1.1)."""
CHUNKED_FIELD = re.compile(rb"(\r\ntransfer-encoding:)[ \t]*chunked[ \t]*(?=\r\n|\Z)", re.IGNORECASE)
MAX_CHUNK_LINE = 256
TARGET = re.compile(rb"[^ ]* ([^ ?]*)")
MAX_TRAILERS = 4096
"""Bytes. Trailer fields are read and dropped (RFC 9112, 7.1.2)."""
LINGER_TIME = 5.0
"""Seconds for which the rest of a refused body is received and dropped."""


class StrictHttp(Http):
    """One connection's requests. See the module."""

    async def http1(self) -> None:
        await super().http1()
        if self.request_body:
            await self._linger()

    async def http1_request_header(self) -> None:
        await self._receive_head()
        await super().http1_request_header()
        left: Any = self.request_bytes_left
        if self.expecting_continue and left > self.request_max_size:
            # Before the client sends it all (RFC 9110, 10.1.1).
            raise PayloadTooLarge("Request body exceeds the size limit")

    async def _linger(self) -> None:
        """Drop the rest of a refused body until the client closes the connection (RFC 9112, 9.6).

        Closing it at once would make the kernel answer what still arrives with a reset. The client, which is sending,
        may see that before the response: Apache's proxy then responds 502.
        """
        transport: Any = self.protocol.transport
        if transport is None or transport.is_closing():
            return
        transport.write_eof()
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER_TIME):
                while True:
                    self.recv_buffer.clear()
                    await self._receive_more()

    def respond(self, response: Any) -> Any:
        if self.expecting_continue:
            # Nobody has asked for the body, so the client may or may not send it: only a new connection is certain.
            self.expecting_continue = False
            self.request_body = None
            self.keep_alive = False
        elif self.request_body:
            # What is left of it may be more than is worth reading.
            self.keep_alive = False
        return super().respond(response)

    async def read(self) -> bytes | None:
        framing: Any = self.request_body
        if framing != "chunked":
            return await super().read()
        if self.expecting_continue:
            return await self._ask_for_the_body()
        if self.request_bytes_left == 0 and not await self._start_chunk():
            self.request_body = None
            return None
        buffer = self.recv_buffer
        if not buffer:
            await self._receive_more()
        left: Any = self.request_bytes_left
        data = bytes(buffer[:left])
        del buffer[: len(data)]
        self.request_bytes_left = left - len(data)
        return data

    async def _ask_for_the_body(self) -> bytes | None:
        self.expecting_continue = False
        await self._send(b"HTTP/1.1 100 Continue\r\n\r\n")
        return await self.read()

    async def _receive_head(self) -> None:
        """Wait until the head is complete and check it. Sanic refuses one that is too large."""
        buffer = self.recv_buffer
        while True:
            # An empty line before the request is ignored (RFC 9112, 2.2).
            while buffer.startswith(b"\r\n"):
                del buffer[:2]
            end = buffer.find(b"\r\n\r\n")
            if end >= 0 or len(buffer) >= self.HEADER_MAX_SIZE:
                break
            await self._receive_more()
        if not 0 <= end < self.HEADER_MAX_SIZE:
            return
        try:
            head = check_head(bytes(buffer[:end]))
        except BadHead as error:
            raise (
                BadRequest("Bad Request") if error.status == 400 else SanicException(status_code=error.status)
            ) from None
        self._set_body_limit(bytes(buffer[:end]))
        if head.chunked:
            # Sanic knows the coding in lower case only.
            buffer[:end] = CHUNKED_FIELD.sub(rb"\1 chunked", bytes(buffer[:end]))

    def _set_body_limit(self, head: bytes) -> None:
        """Set the size limit of the request's body, which some paths have for themselves (`app.ctx.body_limits`)."""
        limits: Mapping[bytes, int] = getattr(self.protocol.app.ctx, "body_limits", {})
        target = TARGET.match(head)
        if target and (limit := limits.get(target[1])):
            self.request_max_size = limit

    async def _start_chunk(self) -> bool:
        """Read the line of the next chunk; False after the last chunk and the trailers. Raises BadRequest."""
        buffer = self.recv_buffer
        # Sanic leaves the CRLF that ends the head, and that of a chunk's data, in front of the next line.
        line = await self._line_after_crlf()
        matched = CHUNK_LINE.fullmatch(line)
        if not matched:
            raise self._bad_chunk()
        del buffer[: len(line) + 4]
        self.request_bytes_left = int(matched[1], 16)
        received: Any = self.request_bytes
        self.request_bytes = received + self.request_bytes_left
        if self.request_bytes > self.request_max_size:
            self.keep_alive = False
            raise PayloadTooLarge("Request body exceeds the size limit")
        if self.request_bytes_left:
            return True
        await self._drop_trailers()
        return False

    async def _line_after_crlf(self) -> bytes:
        buffer = self.recv_buffer
        while (end := buffer.find(b"\r\n", 2)) < 0:
            if len(buffer) > MAX_CHUNK_LINE:
                raise self._bad_chunk()
            await self._receive_more()
        if buffer[:2] != b"\r\n":
            raise self._bad_chunk()
        return bytes(buffer[2:end])

    async def _drop_trailers(self) -> None:
        buffer = self.recv_buffer
        dropped = 0
        while True:
            while (end := buffer.find(b"\r\n")) < 0:
                if len(buffer) > MAX_TRAILERS:
                    raise self._bad_chunk()
                await self._receive_more()
            line = bytes(buffer[:end])
            if not line:
                del buffer[:2]
                return
            dropped += len(line)
            if dropped > MAX_TRAILERS or not FIELD.fullmatch(line):
                raise self._bad_chunk()
            del buffer[: end + 2]

    def _bad_chunk(self) -> BadRequest:
        self.keep_alive = False
        return BadRequest("Bad chunked encoding")


class StrictHttpProtocol(HttpProtocol):
    """Sanic's protocol of a transport, with `StrictHttp` on it."""

    HTTP_CLASS = StrictHttp
