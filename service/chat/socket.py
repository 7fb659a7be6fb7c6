"""The chat socket: answers each frame of the client, and sends the events of the user's conversations."""

import asyncio
import time
from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from service.chat import events, frames
from service.chat.append import StoredMessage
from service.chat.conversation_service import ConversationService
from service.chat.membership_filter import MembershipFilter
from service.chat.message_service import MessageService
from service.common.errors import NotFound
from service.common.identity import Verifier
from service.common.times import iso, now
from service.edge.frame_handler import FrameHandler
from service.http.limits import LOOKUP, SENDING, TYPING, WRITING, RateLimits
from service.http.request_log import unavailable_datastore
from service.http.shielded_tasks import ShieldedTasks
from service.realtime.connection import Connection
from service.realtime.event import Event
from service.realtime.presence_service import PresenceService
from service.realtime.websocket import MAX_MESSAGE_BYTES, PING_INTERVAL, WebSocket
from service.telemetry.metrics import Metrics
from service.telemetry.tracing import CURRENT_SPAN, Span, Tracing, use_span

MAX_IN_FLIGHT = 128
"""Messages of one socket that are being stored concurrently."""


class PostWatch(Protocol):
    async def watch(self, connection: Connection, post_ids: Collection[str]) -> None:
        """Send the connection the events of these posts, and no longer of those before. Raises Unavailable."""
        ...


class ChatSocket(FrameHandler[frames.Frame]):
    """Handles the frames of one chat connection.

    Frames are handled one after the other, but a message is only submitted then and acknowledged once it is stored: so
    messages that arrive together are stored in one batch.
    """

    def __init__(
        self,
        socket: WebSocket,
        messages: MessageService,
        conversations: ConversationService,
        presence: PresenceService,
        posts: PostWatch,
        verifier: Verifier,
        limits: RateLimits,
        shielded_tasks: ShieldedTasks,
        metrics: Metrics,
        tracing: Tracing | None = None,
    ) -> None:
        super().__init__(socket, frames.FRAMES, verifier, limits, tracing)
        self._messages = messages
        self._conversations = conversations
        self._presence = presence
        self._posts = posts
        self._shielded_tasks = shielded_tasks
        self._metrics = metrics
        self._user_id = socket.user_id
        # No set: an empty one takes 200 bytes more in each idle socket.
        self._in_flight: dict[asyncio.Future[StoredMessage], None] = {}

    async def begin(self) -> None:
        """Send hello with the heads of the user's conversations, and go live. Raises Unavailable."""
        heads = await self._conversations.heads_for_hello(self._user_id)
        hello = {
            "connection_id": self.socket.id,
            "user_id": self._user_id,
            "server_time": iso(now()),
            "heartbeat_interval": int(PING_INTERVAL),
            "max_message_bytes": MAX_MESSAGE_BYTES,
            "token_expires_at": self.socket.token_expires_at,
            "conversations": heads,
        }
        self.socket.resyncs_after_overflow = True
        self.socket.go_live(
            [Event("hello", hello, channel=events.CHANNEL)],
            event_filter=MembershipFilter(self.socket.queue.discard_topic),
        )

    def survives_disconnect(self, frame: frames.Frame) -> bool:
        return isinstance(frame, frames.SendMessage | frames.Read)

    def on_peer_gone(self, pending_frames: Sequence[bytes]) -> None:
        self._shielded_tasks.spawn(self.finish_pending(pending_frames))

    def on_received(self, type: str) -> None:
        self._metrics.frame_received(type)

    def on_error(self, error: BaseException) -> None:
        if store := unavailable_datastore(error.__cause__):
            self._metrics.datastore_failed(store, error.__cause__ or error)

    def tracing_context(self, span: Span, frame: frames.Frame) -> AbstractContextManager[None]:
        # The span of a message ends with its ack: see _on_stored.
        return use_span(span, end_on_exit=not isinstance(frame, frames.SendMessage))

    async def handle(self, frame: frames.Frame) -> None:
        match frame:
            case frames.SendMessage():
                await self._send_message(frame)
            case frames.Typing():
                await self.limits.check(TYPING, self._user_id)
                await self._conversations.publish_typing(self._user_id, frame.conversation_id, frame.active)
                self.acknowledge(frame.ref)
            case frames.Read():
                await self.limits.check(WRITING, self._user_id)
                # Clients often send this just before they disconnect: it is stored and published all the same.
                reading = self._conversations.mark_read(self._user_id, frame.conversation_id, frame.seq)
                state = await self._shielded_tasks.run(reading)
                self.acknowledge(frame.ref, state)
            case frames.Sync():
                await self._sync(frame)
            case frames.WatchPresence():
                await self._watch_presence(frame)
            case frames.WatchPosts():
                await self.limits.check(LOOKUP, self._user_id)
                await self._posts.watch(self.socket, frame.post_ids)
                self.acknowledge(frame.ref)

    async def _send_message(self, frame: frames.SendMessage) -> None:
        received_at = time.perf_counter()
        await self.limits.check(SENDING, self._user_id)
        self.limits.bytes.take_message(self._user_id, frame.content, len(frame.attachments))
        if len(self._in_flight) >= MAX_IN_FLIGHT:
            await asyncio.wait(self._in_flight, return_when=asyncio.FIRST_COMPLETED)
        stored = self._messages.submit(
            self._user_id, frame.conversation_id, frame.content, frame.nonce, frame.reply_to, frame.attachments
        )
        self._in_flight[stored] = None
        span = CURRENT_SPAN.get()
        stored.add_done_callback(lambda future: self._on_stored(future, frame.ref, received_at, span))

    def _on_stored(
        self, future: "asyncio.Future[StoredMessage]", ref: str | None, received_at: float, span: Span | None = None
    ) -> None:
        self._in_flight.pop(future, None)
        if span:
            span.end("cancelled" if future.cancelled() else future.exception())
        if future.cancelled():
            return
        error = future.exception()
        if error is None:
            self.acknowledge(ref, future.result().as_seen_by(self._user_id))
            self._metrics.ack_seconds.observe(time.perf_counter() - received_at)
        else:
            self.send_error(error, ref)

    async def _sync(self, frame: frames.Sync) -> None:
        await self.limits.check(LOOKUP, self._user_id)
        readers = dict(await self._messages.catch_up(self._user_id, frame.conversations))
        for conversation_id in frame.conversations:
            read = readers.get(conversation_id)
            try:
                catch_up = await read() if read else None
            except NotFound:
                catch_up = None
            # One at a time: wait until the client has received the previous answer.
            await self.socket.wait_until_written()
            if catch_up is None:
                # Sent as a plain frame. As an event it would pass the MembershipFilter and drop later events of the
                # conversation, to which the user may be added at this very moment.
                self.send("conversation_removed", {"conversation_id": conversation_id})
                continue
            self.socket.send(events.sync(conversation_id, catch_up.as_json(), catch_up.version))
            self._metrics.resumed(events.CHANNEL, catch_up.complete)
        self.acknowledge(frame.ref)

    async def _watch_presence(self, frame: frames.WatchPresence) -> None:
        await self.limits.check(LOOKUP, self._user_id)
        await self._presence.subscribe_with_snapshot(self.socket, frame.user_ids)
        self.acknowledge(frame.ref)
