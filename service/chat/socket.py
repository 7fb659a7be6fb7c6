"""The chat socket: frames in, one answer to each, events out."""

import asyncio
import time
from collections import deque
from collections.abc import Mapping
from typing import Any

import structlog

from service.chat import events, frames
from service.chat.append import Stored
from service.chat.membership import MembershipService
from service.chat.messages import message_of
from service.chat.service import ChatService
from service.errors import LoaError, TokenInvalid, ValidationFailed
from service.http import limits as rules
from service.http.authentication import ACCESS
from service.http.errors import answer_to
from service.http.limits import RateLimits
from service.identity import Verifier
from service.realtime.event import Event
from service.realtime.presence import Presence
from service.realtime.websocket import MAX_MESSAGE_BYTES, PING_INTERVAL, WebSocket
from service.telemetry.metrics import Metrics
from service.times import iso, now

log = structlog.get_logger()

MAX_WAITING = 64
"""Frames that wait to be handled, past which the socket is not read from."""
MAX_UNDER_WAY = 128
"""Messages of one socket that are being stored at once."""


class ChatSocket:
    """One client's conversation with the chat.

    Frames are handled one after the other, in their order; but a message is only handed in, and acknowledged once it
    is stored, so that those that come together are stored together. No task stands by for a socket that is silent.
    """

    def __init__(
        self,
        socket: WebSocket,
        chat: ChatService,
        membership: MembershipService,
        presence: Presence,
        verifier: Verifier,
        limits: RateLimits,
        metrics: Metrics,
    ) -> None:
        self._socket = socket
        self._chat = chat
        self._membership = membership
        self._presence = presence
        self._verifier = verifier
        self._limits = limits
        self._metrics = metrics
        self._user_id = socket.user_id
        self._waiting: deque[str] = deque()
        self._under_way: set[asyncio.Future[Stored]] = set()
        self._handler: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        """Read where the user's conversations stand, say hello, and go live. Raises Unavailable."""
        conversations = await self._membership.hello(self._user_id)
        hello = {
            "connection_id": self._socket.id,
            "user_id": self._user_id,
            "server_time": iso(now()),
            "heartbeat_interval": int(PING_INTERVAL),
            "max_message_bytes": MAX_MESSAGE_BYTES,
            "token_expires_at": self._socket.token_expires_at,
            "conversations": conversations,
        }
        self._socket.on_text = self._take
        self._socket.on_close(self._end)
        self._socket.open([Event("hello", hello, feed=events.FEED)])

    def _take(self, text: str) -> None:
        self._waiting.append(text)
        if len(self._waiting) >= MAX_WAITING:
            self._socket.pause()
        if self._handler is None or self._handler.done():
            self._handler = asyncio.create_task(self._handle_all())

    def _end(self) -> None:
        self._waiting.clear()
        if self._handler:
            self._handler.cancel()

    async def _handle_all(self) -> None:
        while self._waiting:
            text = self._waiting.popleft()
            if len(self._waiting) == MAX_WAITING // 2:
                self._socket.resume()
            await self._handle(text)
        self._socket.resume()

    async def _handle(self, text: str) -> None:
        ref: str | None = None
        try:
            frame = frames.parse(text)
            ref = frame.ref
            self._metrics.frame_received(frame.type)
            await self._answer(frame)
        except LoaError as error:
            self._refuse(error, error.ref or ref)
        except Exception as error:
            log.exception("frame_failed")
            self._refuse(error, ref)

    async def _answer(self, frame: frames.Frame) -> None:
        match frame:
            case frames.SendMessage():
                await self._send_message(frame)
            case frames.Typing():
                await self._limits.check(rules.TYPING, self._user_id)
                await self._membership.typing(self._user_id, frame.conversation_id)
                self._acknowledge(frame.ref)
            case frames.Read():
                await self._limits.check(rules.WRITING, self._user_id)
                state = await self._membership.read(self._user_id, frame.conversation_id, frame.seq)
                self._acknowledge(frame.ref, state)
            case frames.Sync():
                await self._sync(frame)
            case frames.WatchPresence():
                await self._watch(frame)
            case frames.Authenticate():
                await self._authenticate(frame)
            case frames.Ping():
                self._say("pong", {"ref": frame.ref})

    async def _send_message(self, frame: frames.SendMessage) -> None:
        came = time.perf_counter()
        await self._limits.check(rules.SENDING, self._user_id)
        if len(self._under_way) >= MAX_UNDER_WAY:
            await asyncio.wait(self._under_way, return_when=asyncio.FIRST_COMPLETED)
        stored = self._chat.submit(self._user_id, frame.conversation_id, frame.content, frame.nonce, frame.reply_to)
        self._under_way.add(stored)
        stored.add_done_callback(lambda future: self._stored(future, frame.ref, came))

    def _stored(self, future: "asyncio.Future[Stored]", ref: str | None, came: float) -> None:
        self._under_way.discard(future)
        if future.cancelled():
            return
        error = future.exception()
        if error is None:
            self._acknowledge(ref, message_of(future.result().message))
            self._metrics.ack_seconds.observe(time.perf_counter() - came)
        else:
            self._refuse(error, ref)

    async def _sync(self, frame: frames.Sync) -> None:
        await self._limits.check(rules.SEARCH, self._user_id)
        there = dict(await self._chat.missed(self._user_id, dict(frame.conversations)))
        for conversation_id in frame.conversations:
            read = there.get(conversation_id)
            if read is None:
                self._socket.send(events.conversation_removed(conversation_id))
                continue
            missed = await read()
            # One at a time: an answer waits until the client has taken the one before.
            await self._socket.drained()
            self._say("sync", {"conversation_id": conversation_id, "data": missed._asdict()})
        self._acknowledge(frame.ref)

    async def _watch(self, frame: frames.WatchPresence) -> None:
        await self._limits.check(rules.SEARCH, self._user_id)
        # Watch before asking, so that no change falls between.
        self._presence.watch(self._socket, frame.user_ids)
        for user_id, state in (await self._presence.states(list(dict.fromkeys(frame.user_ids)))).items():
            self._socket.send(events.presence(user_id, state))
        self._acknowledge(frame.ref)

    async def _authenticate(self, frame: frames.Authenticate) -> None:
        await self._limits.check(rules.SEARCH, self._user_id)
        caller = await self._verifier.verify_scoped_token(frame.token, ACCESS)
        if caller.user_id != self._user_id:
            raise TokenInvalid("The token is someone else's.")
        self._socket.extend(caller)
        self._acknowledge(frame.ref, {"token_expires_at": self._socket.token_expires_at})

    def _acknowledge(self, ref: str | None, data: Mapping[str, Any] | None = None) -> None:
        self._say("ack", {"ref": ref} if data is None else {"ref": ref, "data": data})

    def _refuse(self, error: BaseException, ref: str | None) -> None:
        detail = error.detail if isinstance(error, LoaError) else "Something went wrong on our side."
        fields: dict[str, Any] = {"ref": ref, "code": answer_to(error).code, "detail": detail}
        if isinstance(error, LoaError) and error.retry_after is not None:
            fields["retry_after"] = error.retry_after
        if isinstance(error, ValidationFailed):
            fields["errors"] = [field._asdict() for field in error.fields]
        self._say("error", fields)

    def _say(self, type: str, fields: Mapping[str, Any]) -> None:
        self._socket.send(Event(type, fields, feed=events.FEED))
