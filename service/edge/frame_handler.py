"""Handles the frames that a client sends on a WebSocket: one after the other, with one answer to each."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Generic, TypeVar

import structlog
from pydantic import TypeAdapter

from service.common.errors import LoaError, RateLimited, TokenInvalid, TokenRevoked, ValidationFailed
from service.common.identity import ACCESS, Verifier
from service.edge.frames import Authenticate, ClientFrame, Ping, parse
from service.http.errors import detail_of, spec_for
from service.http.limits import LOOKUP, RateLimits
from service.realtime.event import Event
from service.realtime.websocket import WebSocket
from service.telemetry.tracing import Span, Tracing, use_span

log = structlog.get_logger()

MAX_PENDING_FRAMES = 64
MAX_PENDING_BYTES = 128 * 1024
"""Frames waiting to be handled, and their bytes. At either number, reading from the socket pauses until half of them
are handled. See also InboundBudget, which all sockets share."""
MAX_FRAMES_PER_PERIOD, MAX_BYTES_PER_PERIOD, FRAME_PERIOD = 3000, 8 << 20, 10.0
"""Frames in so many seconds, of any kind, including pings and fragments, and their bytes after decompression: several
times as many frames as the rate limits allow in total, and more bytes than all the messages that they allow may have.
Rate limits count requests; these limits bound the work of reading frames that request nothing, are malformed, or are
rejected by a rate limit, and of decompressing: a hundred bytes may become 64 KB."""

_RATE_LIMITED = spec_for(RateLimited()).close_reason

F = TypeVar("F", bound=ClientFrame)


class FrameHandler(Generic[F]):
    """Parses the frames of a socket and calls `handle` for each, after the one before. Handles `ping` and
    `authenticate` itself.

    A task only runs while there are frames to handle. If handling a frame fails, the answer is an `error` frame, and
    the socket stays open.
    """

    def __init__(
        self,
        socket: WebSocket,
        frames: TypeAdapter[F],
        verifier: Verifier,
        limits: RateLimits,
        tracing: Tracing | None = None,
    ) -> None:
        """`frames`: the types of frames that clients may send on this socket."""
        self.socket = socket
        self.limits = limits
        self._frames = frames
        self._verifier = verifier
        self._tracing = tracing
        # As received: a str with a single emoji takes four bytes for each character. A list, although the first one is
        # taken: there are at most some hundred, and an empty deque takes as much memory as a whole idle connection may.
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._current: bytes | None = None
        self._budget = socket.host.inbound
        self._budgeted_bytes = 0
        self._reading_paused = False
        self._task: asyncio.Task[None] | None = None
        self._frames_in_period = self._bytes_in_period = 0
        self._period_start = 0.0
        socket.on_frame = self._on_frame
        socket.on_text = self._on_text
        socket.on_close(self._on_close)

    async def handle(self, frame: F) -> None:
        """Handle `frame` and answer it. An exception is answered with an `error` frame."""
        raise NotImplementedError

    def tracing_context(self, span: Span, frame: F) -> AbstractContextManager[None]:
        """Return the context in which `handle` runs if it is traced. `span` ends with the context."""
        return use_span(span)

    def acknowledge(self, ref: str | None, data: Mapping[str, Any] | None = None) -> None:
        """Send an `ack` for the frame with this `ref`."""
        self.send("ack", {"ref": ref} if data is None else {"ref": ref, "data": data})

    def survives_disconnect(self, frame: F) -> bool:
        """Return whether to handle `frame` even if its sender has disconnected since."""
        return False

    def on_peer_gone(self, pending_frames: Sequence[bytes]) -> None:
        """Called if the client disconnected before these frames were handled. May pass them to `finish_pending`."""

    async def finish_pending(self, pending_frames: Sequence[bytes]) -> None:
        """Handle those of these frames that survive the disconnect. Their answers are discarded.

        They are not handled if too much waits already: otherwise a client that sends and disconnects, again and again,
        would fill the memory. Nothing was acknowledged, so the client sends it again.
        """
        user_id, size = self.socket.user_id, sum(map(len, pending_frames))
        if self._budget.exhausted(user_id):
            return
        self._budget.add(user_id, size)
        try:
            for data in pending_frames:
                await self._handle(data)
        finally:
            self._budget.remove(user_id, size)

    def on_received(self, type: str) -> None:
        """Called for each well-formed frame, with its type."""

    def on_error(self, error: BaseException) -> None:
        """Called with each error that is sent."""

    def send_error(self, error: BaseException, ref: str | None) -> None:
        """Answer the frame with this `ref` with an `error` frame."""
        fields: dict[str, Any] = {"ref": ref, "code": spec_for(error).code, "detail": detail_of(error)}
        if isinstance(error, LoaError) and error.retry_after is not None:
            fields["retry_after"] = error.retry_after
        if isinstance(error, ValidationFailed):
            fields["errors"] = [field._asdict() for field in error.fields]
        self.send("error", fields)
        self.on_error(error)

    def send(self, type: str, fields: Mapping[str, Any]) -> None:
        self.socket.send(Event(type, fields, channel=self.socket.channel))

    def _on_text(self, text: str) -> None:
        data = text.encode()
        self._pending.append(data)
        self._pending_bytes += len(data)
        self._budgeted_bytes += len(data)
        self._budget.add(self.socket.user_id, len(data))
        if not self._pending:
            # The budget was exceeded and has closed this socket.
            return
        if not self._has_room(MAX_PENDING_FRAMES, MAX_PENDING_BYTES):
            self._reading_paused = True
            self.socket.pause_reading()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._handle_all())

    def _on_frame(self, size: int) -> None:
        now = time.monotonic()
        if now - self._period_start >= FRAME_PERIOD:
            self._frames_in_period, self._bytes_in_period, self._period_start = 0, 0, now
        self._frames_in_period += 1
        self._bytes_in_period += size
        exceeded = self._frames_in_period > MAX_FRAMES_PER_PERIOD or self._bytes_in_period > MAX_BYTES_PER_PERIOD
        if self.limits.enabled and exceeded:
            self.socket.close(*_RATE_LIMITED)

    def _on_close(self) -> None:
        pending_frames = [*self._pending] if self._current is None else [self._current, *self._pending]
        self._pending.clear()
        self._pending_bytes = 0
        self._release(self._budgeted_bytes)
        if self._task:
            self._task.cancel()
        # If the server closed the socket, pending frames are discarded: the user may have lost access.
        if pending_frames and self.socket.closed_by_peer:
            self.on_peer_gone(pending_frames)

    async def _handle_all(self) -> None:
        while self._pending:
            data = self._current = self._pending.pop(0)
            self._pending_bytes -= len(data)
            if self._has_room(MAX_PENDING_FRAMES // 2 + 1, MAX_PENDING_BYTES // 2):
                self._resume_reading()
            await self._handle(data)
            self._current = None
            self._release(len(data))
        self._resume_reading()
        self._task = None

    def _has_room(self, frames: int, size: int) -> bool:
        """Return whether to read on: less than so many frames and bytes wait here, and little enough elsewhere."""
        if not self._pending:
            return True
        within = len(self._pending) < frames and self._pending_bytes < size
        return within and not self._budget.exhausted(self.socket.user_id)

    def _resume_reading(self) -> None:
        if self._reading_paused:
            self._reading_paused = False
            self.socket.resume_reading()

    def _release(self, size: int) -> None:
        """Note that frames are no longer held. Once the socket has closed, all have been released."""
        size = min(size, self._budgeted_bytes)
        self._budgeted_bytes -= size
        self._budget.remove(self.socket.user_id, size)

    async def _handle(self, data: bytes) -> None:
        ref: str | None = None
        try:
            frame = parse(data, self._frames)
            ref = frame.ref
            self.on_received(frame.type)
            if isinstance(frame, Ping):
                # Not traced: handling a ping has no steps.
                self.send("pong", {"ref": ref})
            elif self._tracing and (span := self._start_span(self._tracing, frame)):
                with self.tracing_context(span, frame):
                    await self._dispatch(frame)
            else:
                await self._dispatch(frame)
        except LoaError as error:
            self.send_error(error, error.ref or ref)
        except Exception as error:
            log.exception("frame_failed")
            self.send_error(error, ref)

    def _start_span(self, tracing: Tracing, frame: F) -> Span | None:
        ids = {"loa.user_id": self.socket.user_id, "loa.connection_id": self.socket.id}
        return tracing.start_trace(f"frame {frame.type}", ids)

    async def _dispatch(self, frame: F) -> None:
        if self.socket.closing and not self.survives_disconnect(frame):
            return
        if isinstance(frame, Authenticate):
            await self._authenticate(frame)
        else:
            await self.handle(frame)

    async def _authenticate(self, frame: Authenticate) -> None:
        await self.limits.check(LOOKUP, self.socket.user_id)
        caller = await self._verifier.verify_scoped_token(frame.token, ACCESS)
        if caller.user_id != self.socket.user_id:
            raise TokenInvalid("The token is someone else's.")
        self.socket.refresh_token(caller)
        try:
            # As when a connection opens: the session may have been revoked just before the socket belonged to it.
            await self._verifier.check(caller)
        except TokenRevoked as error:
            self.socket.close(*spec_for(error).close_reason)
            return
        self.acknowledge(frame.ref, {"token_expires_at": self.socket.token_expires_at})
