"""The chat socket: frames in, one answer to each, events out."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager

from service.chat import events, frames
from service.chat.append import Stored
from service.chat.conversation_service import ConversationService
from service.chat.membership_filter import MembershipFilter
from service.chat.message_service import MessageService
from service.common.identity import Verifier
from service.common.times import iso, now
from service.edge.frame_handler import FrameHandler
from service.http import limits as rules
from service.http.limits import RateLimits
from service.http.request_log import unavailable_datastore
from service.http.shielded_tasks import ShieldedTasks
from service.realtime.event import Event
from service.realtime.presence_service import PresenceService
from service.realtime.websocket import MAX_MESSAGE_BYTES, PING_INTERVAL, WebSocket
from service.telemetry.metrics import Metrics
from service.telemetry.tracing import CURRENT_SPAN, Span, Tracing, use_span

MAX_UNDER_WAY = 128
"""Messages of one socket that are being stored at once."""


class ChatSocket(FrameHandler[frames.Frame]):
    """One client's conversation with the chat.

    A message is only handed in when its turn comes, and acknowledged once it is stored: so those that come together
    are stored together.
    """

    def __init__(
        self,
        socket: WebSocket,
        chat: MessageService,
        membership: ConversationService,
        presence: PresenceService,
        verifier: Verifier,
        limits: RateLimits,
        shielded_tasks: ShieldedTasks,
        metrics: Metrics,
        tracing: Tracing | None = None,
    ) -> None:
        super().__init__(socket, frames.FRAMES, verifier, limits, tracing)
        self._chat = chat
        self._membership = membership
        self._presence = presence
        self._shielded_tasks = shielded_tasks
        self._metrics = metrics
        self._user_id = socket.user_id
        self._under_way: set[asyncio.Future[Stored]] = set()

    async def begin(self) -> None:
        """Read where the user's conversations stand, say hello, and go live. Raises Unavailable."""
        conversations = await self._membership.hello(self._user_id)
        hello = {
            "connection_id": self.socket.id,
            "user_id": self._user_id,
            "server_time": iso(now()),
            "heartbeat_interval": int(PING_INTERVAL),
            "max_message_bytes": MAX_MESSAGE_BYTES,
            "token_expires_at": self.socket.token_expires_at,
            "conversations": conversations,
        }
        self.socket.go_live(
            [Event("hello", hello, channel=events.CHANNEL)],
            event_filter=MembershipFilter(self.socket.queue.discard_topic),
        )

    def survives_disconnect(self, frame: frames.Frame) -> bool:
        return isinstance(frame, frames.SendMessage | frames.Read)

    def on_peer_gone(self, undone: Sequence[str]) -> None:
        self._shielded_tasks.spawn(self.finish_pending(undone))

    def on_received(self, type: str) -> None:
        self._metrics.frame_received(type)

    def on_error(self, error: BaseException) -> None:
        if store := unavailable_datastore(error.__cause__):
            self._metrics.datastore_failed(store, error.__cause__ or error)

    def tracing_context(self, span: Span, frame: frames.Frame) -> AbstractContextManager[None]:
        # A message's ends with its ack.
        return use_span(span, end_on_exit=not isinstance(frame, frames.SendMessage))

    async def handle(self, frame: frames.Frame) -> None:
        match frame:
            case frames.SendMessage():
                await self._send_message(frame)
            case frames.Typing():
                await self.limits.check(rules.TYPING, self._user_id)
                await self._membership.typing(self._user_id, frame.conversation_id)
                self.acknowledge(frame.ref)
            case frames.Read():
                await self.limits.check(rules.WRITING, self._user_id)
                # A client says what it has read as it goes: it is stored and told, though nobody waits for the ack.
                reading = self._membership.read(self._user_id, frame.conversation_id, frame.seq)
                state = await self._shielded_tasks.run(reading)
                self.acknowledge(frame.ref, state)
            case frames.Sync():
                await self._sync(frame)
            case frames.WatchPresence():
                await self._watch(frame)

    async def _send_message(self, frame: frames.SendMessage) -> None:
        came = time.perf_counter()
        await self.limits.check(rules.SENDING, self._user_id)
        if len(self._under_way) >= MAX_UNDER_WAY:
            await asyncio.wait(self._under_way, return_when=asyncio.FIRST_COMPLETED)
        stored = self._chat.submit(self._user_id, frame.conversation_id, frame.content, frame.nonce, frame.reply_to)
        self._under_way.add(stored)
        span = CURRENT_SPAN.get()
        stored.add_done_callback(lambda future: self._stored(future, frame.ref, came, span))

    def _stored(self, future: "asyncio.Future[Stored]", ref: str | None, came: float, span: Span | None = None) -> None:
        self._under_way.discard(future)
        if span:
            span.end("cancelled" if future.cancelled() else future.exception())
        if future.cancelled():
            return
        error = future.exception()
        if error is None:
            self.acknowledge(ref, future.result().shown)
            self._metrics.ack_seconds.observe(time.perf_counter() - came)
        else:
            self.send_error(error, ref)

    async def _sync(self, frame: frames.Sync) -> None:
        await self.limits.check(rules.SEARCH, self._user_id)
        there = dict(await self._chat.missed(self._user_id, frame.conversations))
        for conversation_id in frame.conversations:
            read = there.get(conversation_id)
            missed = await read() if read else None
            # One at a time: an answer waits until the client has taken the one before.
            await self.socket.wait_until_written()
            if missed is None:
                # Not the event of that name: this one ends nothing, for the user may be added at this moment.
                self.send("conversation_removed", {"conversation_id": conversation_id})
                continue
            self.socket.send(events.sync(conversation_id, missed._asdict()))
            self._metrics.resumed(events.CHANNEL, missed.complete)
        self.acknowledge(frame.ref)

    async def _watch(self, frame: frames.WatchPresence) -> None:
        await self.limits.check(rules.SEARCH, self._user_id)
        await self._presence.subscribe_with_snapshot(self.socket, frame.user_ids)
        self.acknowledge(frame.ref)
