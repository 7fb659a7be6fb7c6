"""A WebSocket (RFC 6455) on a bare transport: the frames are read by the sans-I/O protocol of `websockets`.

Why not Sanic's own: text that is not UTF-8 is dropped in silence there, messages of one client can be handled out of
order, a client that stops reading is never let go, and a connection costs three tasks.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from operator import attrgetter

from websockets.datastructures import Headers
from websockets.frames import Frame, Opcode
from websockets.http11 import Request as Handshake
from websockets.http11 import Response as HandshakeAnswer
from websockets.protocol import State
from websockets.server import ServerProtocol

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
from service.realtime.connection import IDLE_TIMEOUT, Connection
from service.realtime.registry import Registry

MAX_MESSAGE_BYTES = 64 * 1024
MAX_FRAGMENTS = 1024
"""A message in more pieces than this is not a message but an attempt to make us keep pieces."""
PING_INTERVAL = 25.0
"""Seconds; well inside the 55 after which routers such as Heroku's cut a silent connection."""

logger = logging.getLogger("loa.websocket")
logger.setLevel(logging.ERROR)
"""The protocol's own account of every connection that opens and closes, which the metrics already give."""

PING = b"\x89\x00"

REASONS = dict((PROTOCOL_ERROR, NOT_UTF8, TOO_LARGE, INTERNAL_ERROR))
"""The close reasons for what the protocol itself refuses, in the words of the other errors' codes."""

READ_CHUNK = 512
"""Bytes read at a time: 85 frames at the most, for none has less than six bytes."""
MAX_FRAMES_PER_TURN = 64
MAX_BYTES_PER_TURN = 64 * 1024
"""What is read of one connection in a turn of the loop ends with the piece that reaches either. The kernel hands over
256 KB at once; as tiny frames they would take half a second of everybody's time, and five who send them all of it."""


class Protocol(ServerProtocol):
    """Ends a connection with a stable code for its reason, instead of a sentence, and hands over each frame at once:
    what breaks the rules first, in the order of the bytes, decides, however TCP has cut them."""

    def __init__(self, on_frame: Callable[[Frame], None]) -> None:
        super().__init__(state=State.OPEN, max_size=MAX_MESSAGE_BYTES, logger=logger)
        self._on_frame = on_frame
        self.frames_read = 0

    def fail(self, code: int, reason: str = "") -> None:
        super().fail(code, REASONS.get(code, reason))

    def recv_frame(self, frame: Frame) -> None:
        super().recv_frame(frame)
        self.events.clear()
        self.frames_read += 1
        self._on_frame(frame)


class HandshakeRefused(Exception):
    """The upgrade request breaks RFC 6455, 4.2.1. `status` is 400, or 426 where it is no upgrade at all."""

    def __init__(self, status: int, headers: dict[str, str]) -> None:
        super().__init__("The request is not a WebSocket handshake.")
        self.status = status
        self.headers = headers


class WebSocket(Connection):
    """Text messages go to `on_text`, in order and synchronously; everything else the protocol asks for is done here.
    `on_frame` is called for every frame of whatever kind, before it is looked at.

    Reading stops while the peer does not read, and while the edge asks for it (`pause`, `resume`), so that neither
    answers nor requests pile up without bound.
    """

    __slots__ = (
        "_at_eof",
        "_binary",
        "_buffer",
        "_fragments",
        "_handshake_response",
        "_last_heard",
        "_last_ping",
        "_protocol",
        "_reading_paused",
        "_resume_scheduled",
        "on_frame",
        "on_text",
    )

    encode = attrgetter("ws_frame")
    accepts_binary = False

    def __init__(
        self,
        registry: Registry,
        caller: Identity,
        channel: str,
        handshake: Iterable[tuple[str, str]],
        *,
        nest_notice_fields: bool = False,
    ) -> None:
        """`handshake`: the headers of the upgrade request. Raises HandshakeRefused."""
        super().__init__(registry, caller, channel, nest_notice_fields=nest_notice_fields)
        self._protocol = Protocol(self._on_frame)
        self._handshake_response = _accept(self._protocol, handshake).serialize()
        self.on_frame: Callable[[], None] = _nothing
        self.on_text: Callable[[str], None] = _ignore
        self._buffer = b""
        self._resume_scheduled = False
        self._at_eof = False
        self._fragments: list[bytes] = []
        self._binary = False
        self._last_heard = 0.0
        self._last_ping = 0.0
        self._reading_paused = False

    def handshake_bytes(self) -> bytes:
        self._last_heard = self._last_ping = self._loop_time()
        answer, self._handshake_response = self._handshake_response, b""
        return answer

    def pause_reading(self) -> None:
        """Take in no more until `resume`: the edge has enough to do."""
        self._reading_paused = True
        self._adjust_reading()

    def resume_reading(self) -> None:
        self._reading_paused = False
        self._adjust_reading()
        self._schedule_resume()

    def pause_writing(self) -> None:
        super().pause_writing()
        # Or a peer that pings and does not read would fill our memory with pongs.
        self._adjust_reading()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._adjust_reading()
        self._schedule_resume()

    def data_received(self, data: bytes) -> None:
        self._last_heard = self._loop_time()
        self._buffer += data
        if not self._resume_scheduled:
            self._read()

    def eof_received(self) -> bool:
        self._at_eof = True
        if not self._buffer:
            self._protocol.receive_eof()
            self._advance()
        # Or the transport would close before the rest has been read.
        return bool(self._buffer)

    def connection_lost(self, error: Exception | None) -> None:
        self._buffer = b""
        super().connection_lost(error)

    def heartbeat(self, now: float) -> float:
        if self._reading_paused:
            # It is we who do not listen.
            self._last_heard = now
        if now - self._last_heard >= IDLE_TIMEOUT:
            self.close(*SILENT)
            if self.transport:
                self.transport.abort()
        elif now - self._last_ping >= PING_INTERVAL - 1:
            self._last_ping = now
            if self.transport and not self._paused:
                self.transport.write(PING)
        return min(self._last_ping + PING_INTERVAL, self._last_heard + IDLE_TIMEOUT)

    def write_close(self, code: int, reason: str) -> bool:
        if self._protocol.state is State.OPEN and code != GONE.code:
            self._protocol.send_close(code, reason)
        self._write_out()
        # The edge has no more to do, and may not be there any more to ask for the answer to be read.
        self.resume_reading()
        # The peer answers the close frame and we end the connection then; CLOSE_TIMEOUT is for one that does not.
        return self._protocol.state is State.CLOSING

    @property
    def closed_by_peer(self) -> bool:
        """As it closes: whether the peer ends it, and not we."""
        return self.transport is None or self._protocol.state is not State.OPEN

    @property
    def buffered(self) -> int:
        """Bytes that have come and are to be read in a later turn."""
        return len(self._buffer)

    def _read(self) -> None:
        """As much of what has come as one connection may have read in a turn; the rest in the next."""
        unread = memoryview(self._buffer)
        place, last = 0, self._protocol.frames_read + MAX_FRAMES_PER_TURN
        while (
            place < len(unread)
            and place < MAX_BYTES_PER_TURN
            and self._protocol.frames_read < last
            and self._wants_more()
        ):
            self._protocol.receive_data(bytes(unread[place : place + READ_CHUNK]))
            place += READ_CHUNK
        self._buffer = bytes(unread[place:])
        if self._at_eof and not self._buffer:
            self._protocol.receive_eof()
        self._advance()
        if self._buffer:
            self._adjust_reading()
            self._schedule_resume()

    def _schedule_resume(self) -> None:
        if self._buffer and self._wants_more() and not self._resume_scheduled:
            self._resume_scheduled = True
            asyncio.get_running_loop().call_soon(self._resume_read)

    def _resume_read(self) -> None:
        self._resume_scheduled = False
        if self._buffer:
            self._read()
        self._adjust_reading()

    def _wants_more(self) -> bool:
        # The answer to our close frame is wanted in any case.
        return self.closing or not (self._paused or self._reading_paused)

    def _advance(self) -> None:
        if self._protocol.state is not State.OPEN and not self.closing:
            code = self._protocol.close_sent.code if self._protocol.close_sent else GONE.code
            self.close(code, CLOSED_BY_PEER)
        self._write_out()

    def _on_frame(self, frame: Frame) -> None:
        if not self.closing:
            self.on_frame()
        if self.closing or frame.opcode not in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            return
        if frame.opcode is not Opcode.CONT:
            self._binary = frame.opcode is Opcode.BINARY
            if self._binary and not self.accepts_binary:
                self.close(*TEXT_ONLY)
                return
            if frame.fin:
                self._on_message(bytes(frame.data))
                return
        self._fragments.append(bytes(frame.data))
        if len(self._fragments) > MAX_FRAGMENTS:
            self.close(*TOO_LARGE)
        elif frame.fin:
            message = b"".join(self._fragments)
            self._fragments.clear()
            self._on_message(message)

    def _on_message(self, data: bytes) -> None:
        # Pongs first: they answer what came before.
        if self._protocol.writes:
            self._write_out()
        if self._binary:
            self.on_binary(data)
            return
        try:
            text = data.decode()
        except UnicodeDecodeError:
            self.close(*NOT_UTF8)
        else:
            self.on_text(text)

    def on_binary(self, data: bytes) -> None:
        """For a kind of socket that sets `accepts_binary`."""

    def _write_out(self) -> None:
        if self.transport is None or self.transport.is_closing():
            return
        for data in self._protocol.data_to_send():
            if data:
                self.transport.write(data)
            elif self._protocol.close_rcvd:
                self.transport.close()
            elif self.transport.can_write_eof():
                # Closing at once, with something unread, could reset the connection and lose our close frame.
                self.transport.write_eof()

    def _adjust_reading(self) -> None:
        if self.transport is None or self.transport.is_closing():
            return
        if self._paused or self._reading_paused or self._buffer:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()


def _accept(protocol: ServerProtocol, handshake: Iterable[tuple[str, str]]) -> HandshakeAnswer:
    answer = protocol.accept(Handshake("/", Headers(handshake)))
    if answer.status_code != 101:
        keep = {
            name: value for name, value in answer.headers.raw_items() if name in ("Upgrade", "Sec-WebSocket-Version")
        }
        raise HandshakeRefused(answer.status_code, keep)
    return answer


def _ignore(text: str) -> None:
    pass


def _nothing() -> None:
    pass
