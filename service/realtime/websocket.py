"""A WebSocket (RFC 6455) on a bare transport: the frames are read by the sans-I/O protocol of `websockets`.

Why not Sanic's own: text that is not UTF-8 is dropped in silence there, messages of one client can be handled out of
order, a client that stops reading is never let go, and a connection costs three tasks.
"""

import logging
from collections.abc import Callable, Iterable
from operator import attrgetter

from websockets.datastructures import Headers
from websockets.frames import Frame, Opcode
from websockets.http11 import Request as Handshake
from websockets.http11 import Response as HandshakeAnswer
from websockets.protocol import State
from websockets.server import ServerProtocol

from service.identity import Identity
from service.realtime.connection import SILENCE, Connection
from service.realtime.registry import Registry

MAX_MESSAGE_BYTES = 64 * 1024
MAX_FRAGMENTS = 1024
"""A message in more pieces than this is not a message but an attempt to make us keep pieces."""
PING_INTERVAL = 25.0
"""Seconds; well inside the 55 after which routers such as Heroku's cut a silent connection."""

quiet = logging.getLogger("loa.websocket")
quiet.setLevel(logging.ERROR)
"""The protocol's own account of every connection that opens and closes, which the metrics already give."""

PING = b"\x89\x00"


REASONS = {1002: "protocol_error", 1007: "not_utf8", 1009: "too_large", 1011: "internal_error"}
"""The close reasons for what the protocol itself refuses, in the words of the other errors' codes."""


class Protocol(ServerProtocol):
    """Ends a connection with a stable code for its reason, instead of a sentence."""

    def fail(self, code: int, reason: str = "") -> None:
        super().fail(code, REASONS.get(code, reason))


class HandshakeRefused(Exception):
    """The upgrade request breaks RFC 6455, 4.2.1. `status` is 400, or 426 where it is no upgrade at all."""

    def __init__(self, status: int, headers: dict[str, str]) -> None:
        super().__init__("The request is not a WebSocket handshake.")
        self.status = status
        self.headers = headers


class WebSocket(Connection):
    """Text messages go to `on_text`, in order and synchronously; everything else the protocol asks for is done here.

    Reading stops while the peer does not read, and while the edge asks for it (`pause`, `resume`), so that neither
    answers nor requests pile up without bound.
    """

    __slots__ = (
        "_answer",
        "_binary",
        "_fragments",
        "_last_heard",
        "_last_ping",
        "_protocol",
        "_stopped",
        "on_text",
    )

    encode = attrgetter("frame")
    takes_binary = False

    def __init__(
        self,
        registry: Registry,
        caller: Identity,
        feed: str,
        handshake: Iterable[tuple[str, str]],
        *,
        wrap_notices: bool = False,
    ) -> None:
        """`handshake`: the headers of the upgrade request. Raises HandshakeRefused."""
        super().__init__(registry, caller, feed, wrap_notices=wrap_notices)
        self._protocol = Protocol(state=State.OPEN, max_size=MAX_MESSAGE_BYTES, logger=quiet)
        self._answer = _accept(self._protocol, handshake).serialize()
        self.on_text: Callable[[str], None] = _ignore
        self._fragments: list[bytes] = []
        self._binary = False
        self._last_heard = 0.0
        self._last_ping = 0.0
        self._stopped = False

    def head(self) -> bytes:
        self._last_heard = self._last_ping = self._loop_time()
        answer, self._answer = self._answer, b""
        return answer

    def pause(self) -> None:
        """Take in no more until `resume`: the edge has enough to do."""
        self._stopped = True
        self._adjust_reading()

    def resume(self) -> None:
        self._stopped = False
        self._adjust_reading()

    def pause_writing(self) -> None:
        super().pause_writing()
        # Or a peer that pings and does not read would fill our memory with pongs.
        self._adjust_reading()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._adjust_reading()

    def data_received(self, data: bytes) -> None:
        self._last_heard = self._loop_time()
        self._protocol.receive_data(data)
        self._advance()

    def eof_received(self) -> bool:
        self._protocol.receive_eof()
        self._advance()
        return False

    def heartbeat(self, now: float) -> float:
        if self._stopped:
            # It is we who do not listen.
            self._last_heard = now
        if now - self._last_heard >= SILENCE:
            self.close(1006, "silent")
            if self.transport:
                self.transport.abort()
        elif now - self._last_ping >= PING_INTERVAL - 1:
            self._last_ping = now
            if self.transport and not self._paused:
                self.transport.write(PING)
        return min(self._last_ping + PING_INTERVAL, self._last_heard + SILENCE)

    def farewell(self, code: int, reason: str) -> bool:
        if self._protocol.state is State.OPEN and code != 1006:
            self._protocol.send_close(code, reason)
        self._write_out()
        # The peer answers the close frame and we end the connection then; CLOSE_TIMEOUT is for one that does not.
        return self._protocol.state is State.CLOSING

    def _advance(self) -> None:
        # Pongs first: they answer control frames that came before the messages' answers can be ready.
        if self._protocol.state is State.OPEN:
            self._write_out()
        for event in self._protocol.events_received():
            assert isinstance(event, Frame)
            self._on_frame(event)
        if self._protocol.state is not State.OPEN and not self.closing:
            code = self._protocol.close_sent.code if self._protocol.close_sent else 1006
            self.close(code, "closed")
        self._write_out()

    def _on_frame(self, frame: Frame) -> None:
        if self.closing or frame.opcode not in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            return
        if frame.opcode is not Opcode.CONT:
            self._binary = frame.opcode is Opcode.BINARY
            if self._binary and not self.takes_binary:
                self.close(1003, "text_only")
                return
            if frame.fin:
                self._on_message(bytes(frame.data))
                return
        self._fragments.append(bytes(frame.data))
        if len(self._fragments) > MAX_FRAGMENTS:
            self.close(1009, "too_large")
        elif frame.fin:
            message = b"".join(self._fragments)
            self._fragments.clear()
            self._on_message(message)

    def _on_message(self, data: bytes) -> None:
        if self._binary:
            self.on_binary(data)
            return
        try:
            text = data.decode()
        except UnicodeDecodeError:
            self.close(1007, "not_utf8")
        else:
            self.on_text(text)

    def on_binary(self, data: bytes) -> None:
        """For a kind of socket that sets `takes_binary`."""

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
        if self._paused or self._stopped:
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
