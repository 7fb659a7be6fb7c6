"""A signed-in user of a served app, over HTTP, the event stream and the socket."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import httpx
from websockets.asyncio.client import ClientConnection, connect

from tests.notifications.service_process import user_numbers
from tests.rest import RestClient

TIMEOUT = 10.0
"""Seconds to wait for an event or frame."""


class ServerSentEvent(NamedTuple):
    """A server-sent event. `name` is "message" if the event has none, as in a browser."""

    id: str | None
    name: str
    data: Any


class EventSource:
    """Parses the events of a response (WHATWG HTML, section 9.2.6)."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self.retry: int | None = None
        self._lines = response.aiter_lines()

    async def next(self) -> ServerSentEvent:
        """Return the next event. Raises StopAsyncIteration at the end of the stream."""
        id, name, data = None, "message", []
        async with asyncio.timeout(TIMEOUT):
            while True:
                line = await anext(self._lines)
                field, _, value = line.partition(": ")
                match field:
                    case "id":
                        id = value
                    case "event":
                        name = value
                    case "data":
                        data.append(value)
                    case "retry":
                        self.retry = int(value)
                    case "" if data:
                        return ServerSentEvent(id, name, json.loads("\n".join(data)))


class Socket:
    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def next(self) -> Any:
        async with asyncio.timeout(TIMEOUT):
            return json.loads(await self.connection.recv())

    async def ask(self, **frame: Any) -> Any:
        await self.connection.send(json.dumps(frame))
        return await self.next()


class ApiUser:
    def __init__(self, client: RestClient, signed_in: dict[str, Any]) -> None:
        self._client = client
        self.id: str = signed_in["user"]["id"]
        self.token: str = signed_in["access_token"]
        self.refresh_token: str = signed_in["refresh_token"]
        self._headers = {"Authorization": f"Bearer {self.token}"}

    @classmethod
    async def register(cls, client: RestClient, display_name: str = "Someone") -> "ApiUser":
        body = {"username": f"user{next(user_numbers)}", "password": "correct horse", "display_name": display_name}
        response = await client.post("/api/v1/auth/register", json=body)
        assert 201 == response.status_code
        return cls(client, response.json())

    async def call(self, method: str, path: str, status: int, **arguments: Any) -> Any:
        """Send a request, check its status, and return the JSON of the response."""
        response = await self.request(method, path, **arguments)
        assert status == response.status_code, response.text
        return response.json() if response.content else None

    async def request(self, method: str, path: str, headers: dict[str, str] | None = None, **arguments: Any) -> Any:
        """Send a request, and return the response."""
        request = getattr(self._client, method)
        return await request(f"/api/v1{path}", headers=self._headers | (headers or {}), **arguments)

    async def post(self, content: str = "A post") -> str:
        return str((await self.call("post", "/posts", 201, json={"content": content}))["id"])

    async def comment(self, post_id: str, content: str = "Aye", **fields: Any) -> dict[str, Any]:
        body = {"content": content, **fields}
        comment: dict[str, Any] = await self.call("post", f"/posts/{post_id}/comments", 201, json=body)
        return comment

    @asynccontextmanager
    async def stream(self, headers: dict[str, str] | None = None, **query: str) -> AsyncIterator[EventSource]:
        url = self._client.url("/api/v1/notifications/stream")
        async with (
            httpx.AsyncClient(timeout=TIMEOUT) as http,
            http.stream("GET", url, params={"token": self.token} | query, headers=headers) as response,
        ):
            yield EventSource(response)

    @asynccontextmanager
    async def socket(self, **query: str) -> AsyncIterator[Socket]:
        url = httpx.URL(self._client.url("/api/v1/ws/notifications", "ws"), params={"token": self.token} | query)
        async with connect(str(url)) as connection:
            yield Socket(connection)
