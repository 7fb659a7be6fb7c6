"""A device on the chat socket, as a careful client of the contract is: nothing it is told is taken on trust."""

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

from tests.faults.account import Json
from tests.faults.client import Client
from tests.faults.front import API, LONGEST_PAUSE, Front
from tests.faults.people import Person

LATER = ("unavailable", "rate_limited")
OPEN_LIMIT = 30.0
BEGINNING = 64
DEVICES = count(1)
"""People may have several, and a nonce is the sender's, whichever device it comes from."""


class Refused(Exception):
    """The server will not have what was said. The message is the error's code."""


@dataclass
class Saying:
    """Something that is said until it is acknowledged."""

    conversation: str
    frame: str
    acknowledged: asyncio.Future[Json]


class Held:
    """What a client has of one conversation: the messages by id, in the order in which they came, up to `rev`."""

    def __init__(self) -> None:
        self.rev = 0
        self.messages: dict[str, str] = {}
        """How each begins: of hundreds of clients, the whole of what they are told would fill the memory."""
        self.last_live = 0
        """Of this connection: what comes live comes in the order of rev, and once."""
        self.catching_up = False
        self.early: dict[int, Json] = {}


class ChatClient(Client):
    """`receive_buffer`: bytes of the kernel's, small for one that shall be slow."""

    def __init__(self, person: Person, front: Front, random: random.Random, receive_buffer: int = 0) -> None:
        super().__init__(person, front, random)
        self.held: dict[str, Held] = {}
        self.removed: set[str] = set()
        self.websocket: ClientConnection | None = None
        self.presence: dict[str, bool] = {}
        self.on_message = lambda message: None
        """Called with each message that comes live."""
        device = next(DEVICES)
        self._receive_buffer = receive_buffer
        self._line = front.account.messages
        self._saying: dict[str, Saying] = {}
        self._watched: list[str] = []
        self._nonces = (f"{person.username}-{device}-{number}" for number in count(1))
        self._timers: set[asyncio.TimerHandle] = set()

    def rev(self, conversation: str) -> int:
        """Up to where it has everything."""
        held = self.held.get(conversation)
        return held.rev if held else 0

    async def say(self, conversation: str, content: str) -> Json:
        """The message that was acknowledged, however often it had to be said. Raises Refused."""
        nonce = next(self._nonces)
        frame = {
            "type": "send_message",
            "ref": nonce,
            "conversation_id": conversation,
            "content": content,
            "nonce": nonce,
        }
        self._line.sent[nonce] = conversation
        saying = Saying(conversation, json.dumps(frame), asyncio.get_running_loop().create_future())
        self._saying[nonce] = saying
        await self._send(saying.frame)
        try:
            return await saying.acknowledged
        finally:
            self._saying.pop(nonce, None)

    async def watch(self, people: list[Person]) -> None:
        """Follow whether they are online, over reconnects: see `presence`."""
        self._watched = [person.id for person in people]
        await self._watch()

    def stop_reading(self) -> None:
        """Take nothing more from the kernel, so that the server finds no room."""
        assert self.websocket
        self.websocket.transport.pause_reading()

    def read_again(self) -> None:
        """Take what the kernel has kept, and see what has become of the connection."""
        if self.websocket:
            self.websocket.transport.resume_reading()

    async def connect(self) -> None:
        try:
            # Not `async with`: a server that has gone cannot answer the closing, and nobody shall wait for it.
            websocket = await connect_socket(
                f"{self.front.websocket_url}{API}/ws/chat",
                sock=await self._narrow() if self._receive_buffer else None,
                additional_headers={"Authorization": f"Bearer {self.person.token}"},
                proxy=None,
                compression=None,
                ping_interval=None,
                max_size=None,
                max_queue=None,
                open_timeout=OPEN_LIMIT,
                close_timeout=2,
            )
        except InvalidStatus as refusal:
            hint = refusal.response.headers.get("Retry-After")
            self.front.refusal(refusal.response.status_code, hint)
            self._wait_ms = int(min(float(hint or 1), LONGEST_PAUSE) * self._random.uniform(500, 1500))
            return
        except (OSError, TimeoutError, InvalidHandshake) as error:
            self.account.refused[type(error).__name__] += 1
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

    async def _narrow(self) -> socket.socket:
        narrow = socket.socket()
        narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_buffer)
        narrow.setblocking(False)
        await asyncio.get_running_loop().sock_connect(narrow, self.front.address)
        return narrow

    async def _read(self, websocket: ClientConnection) -> None:
        for held in self.held.values():
            held.last_live, held.catching_up = 0, True
            held.early.clear()
        try:
            while True:
                event = json.loads(await websocket.recv())
                if event["type"] == "hello":
                    self.websocket = websocket
                await self._take(event)
        except ConnectionClosed as closed:
            code, reason = (closed.rcvd.code, closed.rcvd.reason) if closed.rcvd else (1006, "")
            self.account.ended[f"{code} {reason}".strip()] += 1
            if code == 1008:
                self.barred = reason

    async def _take(self, event: Json) -> None:
        kind = event["type"]
        if kind in ("new_message", "message_updated"):
            self._take_message(event["conversation_id"], event["data"])
        elif kind == "ack":
            self._take_ack(event)
        elif kind == "error":
            self._take_error(event)
        elif kind == "sync":
            await self._take_sync(event["conversation_id"], event["data"])
        elif kind == "hello":
            await self._take_hello(event)
        elif kind == "reset":
            self.account.resets[event["data"]["reason"]] += 1
            await self._sync(self.held)
        elif kind == "draining":
            self.told_to_go(event["data"]["reconnect_after_ms"])
        elif kind == "presence":
            self.presence[event["data"]["user_id"]] = event["data"]["online"]
        elif kind == "conversation_removed":
            self.removed.add(event["conversation_id"])
        self.changes.tell()

    async def _take_hello(self, event: Json) -> None:
        behind = []
        for place in event["conversations"]:
            held = self.held.setdefault(place["conversation_id"], Held())
            if place["last_rev"] > held.rev:
                behind.append(place["conversation_id"])
            else:
                held.catching_up = False
        self.let_in()
        await self._sync(behind)
        if self._watched:
            await self._watch()
        for saying in list(self._saying.values()):
            await self._send(saying.frame)

    def _take_message(self, conversation: str, message: Json) -> None:
        if conversation in self.removed:
            self.account.wrong.append(f"{self.person.username} was told of {conversation} after leaving it")
        held = self.held.setdefault(conversation, Held())
        rev = message["rev"]
        who = f"{self.person.username} of {conversation}: {rev}"
        if rev <= held.last_live:
            self._line.doubled.append(f"{who} after {held.last_live}")
        held.last_live = max(rev, held.last_live)
        if rev <= held.rev:
            self._line.overlap += 1
        elif rev == held.rev + 1:
            self._hold(held, message)
            self._line.received += 1
            self.on_message(message)
            self._release(held)
        else:
            held.early[rev] = message
            if not held.catching_up:
                self._line.silent.append(f"{who} after {held.rev}")

    def _release(self, held: Held) -> None:
        while message := held.early.pop(held.rev + 1, None):
            self._hold(held, message)
            self._line.received += 1

    @staticmethod
    def _hold(held: Held, message: Json) -> None:
        held.messages[message["id"]] = message["content"][:BEGINNING]
        held.rev = message["rev"]

    async def _take_sync(self, conversation: str, missed: Json) -> None:
        held = self.held.setdefault(conversation, Held())
        for message in missed["messages"]:
            if message["rev"] > held.rev:
                self._hold(held, message)
                self._line.fetched += 1
            else:
                self._line.overlap += 1
        if not missed["complete"]:
            await self._sync([conversation])
            return
        held.rev = max(held.rev, missed["last_rev"])
        held.early = {rev: message for rev, message in held.early.items() if rev > held.rev}
        self._release(held)
        held.catching_up = False
        if held.early:
            self._line.silent.append(f"{self.person.username}: {min(held.early)} came, but not {held.rev + 1}")

    def _take_ack(self, event: Json) -> None:
        saying = self._saying.get(event["ref"])
        if saying:
            self._line.acknowledge(event["ref"], event["data"]["id"])
            if not saying.acknowledged.done():
                saying.acknowledged.set_result(event["data"])

    def _take_error(self, event: Json) -> None:
        saying = self._saying.get(event["ref"])
        self.account.refused[event["code"]] += 1
        if event["code"] in LATER:
            if not event.get("retry_after"):
                self.account.wrong.append(f"{event['code']} without retry_after")
            frame = saying.frame if saying else None
            self._later(frame, min(event.get("retry_after") or 1, LONGEST_PAUSE))
        elif saying and not saying.acknowledged.done():
            saying.acknowledged.set_exception(Refused(event["code"]))

    def _later(self, frame: str | None, seconds: float) -> None:
        """Say it again then; without a frame it is the `sync` that was refused."""

        def again() -> None:
            self._timers.discard(timer)
            behind = [key for key, held in self.held.items() if held.catching_up]
            asyncio.ensure_future(self._send(frame) if frame else self._sync(behind))  # noqa: RUF006

        timer = asyncio.get_running_loop().call_later(seconds * self._random.uniform(0.5, 1.5), again)
        self._timers.add(timer)

    async def _sync(self, conversations: "list[str] | dict[str, Held]") -> None:
        wanted = {key: self.held[key].rev for key in conversations if key not in self.removed}
        for key in wanted:
            self.held[key].catching_up = True
        if wanted:
            await self._send(json.dumps({"type": "sync", "ref": "sync", "conversations": wanted}))

    async def _watch(self) -> None:
        await self._send(json.dumps({"type": "watch_presence", "ref": "watch", "user_ids": self._watched}))

    async def _send(self, frame: str) -> None:
        """Where there is no connection, the next one's hello sees to it."""
        if self.websocket and self.online:
            with suppress(ConnectionClosed):
                await self.websocket.send(frame)
