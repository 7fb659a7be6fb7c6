"""A receiver of webhooks on loopback, which answers as a test wants it to, or does not."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from tests.http_receiver import HttpReceiver, read_request

OK = b"HTTP/1.1 204 No Content\r\n\r\n"


def answer(status: int, *headers: str) -> bytes:
    return "\r\n".join((f"HTTP/1.1 {status} .", *headers, "Content-Length: 0", "", "")).encode()


class Request(NamedTuple):
    """A request as it arrived. `headers`: names in lower case."""

    line: str
    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def event(self) -> dict[str, Any]:
        return dict(json.loads(self.body))


Behaviour = Callable[[Request], bytes | None]
"""Returns the bytes to answer; None: never answers."""


class Receiver(HttpReceiver):
    """Keeps all requests. `accepted` has the ids that it answered with 2xx, `refused` the requests whose signature was
    wrong; `url` is its address, `path` included, and `peer_port` the port of the newest connection to it."""

    def __init__(self, secret: str) -> None:
        super().__init__()
        self.requests: list[Request] = []
        self.accepted: Counter[str] = Counter()
        self.refused: list[Request] = []
        self.behaviour: Behaviour = lambda _: OK
        self.delay: Callable[[], Awaitable[object]] | None = None
        """What to wait for before an answer."""
        self.peer_port = 0
        self._verifier = Webhook(secret)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hooks?from=loa"

    async def wait(self, condition: Callable[[], bool], within: float = 20.0) -> None:
        """Wait until the condition holds, which is looked at after each request."""
        async with asyncio.timeout(within), self._arrived:
            await self._arrived.wait_for(condition)

    async def wait_for_accepted(self, *ids: str, within: float = 20.0) -> None:
        await self.wait(lambda: self.accepted.keys() >= set(ids), within)

    def of(self, webhook_id: str) -> list[Request]:
        return [request for request in self.requests if request.id == webhook_id]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        self.peer_port = writer.get_extra_info("peername")[1]
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                request = await _read(reader)
                # Every one, also those that will be answered with an error.
                try:
                    self._verifier.verify(request.body, request.headers)
                except WebhookVerificationError:
                    self.refused.append(request)
                    break
                if self.delay:
                    await self.delay()
                response = self.behaviour(request)
                async with self._arrived:
                    self.requests.append(request)
                    if response and b" 2" == response[8:10]:
                        self.accepted[request.id] += 1
                    self._arrived.notify_all()
                if response is not None:
                    writer.write(response)
                    await writer.drain()
        self._connections.discard(writer)
        writer.close()


async def _read(reader: asyncio.StreamReader) -> Request:
    return Request(*await read_request(reader), time.time())


@asynccontextmanager
async def receiving(secret: str) -> AsyncIterator[Receiver]:
    receiver = Receiver(secret)
    await receiver.start()
    try:
        yield receiver
    finally:
        await receiver.stop()
    assert [] == receiver.refused
