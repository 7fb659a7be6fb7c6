"""A push service on loopback (RFC 8030), which answers as a test wants it to, or does not; and what it was sent."""

import asyncio
import json
import re
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from tests.http_receiver import HttpReceiver, read_request
from tests.push.browser import Browser, decoded
from tests.webhooks.certificate import LOCALHOST
from tests.webhooks.receiver import answer

CREATED = answer(201, "Location: /message/1")
TOPIC = re.compile(r"[A-Za-z0-9_-]{1,32}")
TOKEN = re.compile(r"vapid t=([\w-]+\.[\w-]+\.[\w-]+), k=([\w-]+)")


class Push(NamedTuple):
    """A request as it arrived. `payload`: decrypted."""

    path: str
    headers: dict[str, str]
    body: bytes
    payload: dict[str, Any]
    claims: dict[str, Any]
    key: str
    at: float


Behaviour = Callable[[Push], bytes | None]
"""Returns the bytes to answer; None: never answers."""


class PushServiceDouble(HttpReceiver):
    """Serves the subscriptions that `subscribe` makes, each with the keys of a browser of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.pushes: list[Push] = []
        self.behaviour: Behaviour = lambda _: CREATED
        self._browsers: dict[str, Browser] = {}
        self.connections = 0

    @property
    def host(self) -> str:
        return f"localhost:{self.port}"

    def subscribe(self, name: str) -> dict[str, Any]:
        """Return the JSON of a new subscription, whose pushes have the path `/push/<name>`."""
        self._browsers[f"/push/{name}"] = browser = Browser()
        return browser.subscription(f"https://{self.host}/push/{name}")

    async def wait(self, count: int, name: str = "", within: float = 25.0) -> list[Push]:
        """Wait until `count` pushes have arrived, of this subscription or of all; return them."""

        def found() -> list[Push]:
            return [push for push in self.pushes if not name or push.path == f"/push/{name}"]

        async with asyncio.timeout(within), self._arrived:
            await self._arrived.wait_for(lambda: len(found()) >= count)
        return found()

    async def disconnected(self) -> None:
        """Wait until nobody is connected."""
        async with asyncio.timeout(10):
            while self._connections:
                await asyncio.sleep(0.01)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        self.connections += 1
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                push = await self._read(reader)
                response = self.behaviour(push)
                async with self._arrived:
                    self.pushes.append(push)
                    self._arrived.notify_all()
                if response is not None:
                    writer.write(response)
                    await writer.drain()
        self._connections.discard(writer)
        writer.close()

    async def _read(self, reader: asyncio.StreamReader) -> Push:
        """Read a push, and check all of it."""
        line, headers, body = await read_request(reader)
        method, path, _ = line.split(" ")
        assert ("POST", "aes128gcm", "86400") == (method, headers["content-encoding"], headers["ttl"])
        assert TOPIC.fullmatch(headers["topic"])
        assert headers["urgency"] in ("very-low", "low", "normal", "high")
        assert len(body) <= 4096
        match = TOKEN.fullmatch(headers["authorization"])
        assert match
        public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), decoded(match[2]))
        claims = jwt.decode(match[1], public, ["ES256"], audience=f"https://{self.host}")
        assert time.time() < claims["exp"] <= time.time() + 24 * 3600
        payload = json.loads(self._browsers[path].decrypt(body))
        assert {"type", "title", "body", "url", "tag", "unread_count"} == payload.keys()
        return Push(path, headers, body, payload, claims, match[2], time.monotonic())


@asynccontextmanager
async def serving_pushes(directory: Path) -> AsyncIterator[PushServiceDouble]:
    """`directory` gets the file `localhost.pem`, with the certificate."""
    file = directory / "localhost.pem"
    file.write_text(LOCALHOST)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(file)
    service = PushServiceDouble()
    await service.start(tls)
    try:
        yield service
    finally:
        await service.stop()
