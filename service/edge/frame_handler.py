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
from service.http.errors import spec_for
from service.http.limits import RateLimits
from service.realtime.event import Event
from service.realtime.websocket import WebSocket
from service.telemetry.tracing import Span, Tracing, step

log = structlog.get_logger()

MAX_WAITING = 64
"""Frames that wait to be handled, past which the socket is not read from."""
MAX_FRAMES, PERIOD = 3000, 10.0
"""Frames in so many seconds, of whatever kind, pings and pieces of messages among them: all that the rules let anyone
do, several times over. They count what is asked for; this bounds the work of reading what asks for nothing, is none of
our frames, or is refused already."""

_FLOOD = spec_for(RateLimited())

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
        self._waiting: deque[str] = deque()
        self._begun: str | None = None
        self._handler: asyncio.Task[None] | None = None
        self._heard = 0
        self._heard_since = 0.0
        socket.on_frame = self._count
        socket.on_text = self._take
        socket.on_close(self._end)

    async def handle(self, frame: F) -> None:
        """Do what `frame` asks and answer it. What it raises becomes the answer."""
        raise NotImplementedError

    def within(self, span: Span, frame: F) -> AbstractContextManager[None]:
        """What `handle` runs in where it is traced: `span` ends with it."""
        return step(span)

    def acknowledge(self, ref: str | None, data: Mapping[str, Any] | None = None) -> None:
        self.say("ack", {"ref": ref} if data is None else {"ref": ref, "data": data})

    def lasts(self, frame: F) -> bool:
        """Whether `frame` is to be done although its sender has left since."""
        return False

    def left(self, undone: Sequence[str]) -> None:
        """The client has left, and these frames, said before, are not done yet: for `finish`, where some may last."""

    async def finish(self, undone: Sequence[str]) -> None:
        """Do those of them that last. Their answers go nowhere."""
        for text in undone:
            await self._handle(text)

    def received(self, type: str) -> None:
        """A frame of that type has come, and is well-formed."""

    def refused(self, error: BaseException) -> None:
        """It could not be done for this reason."""

    def refuse(self, error: BaseException, ref: str | None) -> None:
        detail = error.detail if isinstance(error, LoaError) else "Something went wrong on our side."
        fields: dict[str, Any] = {"ref": ref, "code": spec_for(error).code, "detail": detail}
        if isinstance(error, LoaError) and error.retry_after is not None:
            fields["retry_after"] = error.retry_after
        if isinstance(error, ValidationFailed):
            fields["errors"] = [field._asdict() for field in error.fields]
        self.say("error", fields)
        self.refused(error)

    def say(self, type: str, fields: Mapping[str, Any]) -> None:
        self.socket.send(Event(type, fields, feed=self.socket.feed))

    def _take(self, text: str) -> None:
        self._waiting.append(text)
        if len(self._waiting) >= MAX_WAITING:
            self.socket.pause()
        if self._handler is None or self._handler.done():
            self._handler = asyncio.create_task(self._handle_all())

    def _count(self) -> None:
        now = time.monotonic()
        if now - self._heard_since >= PERIOD:
            self._heard, self._heard_since = 0, now
        self._heard += 1
        if self.limits.enabled and self._heard > MAX_FRAMES:
            self.socket.close(_FLOOD.close_code, _FLOOD.code)

    def _end(self) -> None:
        undone = [*self._waiting] if self._begun is None else [self._begun, *self._waiting]
        self._waiting.clear()
        if self._handler:
            self._handler.cancel()
        # Whoever is shut out has nothing more done; whoever goes has said it in time.
        if undone and self.socket.left:
            self.left(undone)

    async def _handle_all(self) -> None:
        while self._waiting:
            text = self._begun = self._waiting.popleft()
            if len(self._waiting) == MAX_WAITING // 2:
                self.socket.resume()
            await self._handle(text)
            self._begun = None
        self.socket.resume()

    async def _handle(self, text: str) -> None:
        ref: str | None = None
        try:
            frame = parse(text, self._frames)
            ref = frame.ref
            self.received(frame.type)
            if isinstance(frame, Ping):
                # It asks nothing of anybody: no trace would tell of more than that it came.
                self.say("pong", {"ref": ref})
            elif self._tracing and (span := self._begin_span(self._tracing, frame)):
                with self.within(span, frame):
                    await self._answer(frame)
            else:
                await self._answer(frame)
        except LoaError as error:
            self.refuse(error, error.ref or ref)
        except Exception as error:
            log.exception("frame_failed")
            self.refuse(error, ref)

    def _begin_span(self, tracing: Tracing, frame: F) -> Span | None:
        ids = {"loa.user_id": self.socket.user_id, "loa.connection_id": self.socket.id}
        return tracing.begin(f"frame {frame.type}", ids)

    async def _answer(self, frame: F) -> None:
        if self.socket.closing and not self.lasts(frame):
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
        self.socket.extend(caller)
        try:
            # As with one that joins: its session may have ended just before the socket was known to be of it.
            await self._verifier.check(caller)
        except TokenRevoked as error:
            answer = spec_for(error)
            self.socket.close(answer.close_code, answer.code)
            return
        self.acknowledge(frame.ref, {"token_expires_at": self.socket.token_expires_at})
