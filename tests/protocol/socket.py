"""A client's end of a WebSocket: the chat's, or that of the notifications."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.protocol.contract import Contract
from tests.protocol.inbox import WAIT, Frame, Inbox


class Socket(Inbox):
    """Frames in as they come, each held to its schema; frames out, with a `ref` of their own."""

    def __init__(self, name: str, websocket: ClientConnection, contract: Contract, channel: str) -> None:
        super().__init__(name)
        self.websocket = websocket
        self._contract = contract
        self._channel = channel
        self._refs = count(1)
        self._reader = asyncio.create_task(self._read())

    @property
    def port(self) -> int:
        """The client's end: by it the system tells which process has the other."""
        return int(self.websocket.local_address[1])

    async def send(self, type_: str, **fields: Any) -> None:
        await self.raw(json.dumps({"type": type_, **fields}))

    async def raw(self, text: str | bytes) -> None:
        """A text frame with just this in it."""
        await self.websocket.send(text, text=True)

    async def ask(self, type_: str, **fields: Any) -> Frame:
        """Send with a ref, and take out the one `ack` that answers it; an `error` is a failure."""
        answer = await self.answer(type_, **fields)
        assert answer["type"] == "ack", answer
        return answer

    async def refused(self, code: str, type_: str, **fields: Any) -> Frame:
        """Send with a ref, and take out the one `error` that answers it, which has to be of that code."""
        answer = await self.answer(type_, **fields)
        assert (answer["type"], answer.get("code")) == ("error", code), answer
        assert answer["detail"]
        return answer

    async def answer(self, type_: str, **fields: Any) -> Frame:
        ref = f"r{next(self._refs)}"
        await self.send(type_, ref=ref, **fields)
        return await self.spec_for(ref)

    async def spec_for(self, ref: str | None) -> Frame:
        """Take out the `ack` or `error` with this ref."""

        def find() -> Frame | None:
            for event in self._events:
                if event["type"] in ("ack", "error") and event.get("ref") == ref:
                    self._events.remove(event)
                    return event
            assert not self.end, f"{self.name} closed {self.end} without an answer to {ref}"
            return None

        answer: Frame = await self._until(find, f"answer to {ref}", WAIT)
        return answer

    async def fence(self) -> None:
        """Everything that was queued for this socket before now has arrived when this returns."""
        await self.send("ping")
        await self.event("pong")

    async def leave(self) -> None:
        """Close from our side."""
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
            self.close(closed.rcvd.code if closed.rcvd else 1006, closed.rcvd.reason if closed.rcvd else "")
        except Exception as error:
            self.close(0, f"the client gave up: {error!r}")
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
) -> AsyncIterator[Socket]:
    """A socket for as long as the block runs. Raises websockets' InvalidStatus where the upgrade was refused."""
    options: dict[str, Any] = {
        "origin": origin,
        "additional_headers": headers,
        "proxy": None,
        "sock": sock,
        "compression": None,
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
