"""Clients of a server, which know only its protocol: HTTP, sockets and streams."""

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from types import TracebackType
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import httpx

from tests.protocol.contract import PROBLEM, Contract
from tests.protocol.received_events import WAIT
from tests.protocol.socket import Socket, connected
from tests.protocol.stream import Stream, streaming
from tests.running import Server

# httpcore tries to import this before each request; if it is missing, the search takes longer than the request.
sys.modules.setdefault("sniffio", None)  # type: ignore[arg-type]

API = "/api/v1"
PASSWORD_MARK = "Passwort-Kennzeichen"
CONTENT_MARK = "Inhalts-Kennzeichen"
"""Every password and every text of the tests contains its mark, so that a log can be searched for them."""
ID = re.compile(r"[0-9a-f]{24}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
NO_ID = "0" * 24
"""A well-formed id that no object has."""

Json = Any


def unique_text(text: str = "") -> str:
    """Return a text that no other message or post has."""
    return f"{text} {CONTENT_MARK} {uuid4().hex}".strip()


class Problem(AssertionError):
    """An unexpected error response."""


class Clients:
    """The clients of one test on one server. Their connections are closed when the block ends."""

    def __init__(self, server: Server, contract: Contract) -> None:
        self.server = server
        self.contract = contract
        self.http = httpx.AsyncClient(
            base_url=server.url, timeout=WAIT, limits=httpx.Limits(max_connections=None), trust_env=False, verify=False
        )
        self._open = AsyncExitStack()

    async def __aenter__(self) -> "Clients":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._open.aclose()
        await self.http.aclose()

    async def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Send any request to the API, and check the response against the OpenAPI document."""
        answer = await self.http.request(method, API + path, **options)
        if method != "HEAD":
            self.contract.check_response(answer)
        return answer

    async def user(self, username: str = "", **more: str) -> "User":
        """Register a new user."""
        username = username or f"u{uuid4().hex[:20]}"
        password = f"{PASSWORD_MARK}-{uuid4().hex}"
        answer = await self.call("POST", "/auth/register", json={"username": username, "password": password, **more})
        assert answer.status_code == 201, answer.text
        return User(self, password, answer.json())

    async def users(self, count: int) -> "list[User]":
        return await asyncio.gather(*(self.user() for _ in range(count)))

    async def socket(
        self, path: str = "/ws/chat", channel: str = "chat", name: str = "a socket", **options: Any
    ) -> Socket:
        """Open a socket, which stays open until the test ends. `query`: parameters of the URL."""
        query = options.pop("query", None)
        url = self.server.websocket_url + API + path + (f"?{urlencode(query)}" if query else "")
        return await self.enter(connected(url, name, self.contract, channel, **options))

    async def stream(self, name: str = "a stream", **options: Any) -> Stream:
        """Open a notification stream, which stays open until the test ends."""
        query = options.pop("query", None)
        url = self.server.url + API + "/notifications/stream" + (f"?{urlencode(query)}" if query else "")
        return await self.enter(streaming(self.http, url, name, self.contract, options.pop("headers", None) or {}))

    async def enter(self, manager: AbstractAsyncContextManager[Any]) -> Any:
        return await self._open.enter_async_context(manager)


class User:
    """A user who is signed in on one device."""

    def __init__(self, clients: Clients, password: str, signed_in: Json) -> None:
        self.clients = clients
        self.password = password
        self.profile: Json = signed_in["user"]
        self.id: str = signed_in["user"]["id"]
        self.username: str = signed_in["user"]["username"]
        self.take_tokens(signed_in)

    def take_tokens(self, signed_in: Json) -> None:
        self.token: str = signed_in["access_token"]
        self.refresh_token: str = signed_in["refresh_token"]

    @property
    def bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    async def sign_in_again(self) -> "User":
        """Sign in again: the same user on another device."""
        body = {"username": self.username, "password": self.password}
        answer = await self.clients.call("POST", "/auth/login", json=body)
        assert answer.status_code == 200, answer.text
        return User(self.clients, self.password, answer.json())

    async def refresh(self) -> None:
        answer = await self.clients.call("POST", "/auth/refresh", json={"refresh_token": self.refresh_token})
        assert answer.status_code == 200, answer.text
        self.take_tokens(answer.json())

    async def call(self, method: str, path: str, body: Json = None, **options: Any) -> httpx.Response:
        """Send a request with the user's token, and return any response."""
        headers = self.bearer | options.pop("headers", {})
        if body is not None:
            options["content"] = json.dumps(body)
            headers |= {"Content-Type": "application/json"}
        return await self.clients.call(method, path, headers=headers, **options)

    async def request(self, method: str, path: str, body: Json = None, **options: Any) -> Json:
        """Send a request, and return the response's JSON, or None if it has no body. Raises Problem on an error."""
        answer = await self.call(method, path, body, **options)
        if not answer.is_success:
            raise Problem(f"{method} {path}: {answer.status_code} {answer.text}")
        assert (answer.status_code == 204) == (not answer.content)
        return answer.json() if answer.content else None

    async def get(self, path: str, **query: Any) -> Json:
        return await self.request("GET", path, params=query)

    async def post(self, path: str, body: Json = None) -> Json:
        return await self.request("POST", path, body)

    async def put(self, path: str, body: Json = None) -> Json:
        return await self.request("PUT", path, body)

    async def patch(self, path: str, body: Json) -> Json:
        return await self.request("PATCH", path, body)

    async def delete(self, path: str) -> Json:
        return await self.request("DELETE", path)

    async def expect_error(
        self, status: int, code: str, method: str, path: str, body: Json = None, **options: Any
    ) -> Json:
        """Send a request that must fail with this status and code, and return its problem document."""
        return problem(await self.call(method, path, body, **options), status, code)

    async def chat_socket(self, **options: Any) -> Socket:
        """Open a chat socket, and wait for its hello."""
        socket = await self.clients.socket(name=f"{self.username}'s chat", headers=self.bearer, **options)
        socket.hello = await socket.event("hello")
        return socket

    async def notification_socket(self, **query: Any) -> Socket:
        socket = await self.clients.socket(
            "/ws/notifications",
            "notification_socket",
            f"{self.username}'s notifications",
            query={"token": self.token, **query},
        )
        socket.hello = await socket.event("hello")
        return socket

    async def stream(
        self, *, last_event_id: str | int | None = None, last_event_id_in_url: str | int | None = None
    ) -> Stream:
        """Open a notification stream, and wait for its hello. It resumes by the header, as in browsers, or the URL."""
        headers = {} if last_event_id is None else {"Last-Event-ID": str(last_event_id)}
        query = {} if last_event_id_in_url is None else {"last_event_id": str(last_event_id_in_url)}
        stream = await self.clients.stream(
            f"{self.username}'s stream", query={"token": self.token, **query}, headers=headers
        )
        stream.hello = await stream.event("hello")
        return stream

    async def ticket(self) -> str:
        return str((await self.post("/auth/ticket"))["ticket"])

    async def start_conversation(self, *others: "User", title: str | None = None) -> str:
        """Return the id of a conversation with others: direct with one, a group if it has a title."""
        body: Json = {"participant_ids": [other.id for other in others]}
        if title:
            body["title"] = title
        return str((await self.post("/conversations", body))["id"])

    async def send_message(self, conversation: str, content: str = "", **more: Any) -> Json:
        return await self.post(f"/conversations/{conversation}/messages", {"content": content or unique_text(), **more})

    async def create_post(self) -> str:
        """Return the id of a new post."""
        return str((await self.post("/posts", {"content": unique_text("a post")}))["id"])

    async def comment(self, post: str, **more: Any) -> Json:
        return await self.post(f"/posts/{post}/comments", {"content": unique_text("a comment"), **more})

    async def pages(self, path: str, cursor: str, **query: Any) -> AsyncIterator[Json]:
        """Iterate over all items of a list, following `next` from page to page."""
        seen: set[Any] = set()
        while True:
            page = await self.get(path, **query)
            assert set(page) == {"items", "next"}
            assert page["items"] or page["next"] is None
            for item in page["items"]:
                yield item
            if page["next"] is None:
                return
            assert page["next"] not in seen, "the pages repeat"
            seen.add(page["next"])
            query[cursor] = page["next"]


def problem(answer: httpx.Response, status: int, code: str) -> Json:
    """Check that the response is this error, as RFC 9457 and the contract define it, and return its body."""
    assert (answer.status_code, answer.headers.get("content-type")) == (status, PROBLEM), answer.text
    body = answer.json()
    assert set(body) - {"errors", "until"} == {"title", "status", "code", "detail"}
    assert ("until" in body) == (code == "banned")
    assert (body["status"], body["code"]) == (status, code), body
    assert body["title"]
    assert body["detail"]
    assert ("errors" in body) == (code == "validation_failed")
    for error in body.get("errors", []):
        assert set(error) == {"field", "message"}
    if status in (429, 503):
        assert int(answer.headers["Retry-After"]) > 0
    return body


def is_id(value: Json) -> bool:
    return isinstance(value, str) and bool(ID.fullmatch(value))


def is_time(value: Json) -> bool:
    return isinstance(value, str) and bool(TIME.fullmatch(value))
