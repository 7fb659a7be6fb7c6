"""A WebSocket connection (RFC 6455) on a bare transport. Frames are parsed by the sans-I/O protocol of `websockets`.

Sanic's own WebSocket is not used: it silently drops text that is not UTF-8, may handle the messages of one client out
of order, never disconnects a client that stops reading, and needs three tasks for each connection.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any

from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.streams import StreamReader

from service.common.close_reasons import (
    CLOSED_BY_PEER,
    GONE,
    INTERNAL_ERROR,
    NOT_UTF8,
    PROTOCOL_ERROR,
    SILENT,
    TEXT_ONLY,
    TOO_LARGE,
)
from service.common.identity import Identity
from service.realtime import permessage_deflate
from service.realtime.connection import IDLE_TIMEOUT, Connection, ConnectionHost
from service.realtime.handshake import accept

MAX_MESSAGE_BYTES = 64 * 1024
MAX_FRAGMENTS = 1024
"""A message in more fragments than this only serves to make the server store fragments."""
PING_INTERVAL = 25.0
"""Seconds; well below the 55 after which routers such as Heroku's drop a silent connection."""

logger = logging.getLogger("loa.websocket")
logger.setLevel(logging.ERROR)
"""The protocol logs each connection that opens and closes; the metrics already count them."""

PING = b"\x89\x00"

PROTOCOL_CLOSE_REASONS = dict((PROTOCOL_ERROR, NOT_UTF8, TOO_LARGE, INTERNAL_ERROR))
"""The reason for each code with which the protocol itself closes, in the style of the other close reasons."""

READ_CHUNK = 512
"""Bytes parsed at a time: 85 frames at most, because a client's frame has at least six bytes."""
MAX_FRAMES_PER_ITERATION = 64
MAX_BYTES_PER_ITERATION = 64 * 1024
"""Limits of what is parsed for one connection in one iteration of the event loop; the chunk that reaches either is the
last. The kernel hands over up to 256 KB at once. As tiny frames, parsing them would block the loop for half a second,
and five such clients would block it all the time."""


MAX_SPARE = 8
"""Protocols that are kept for the next frames, of whichever connection: each is used for what is parsed at once."""

BEFORE_FRAME = StreamReader.at_eof.__code__
"""What the parser runs while it waits for the first byte of a frame."""


class FrameProtocol(ServerProtocol):
    """Reports each frame at once, and closes with a stable reason code instead of a sentence.

    The first violation in the order of the bytes determines the close code, however TCP has segmented them.
    """

    def __init__(self) -> None:
        super().__init__(state=State.OPEN, max_size=MAX_MESSAGE_BYTES, logger=logger)
        self._on_frame: Callable[[Frame], None] = _ignore_any_frame
        self.frames_read = 0
        self.fragments: list[bytes] = []
        """Those received of a message that is not complete."""
        self.binary = False
        """Whether the last message that began is a binary one."""

    @property
    def is_idle(self) -> bool:
        """Whether the connection is open, nothing has been received of a next frame or message, and nothing is to be
        written: another protocol would go on just as well."""
        innermost: Any = self.parser
        while (inner := innermost.gi_yieldfrom) is not None:
            innermost = inner
        between_frames = innermost.gi_code is BEFORE_FRAME and not self.reader.buffer
        between_messages = self.current_size is None and not self.fragments
        return between_frames and between_messages and self.state is State.OPEN and not self.writes

    def use_for(self, on_frame: Callable[[Frame], None]) -> None:
        """Report frames to `on_frame` from now on. The protocol has to be idle."""
        self._on_frame = on_frame

    def detach(self) -> None:
        """Forget `on_frame`, which refers to what refers to this protocol."""
        self._on_frame = _ignore_any_frame

    def release(self) -> None:
        """End the parser, which refers to this protocol, and forget `on_frame`."""
        self.parser.close()
        self.detach()

    def fail(self, code: int, reason: str = "") -> None:
        super().fail(code, PROTOCOL_CLOSE_REASONS.get(code, reason))

    def recv_frame(self, frame: Frame) -> None:
        if frame.opcode is Opcode.CLOSE:
            # A close may come between the fragments of a message (RFC 6455, 5.4); the library takes it for an error.
            self.current_size = None
        super().recv_frame(frame)
        self.events.clear()
        self.frames_read += 1
        self._on_frame(frame)


_spare: list[FrameProtocol] = []
"""Idle ones."""


class WebSocket(Connection):
    """A WebSocket whose edge gets its text messages.

    Calls `on_frame` with the size of every frame of any kind, after decompression and before it is handled, and
    `on_text` with each text message, in order and synchronously. Pings, the closing handshake and protocol errors are
    handled here.

    Reading pauses while the peer does not read, and between `pause_reading` and `resume_reading`, so that neither
    responses nor requests accumulate without bound.

    There is a protocol only while a frame is being read, and from the beginning of the closing handshake on: an idle
    socket is a fifth smaller without it, and to make one takes 5 µs.
    """

    __slots__ = (
        "_at_eof",
        "_buffer",
        "_handshake_response",
        "_last_ping",
        "_last_received",
        "_protocol",
        "_reading_paused",
        "_resume_scheduled",
        "on_frame",
        "on_text",
    )

    encode = attrgetter("ws_frame")
    compressed = False
    accepts_binary = False

    def __init__(
        self,
        host: ConnectionHost,
        caller: Identity,
        channel: str,
        handshake_response: bytes,
        *,
        nest_notice_fields: bool = False,
    ) -> None:
        """`handshake_response` completes the opening handshake."""
        super().__init__(host, caller, channel, nest_notice_fields=nest_notice_fields)
        self._handshake_response = handshake_response
        self._protocol: FrameProtocol | None = None
        self.on_frame: Callable[[int], None] = _ignore_frame
        self.on_text: Callable[[str], None] = _ignore_text
        self._buffer = b""
        self._resume_scheduled = False
        self._at_eof = False
        self._last_received = 0.0
        self._last_ping = 0.0
        self._reading_paused = False

    def handshake_bytes(self) -> bytes:
        self._last_received = self._last_ping = self._loop_time()
        response, self._handshake_response = self._handshake_response, b""
        return response

    def pause_reading(self) -> None:
        """Handle no more frames until `resume_reading`: the edge has enough pending ones."""
        self._reading_paused = True
        self._adjust_reading()

    def resume_reading(self) -> None:
        self._reading_paused = False
        self._adjust_reading()
        self._schedule_resume()

    def pause_writing(self) -> None:
        super().pause_writing()
        # Otherwise a peer that sends pings and does not read would fill the memory with pongs.
        self._adjust_reading()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._adjust_reading()
        self._schedule_resume()

    def data_received(self, data: bytes) -> None:
        self._last_received = self._loop_time()
        self._buffer += data
        if not self._resume_scheduled:
            self._read()

    def eof_received(self) -> bool:
        self._at_eof = True
        if not self._buffer:
            self._needed_protocol().receive_eof()
            self._advance()
        # True keeps the transport open until the rest has been read.
        return bool(self._buffer)

    def connection_lost(self, error: Exception | None) -> None:
        self._buffer = b""
        super().connection_lost(error)
        # Without cycles, all of it is freed at once, and not when the garbage collector next visits every object.
        self.on_frame, self.on_text = _ignore_frame, _ignore_text
        self._release_protocol()

    def heartbeat(self, now: float) -> float:
        if self._reading_paused:
            # The peer is not idle: the server does not read.
            self._last_received = now
        if now - self._last_received >= IDLE_TIMEOUT:
            self.close(*SILENT)
            if self.transport:
                self.transport.abort()
        elif now - self._last_ping >= PING_INTERVAL - 1:
            self._last_ping = now
            if self.transport and not self._writing_paused:
                self.transport.write(PING)
        return min(self._last_ping + PING_INTERVAL, self._last_received + IDLE_TIMEOUT)

    def write_close(self, code: int, reason: str) -> bool:
        protocol = self._needed_protocol()
        if protocol.state is State.OPEN and code != GONE.code:
            protocol.send_close(code, reason)
        self._write_protocol_data()
        # The peer's close frame has to be read, and the edge that paused reading may no longer be there to resume it.
        self.resume_reading()
        # The peer answers the close frame, which ends the connection; CLOSE_TIMEOUT is for a peer that does not.
        return protocol.state is State.CLOSING

    @property
    def closed_by_peer(self) -> bool:
        """Whether the peer ended the connection, rather than the server. For `on_close` callbacks."""
        return self.transport is None or (self._protocol is not None and self._protocol.state is not State.OPEN)

    @property
    def buffered(self) -> int:
        """The number of bytes received that will be parsed in a later iteration."""
        return len(self._buffer)

    def _needed_protocol(self) -> FrameProtocol:
        """Return the protocol; make one if there is none."""
        if self._protocol is None:
            self._protocol = _spare.pop() if _spare and not self.compressed else FrameProtocol()
            self._protocol.use_for(self._on_frame)
            if self.compressed:
                # The messages that the peer sends. Those to the peer are compressed by `encode`.
                self._protocol.extensions.append(permessage_deflate.decompressor())
        return self._protocol

    def _release_protocol(self) -> None:
        if self._protocol is not None:
            self._protocol.release()
            self._protocol = None

    def _spare_protocol(self) -> None:
        """Give up the protocol, which is idle: connections that are silent need none."""
        if self._protocol and not self.compressed and len(_spare) < MAX_SPARE:
            self._protocol.detach()
            _spare.append(self._protocol)
            self._protocol = None
        else:
            self._release_protocol()

    def _read(self) -> None:
        """Parse as many received bytes as one connection may in one iteration; schedule the rest for the next one."""
        protocol, data = self._needed_protocol(), memoryview(self._buffer)
        offset, last_frame = 0, protocol.frames_read + MAX_FRAMES_PER_ITERATION
        while (
            offset < min(len(data), MAX_BYTES_PER_ITERATION)
            and protocol.frames_read < last_frame
            and self._reading_wanted()
        ):
            protocol.receive_data(bytes(data[offset : offset + READ_CHUNK]))
            offset += READ_CHUNK
        self._buffer = bytes(data[offset:])
        if self._at_eof and not self._buffer:
            protocol.receive_eof()
        self._advance()
        if self._buffer:
            self._adjust_reading()
            self._schedule_resume()
        elif protocol.is_idle:
            self._spare_protocol()

    def _schedule_resume(self) -> None:
        if self._buffer and self._reading_wanted() and not self._resume_scheduled:
            self._resume_scheduled = True
            asyncio.get_running_loop().call_soon(self._resume_read)

    def _resume_read(self) -> None:
        self._resume_scheduled = False
        if self._buffer:
            self._read()
        self._adjust_reading()

    def _reading_wanted(self) -> bool:
        # The peer's answer to the close frame is read in any case.
        return self.closing or not (self._writing_paused or self._reading_paused)

    def _advance(self) -> None:
        protocol = self._needed_protocol()
        if protocol.state is not State.OPEN and not self.closing:
            code = protocol.close_sent.code if protocol.close_sent else GONE.code
            self.close(code, CLOSED_BY_PEER)
        self._write_protocol_data()

    def _on_frame(self, frame: Frame) -> None:
        if not self.closing:
            self.on_frame(len(frame.data))
        if self.closing or frame.opcode not in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            return
        protocol = self._needed_protocol()
        if frame.opcode is not Opcode.CONT:
            protocol.binary = frame.opcode is Opcode.BINARY
            if protocol.binary and not self.accepts_binary:
                self.close(*TEXT_ONLY)
                return
            if frame.fin:
                self._on_message(protocol, bytes(frame.data))
                return
        fragments = protocol.fragments
        fragments.append(bytes(frame.data))
        if len(fragments) > MAX_FRAGMENTS:
            self.close(*TOO_LARGE)
        elif frame.fin:
            message = b"".join(fragments)
            fragments.clear()
            self._on_message(protocol, message)

    def _on_message(self, protocol: FrameProtocol, data: bytes) -> None:
        # Pongs first: they answer pings received before this message.
        if protocol.writes:
            self._write_protocol_data()
        if protocol.binary:
            self.on_binary(data)
            return
        try:
            text = data.decode()
        except UnicodeDecodeError:
            self.close(*NOT_UTF8)
        else:
            self.on_text(text)

    def on_binary(self, data: bytes) -> None:
        """Handle a binary message. For subclasses that set `accepts_binary`."""

    def _write_protocol_data(self) -> None:
        """Write what the protocol has to send: pongs and the close frame. Then end the transport if it says so."""
        if self._protocol is None or self.transport is None or self.transport.is_closing():
            return
        for data in self._protocol.data_to_send():
            if data:
                self.transport.write(data)
            elif self._protocol.close_rcvd:
                self.transport.close()
            elif self.transport.can_write_eof():
                # Closing at once, with unread data, could reset the TCP connection, and the close frame would be lost.
                self.transport.write_eof()

    def _adjust_reading(self) -> None:
        if self.transport is None or self.transport.is_closing():
            return
        if self._writing_paused or self._reading_paused or self._buffer:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()


class CompressedWebSocket(WebSocket):
    """A WebSocket whose peer agreed on permessage-deflate."""

    __slots__ = ()

    encode = attrgetter("ws_compressed")
    compressed = True


def accept_websocket(
    host: ConnectionHost,
    caller: Identity,
    channel: str,
    headers: Iterable[tuple[str, str]],
    *,
    nest_notice_fields: bool = False,
) -> WebSocket:
    """Return the WebSocket that an upgrade request with these `headers` asks for. Raises HandshakeRefused."""
    handshake = accept(headers)
    kind = CompressedWebSocket if handshake.compressed else WebSocket
    return kind(host, caller, channel, handshake.response, nest_notice_fields=nest_notice_fields)


def _ignore_any_frame(frame: Frame) -> None:
    pass


def _ignore_frame(size: int) -> None:
    pass


def _ignore_text(text: str) -> None:
    pass
