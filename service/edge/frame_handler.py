"""A client's side of a socket: its frames, one after the other, and one answer to each."""

import asyncio
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Generic, TypeVar

import structlog
from pydantic import TypeAdapter

from service.common.errors import LoaError, RateLimited, TokenInvalid, TokenRevoked, ValidationFailed
from service.common.identity import Verifier
from service.edge.frames import Authenticate, ClientFrame, Ping, parse
from service.http import limits as rules
from service.http.authentication import ACCESS
from service.http.errors import detail_of, spec_for
from service.http.limits import RateLimits
from service.realtime.event import Event
from service.realtime.websocket import WebSocket
from service.telemetry.tracing import Span, Tracing, use_span

log = structlog.get_logger()

MAX_PENDING_FRAMES = 64
"""Frames that wait to be handled, past which the socket is not read from."""
MAX_FRAMES_PER_PERIOD, FRAME_PERIOD = 3000, 10.0
"""Frames in so many seconds, of whatever kind, pings and pieces of messages among them: all that the rules let anyone
do, several times over. They count what is asked for; this bounds the work of reading what asks for nothing, is none of
our frames, or is refused already."""

_FLOOD = spec_for(RateLimited()).close_reason

F = TypeVar("F", bound=ClientFrame)


class FrameHandler(Generic[F]):
    """Reads frames of `frames` and has each handled before the next; `ping` and `authenticate` it handles itself.

    No task stands by for a socket that is silent. What goes wrong with a frame is its answer, and the socket stays.
    """

    def __init__(
        self,
        socket: WebSocket,
        frames: TypeAdapter[F],
        verifier: Verifier,
        limits: RateLimits,
        tracing: Tracing | None = None,
    ) -> None:
        self.socket = socket
        self.limits = limits
        self._frames = frames
        self._verifier = verifier
        self._tracing = tracing
        self._pending: deque[str] = deque()
        self._current: str | None = None
        self._handler: asyncio.Task[None] | None = None
        self._frames_in_period = 0
        self._period_start = 0.0
        socket.on_frame = self._on_frame
        socket.on_text = self._on_text
        socket.on_close(self._end)

    async def handle(self, frame: F) -> None:
        """Do what `frame` asks and answer it. What it raises becomes the answer."""
        raise NotImplementedError

    def tracing_context(self, span: Span, frame: F) -> AbstractContextManager[None]:
        """What `handle` runs in where it is traced: `span` ends with it."""
        return use_span(span)

    def acknowledge(self, ref: str | None, data: Mapping[str, Any] | None = None) -> None:
        self.send("ack", {"ref": ref} if data is None else {"ref": ref, "data": data})

    def survives_disconnect(self, frame: F) -> bool:
        """Whether `frame` is to be done although its sender has left since."""
        return False

    def on_peer_gone(self, pending_frames: Sequence[str]) -> None:
        """The client has left, and these frames, said before, are not done yet: for `finish`, where some may last."""

    async def finish_pending(self, pending_frames: Sequence[str]) -> None:
        """Do those of them that last. Their answers go nowhere."""
        for text in pending_frames:
            await self._handle(text)

    def on_received(self, type: str) -> None:
        """A frame of that type has come, and is well-formed."""

    def on_error(self, error: BaseException) -> None:
        """It could not be done for this reason."""

    def send_error(self, error: BaseException, ref: str | None) -> None:
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
        self._pending.append(text)
        if len(self._pending) >= MAX_PENDING_FRAMES:
            self.socket.pause_reading()
        if self._handler is None or self._handler.done():
            self._handler = asyncio.create_task(self._handle_all())

    def _on_frame(self) -> None:
        now = time.monotonic()
        if now - self._period_start >= FRAME_PERIOD:
            self._frames_in_period, self._period_start = 0, now
        self._frames_in_period += 1
        if self.limits.enabled and self._frames_in_period > MAX_FRAMES_PER_PERIOD:
            self.socket.close(*_FLOOD)

    def _end(self) -> None:
        pending_frames = [*self._pending] if self._current is None else [self._current, *self._pending]
        self._pending.clear()
        if self._handler:
            self._handler.cancel()
        # Whoever is shut out has nothing more done; whoever goes has said it in time.
        if pending_frames and self.socket.closed_by_peer:
            self.on_peer_gone(pending_frames)

    async def _handle_all(self) -> None:
        while self._pending:
            text = self._current = self._pending.popleft()
            if len(self._pending) == MAX_PENDING_FRAMES // 2:
                self.socket.resume_reading()
            await self._handle(text)
            self._current = None
        self.socket.resume_reading()

    async def _handle(self, text: str) -> None:
        ref: str | None = None
        try:
            frame = parse(text, self._frames)
            ref = frame.ref
            self.on_received(frame.type)
            if isinstance(frame, Ping):
                # It asks nothing of anybody: no trace would tell of more than that it came.
                self.send("pong", {"ref": ref})
            elif self._tracing and (span := self._begin_span(self._tracing, frame)):
                with self.tracing_context(span, frame):
                    await self._answer(frame)
            else:
                await self._answer(frame)
        except LoaError as error:
            self.send_error(error, error.ref or ref)
        except Exception as error:
            log.exception("frame_failed")
            self.send_error(error, ref)

    def _begin_span(self, tracing: Tracing, frame: F) -> Span | None:
        ids = {"loa.user_id": self.socket.user_id, "loa.connection_id": self.socket.id}
        return tracing.start_trace(f"frame {frame.type}", ids)

    async def _answer(self, frame: F) -> None:
        if self.socket.closing and not self.survives_disconnect(frame):
            return
        if isinstance(frame, Authenticate):
            await self._authenticate(frame)
        else:
            await self.handle(frame)

    async def _authenticate(self, frame: Authenticate) -> None:
        await self.limits.check(rules.SEARCH, self.socket.user_id)
        caller = await self._verifier.verify_scoped_token(frame.token, ACCESS)
        if caller.user_id != self.socket.user_id:
            raise TokenInvalid("The token is someone else's.")
        self.socket.refresh_token(caller)
        try:
            # As with one that joins: its session may have ended just before the socket was known to be of it.
            await self._verifier.check(caller)
        except TokenRevoked as error:
            self.socket.close(*spec_for(error).close_reason)
            return
        self.acknowledge(frame.ref, {"token_expires_at": self.socket.token_expires_at})
