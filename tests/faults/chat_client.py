"""A device on the chat WebSocket that implements the protocol carefully and checks everything it receives."""

import asyncio
import json
import random
import socket
from contextlib import suppress
from dataclasses import dataclass
from itertools import count

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as connect_socket
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from tests.faults.api_client import API, MAX_DELAY, ApiClient
from tests.faults.client import Client
from tests.faults.ledger import Json
from tests.faults.users import User

RETRYABLE_CODES = ("unavailable", "rate_limited")
OPEN_TIMEOUT = 30.0
PREFIX_LENGTH = 64
DEVICE_NUMBERS = count(1)
"""A user may have several devices, and a nonce belongs to the sender, whichever device sent it."""


class MessageRejected(Exception):
    """The server rejected a message for good. The message is the error's code."""


@dataclass
class PendingMessage:
    """A message that is resent until it is acknowledged."""

    conversation: str
    frame: str
    acknowledged: asyncio.Future[Json]


class Replica:
    """A client's copy of one conversation: the messages by id, in the order received, complete up to `rev`."""

    def __init__(self) -> None:
        self.rev = 0
        self.messages: dict[str, str] = {}
        """The beginning of each content: the full texts of hundreds of clients would fill the memory."""
        self.last_live_rev = 0
        """The last rev that arrived live on this connection: live revs must ascend without repetition."""
        self.catching_up = False
        self.buffered: dict[int, Json] = {}


class ChatClient(Client):
    """`receive_buffer`: bytes of the kernel's receive buffer; a small one makes a slow reader."""

    def __init__(self, user: User, api: ApiClient, random: random.Random, receive_buffer: int = 0) -> None:
        super().__init__(user, api, random)
        self.replicas: dict[str, Replica] = {}
        self.removed: set[str] = set()
        self.websocket: ClientConnection | None = None
        self.presence: dict[str, bool] = {}
        self.on_message = lambda message: None
        """Called with each message that arrives live."""
        device = next(DEVICE_NUMBERS)
        self._receive_buffer = receive_buffer
        self._deliveries = api.ledger.messages
        self._pending: dict[str, PendingMessage] = {}
        self._watched_ids: list[str] = []
        self._nonces = (f"{user.username}-{device}-{number}" for number in count(1))
        self._timers: set[asyncio.TimerHandle] = set()

    def rev(self, conversation: str) -> int:
        """Return the rev up to which the client has every change."""
        replica = self.replicas.get(conversation)
        return replica.rev if replica else 0

    async def send(self, conversation: str, content: str) -> Json:
        """Send a message, again after every failure, and return the acknowledged one. Raises MessageRejected."""
        nonce = next(self._nonces)
        frame = {
            "type": "send_message",
            "ref": nonce,
            "conversation_id": conversation,
            "content": content,
            "nonce": nonce,
        }
        self._deliveries.sent[nonce] = conversation
        pending = PendingMessage(conversation, json.dumps(frame), asyncio.get_running_loop().create_future())
        self._pending[nonce] = pending
        await self._send_frame(pending.frame)
        try:
            return await pending.acknowledged
        finally:
            self._pending.pop(nonce, None)

    async def watch_presence(self, users: list[User]) -> None:
        """Subscribe to the presence of `users`, over reconnects; `presence` has the result."""
        self._watched_ids = [user.id for user in users]
        await self._send_watch()

    def stop_reading(self) -> None:
        """Stop reading from the kernel, so that the server's send buffer fills up."""
        assert self.websocket
        self.websocket.transport.pause_reading()

    def resume_reading(self) -> None:
        """Continue reading what the kernel has buffered, up to the end of the connection."""
        if self.websocket:
            self.websocket.transport.resume_reading()

    async def connect(self) -> None:
        try:
            # Not `async with`: a server that is gone cannot answer the close frame, and the client must not wait for
            # it.
            websocket = await connect_socket(
                f"{self.api.websocket_url}{API}/ws/chat",
                sock=await self._socket_with_small_buffer() if self._receive_buffer else None,
                additional_headers={"Authorization": f"Bearer {self.user.token}"},
                proxy=None,
                compression=None,
                ping_interval=None,
                max_size=None,
                max_queue=None,
                open_timeout=OPEN_TIMEOUT,
                close_timeout=2,
            )
        except InvalidStatus as refusal:
            hint = refusal.response.headers.get("Retry-After")
            self.api.record_refusal(refusal.response.status_code, hint)
            self._reconnect_after_ms = int(min(float(hint or 1), MAX_DELAY) * self._random.uniform(500, 1500))
            return
        except (OSError, TimeoutError, InvalidHandshake) as error:
            self.ledger.refusals[type(error).__name__] += 1
            return
        self.port = websocket.local_address[1]
        try:
            await self._read(websocket)
        finally:
            self.websocket = None
            for timer in self._timers:
                timer.cancel()
            self._timers.clear()
            await websocket.close()

    async def _socket_with_small_buffer(self) -> socket.socket:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_buffer)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, self.api.address)
        return sock

    async def _read(self, websocket: ClientConnection) -> None:
        for replica in self.replicas.values():
            replica.last_live_rev, replica.catching_up = 0, True
            replica.buffered.clear()
        try:
            while True:
                event = json.loads(await websocket.recv())
                if event["type"] == "hello":
                    self.websocket = websocket
                await self._on_event(event)
        except ConnectionClosed as closed:
            code, reason = (closed.rcvd.code, closed.rcvd.reason) if closed.rcvd else (1006, "")
            self.ledger.closes[f"{code} {reason}".strip()] += 1
            if code == 1008:
                self.terminal_reason = reason

    async def _on_event(self, event: Json) -> None:
        kind = event["type"]
        if kind in ("new_message", "message_updated"):
            self._on_message(event["conversation_id"], event["data"])
        elif kind == "ack":
            self._on_ack(event)
        elif kind == "error":
            self._on_error(event)
        elif kind == "sync":
            await self._on_sync(event["conversation_id"], event["data"])
        elif kind == "hello":
            await self._on_hello(event)
        elif kind == "reset":
            self.ledger.resets[event["data"]["reason"]] += 1
            await self._sync(self.replicas)
        elif kind == "draining":
            self.on_draining(event["data"]["reconnect_after_ms"])
        elif kind == "presence":
            self.presence[event["data"]["user_id"]] = event["data"]["online"]
        elif kind == "conversation_removed":
            self.removed.add(event["conversation_id"])
        self.changes.notify()

    async def _on_hello(self, event: Json) -> None:
        behind = []
        for head in event["conversations"]:
            replica = self.replicas.setdefault(head["conversation_id"], Replica())
            if head["last_rev"] > replica.rev:
                behind.append(head["conversation_id"])
            else:
                replica.catching_up = False
        self.on_connected()
        await self._sync(behind)
        if self._watched_ids:
            await self._send_watch()
        for pending in list(self._pending.values()):
            await self._send_frame(pending.frame)

    def _on_message(self, conversation: str, message: Json) -> None:
        if conversation in self.removed:
            self.ledger.violations.append(
                f"{self.user.username} received an event of {conversation} after being removed"
            )
        replica = self.replicas.setdefault(conversation, Replica())
        rev = message["rev"]
        who = f"{self.user.username} of {conversation}: {rev}"
        if rev <= replica.last_live_rev:
            self._deliveries.doubled.append(f"{who} after {replica.last_live_rev}")
        replica.last_live_rev = max(rev, replica.last_live_rev)
        if rev <= replica.rev:
            self._deliveries.overlap += 1
        elif rev == replica.rev + 1:
            self._apply(replica, message)
            self._deliveries.received += 1
            self.on_message(message)
            self._apply_buffered(replica)
        else:
            replica.buffered[rev] = message
            if not replica.catching_up:
                self._on_silent_gap(conversation, f"{who} after {replica.rev}")

    def _on_silent_gap(self, conversation: str, what: str) -> None:
        """Handle that a message is missing, although nothing has announced that some may be."""
        self._deliveries.silent.append(what)

    def _apply_buffered(self, replica: Replica) -> None:
        while message := replica.buffered.pop(replica.rev + 1, None):
            self._apply(replica, message)
            self._deliveries.received += 1

    @staticmethod
    def _apply(replica: Replica, message: Json) -> None:
        replica.messages[message["id"]] = message["content"][:PREFIX_LENGTH]
        replica.rev = message["rev"]

    async def _on_sync(self, conversation: str, result: Json) -> None:
        replica = self.replicas.setdefault(conversation, Replica())
        for message in result["messages"]:
            if message["rev"] > replica.rev:
                self._apply(replica, message)
                self._deliveries.fetched += 1
            else:
                self._deliveries.overlap += 1
        if not result["complete"]:
            await self._sync([conversation])
            return
        replica.rev = max(replica.rev, result["last_rev"])
        replica.buffered = {rev: message for rev, message in replica.buffered.items() if rev > replica.rev}
        self._apply_buffered(replica)
        replica.catching_up = False
        if replica.buffered:
            self._on_silent_gap(
                conversation, f"{self.user.username}: {min(replica.buffered)} came, but not {replica.rev + 1}"
            )

    def _on_ack(self, event: Json) -> None:
        pending = self._pending.get(event["ref"])
        if pending:
            self._deliveries.acknowledge(event["ref"], event["data"]["id"])
            if not pending.acknowledged.done():
                pending.acknowledged.set_result(event["data"])

    def _on_error(self, event: Json) -> None:
        pending = self._pending.get(event["ref"])
        self.ledger.refusals[event["code"]] += 1
        if event["code"] in RETRYABLE_CODES:
            if not event.get("retry_after"):
                self.ledger.violations.append(f"{event['code']} without retry_after")
            frame = pending.frame if pending else None
            self._retry_later(frame, min(event.get("retry_after") or 1, MAX_DELAY))
        elif pending and not pending.acknowledged.done():
            pending.acknowledged.set_exception(MessageRejected(event["code"]))

    def _retry_later(self, frame: str | None, seconds: float) -> None:
        """Resend `frame` after a delay; without a frame the rejected command was `sync`."""

        def again() -> None:
            self._timers.discard(timer)
            behind = [key for key, replica in self.replicas.items() if replica.catching_up]
            asyncio.ensure_future(self._send_frame(frame) if frame else self._sync(behind))  # noqa: RUF006

        timer = asyncio.get_running_loop().call_later(seconds * self._random.uniform(0.5, 1.5), again)
        self._timers.add(timer)

    async def _sync(self, conversations: "list[str] | dict[str, Replica]") -> None:
        wanted = {key: self.replicas[key].rev for key in conversations if key not in self.removed}
        for key in wanted:
            self.replicas[key].catching_up = True
        if wanted:
            await self._send_frame(json.dumps({"type": "sync", "ref": "sync", "conversations": wanted}))

    async def _send_watch(self) -> None:
        await self._send_frame(json.dumps({"type": "watch_presence", "ref": "watch", "user_ids": self._watched_ids}))

    async def _send_frame(self, frame: str) -> None:
        """Send a frame if connected; otherwise the next connection's hello triggers the resend."""
        if self.websocket and self.online:
            with suppress(ConnectionClosed):
                await self.websocket.send(frame)
