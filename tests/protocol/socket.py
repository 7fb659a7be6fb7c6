"""A client of a WebSocket: the chat's or that of the notifications."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.protocol.contract import Contract
from tests.protocol.received_events import WAIT, Frame, ReceivedEvents


class Socket(ReceivedEvents):
    """Checks each received event against its schema, and sends messages, each with its own `ref`."""

    def __init__(self, name: str, websocket: ClientConnection, contract: Contract, channel: str) -> None:
        super().__init__(name)
        self.websocket = websocket
        self._contract = contract
        self._channel = channel
        self._refs = count(1)
        self._reader = asyncio.create_task(self._read())

    @property
    def port(self) -> int:
        """The client's port, by which the kernel can tell which worker has the other end; see worker_lookup.py."""
        return int(self.websocket.local_address[1])

    async def send(self, type_: str, **fields: Any) -> None:
        await self.send_raw(json.dumps({"type": type_, **fields}))

    async def send_raw(self, text: str | bytes) -> None:
        """Send a text frame with exactly this content."""
        await self.websocket.send(text, text=True)

    async def request(self, type_: str, **fields: Any) -> Frame:
        """Send with a ref, and take out its `ack`; an `error` fails the test."""
        answer = await self.answer(type_, **fields)
        assert answer["type"] == "ack", answer
        return answer

    async def expect_error(self, code: str, type_: str, **fields: Any) -> Frame:
        """Send with a ref, and take out its `error`, which must have that code."""
        answer = await self.answer(type_, **fields)
        assert (answer["type"], answer.get("code")) == ("error", code), answer
        assert answer["detail"]
        return answer

    async def answer(self, type_: str, **fields: Any) -> Frame:
        ref = f"r{next(self._refs)}"
        await self.send(type_, ref=ref, **fields)
        return await self.reply_to(ref)

    async def reply_to(self, ref: str | None) -> Frame:
        """Take out the `ack` or `error` with this ref, waiting for it if necessary."""

        def find() -> Frame | None:
            for event in self._events:
                if event["type"] in ("ack", "error") and event.get("ref") == ref:
                    self._events.remove(event)
                    return event
            assert not self.end, f"{self.name} closed {self.end} without an answer to {ref}"
            return None

        answer: Frame = await self._until(find, f"answer to {ref}", WAIT)
        return answer

    async def next_answer(self) -> Frame | None:
        """Take out the next `ack`, `error` or `pong`, waiting for it if necessary; None if the socket closes."""

        def find() -> Frame | tuple[int, str] | None:
            for event in self._events:
                if event["type"] in ("ack", "error", "pong"):
                    self._events.remove(event)
                    return event
            return self.end

        found: Frame | tuple[int, str] = await self._until(find, "answer", WAIT)
        return found if isinstance(found, dict) else None

    async def flush(self) -> None:
        """Wait until everything that the server had queued for this socket has arrived."""
        await self.send("ping")
        await self.event("pong")

    async def disconnect(self) -> None:
        """Close the connection from this side."""
        await self.websocket.close()
        await self._reader

    async def _read(self) -> None:
        try:
            while True:
                text = await self.websocket.recv(decode=True)
                assert isinstance(text, str)
                event = json.loads(text)
                self._contract.check_event(self._channel, event["type"], event)
                self.put(event)
        except ConnectionClosed as closed:
            self.mark_closed(closed.rcvd.code if closed.rcvd else 1006, closed.rcvd.reason if closed.rcvd else "")
        except Exception as error:
            self.mark_closed(0, f"the client gave up: {error!r}")
            raise


@asynccontextmanager
async def connected(
    url: str,
    name: str,
    contract: Contract,
    channel: str,
    *,
    origin: str | None = None,
    headers: Any = None,
    sock: Any = None,
    compression: str | None = None,
) -> AsyncIterator[Socket]:
    """A socket that is open while the block runs. Raises websockets' InvalidStatus if the upgrade was rejected."""
    options: dict[str, Any] = {
        "origin": origin,
        "additional_headers": headers,
        "proxy": None,
        "sock": sock,
        "compression": compression,
        "ping_interval": None,
        "max_size": None,
        "open_timeout": WAIT,
    }
    async with connect(url, **options) as websocket:
        socket = Socket(name, websocket, contract, channel)
        try:
            yield socket
        finally:
            await websocket.close()
            await socket._reader
