"""People who use a server as its clients do: over HTTP, sockets and streams, and knowing nothing of its inside."""

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
from tests.protocol.inbox import WAIT
from tests.protocol.socket import Socket, connected
from tests.protocol.stream import Stream, streaming
from tests.running import Server

# httpcore looks for it before each request; where it is not installed, the search takes longer than the request.
sys.modules.setdefault("sniffio", None)  # type: ignore[arg-type]

API = "/api/v1"
PASSWORD_MARK = "Passwort-Kennzeichen"
CONTENT_MARK = "Inhalts-Kennzeichen"
"""They are in all that people keep secret and in all that they say, so that a log can be searched for either."""
ID = re.compile(r"[0-9a-f]{24}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
NO_ID = "0" * 24
"""A well-formed id that nothing has."""

Json = Any


def words(text: str = "") -> str:
    """Something to say that nobody has said before."""
    return f"{text} {CONTENT_MARK} {uuid4().hex}".strip()


class Problem(AssertionError):
    """An answer that is an error where the test expected none."""


class World:
    """One server and the people of one test, whose connections it closes afterwards."""

    def __init__(self, server: Server, contract: Contract) -> None:
        self.server = server
        self.contract = contract
        self.http = httpx.AsyncClient(
            base_url=server.url, timeout=WAIT, limits=httpx.Limits(max_connections=None), trust_env=False, verify=False
        )
        self._open = AsyncExitStack()

    async def __aenter__(self) -> "World":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._open.aclose()
        await self.http.aclose()

    async def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Any request to the API; its answer is held to the OpenAPI document."""
        answer = await self.http.request(method, API + path, **options)
        if method != "HEAD":
            self.contract.check_answer(answer)
        return answer

    async def person(self, username: str = "", **more: str) -> "Person":
        """Someone new, signed in."""
        username = username or f"u{uuid4().hex[:20]}"
        password = f"{PASSWORD_MARK}-{uuid4().hex}"
        answer = await self.call("POST", "/auth/register", json={"username": username, "password": password, **more})
        assert answer.status_code == 201, answer.text
        return Person(self, password, answer.json())

    async def people(self, count: int) -> "list[Person]":
        return await asyncio.gather(*(self.person() for _ in range(count)))

    async def socket(
        self, path: str = "/ws/chat", channel: str = "chat", name: str = "a socket", **options: Any
    ) -> Socket:
        """A socket, open until the test ends. `query`: parameters of the URL."""
        query = options.pop("query", None)
        url = self.server.websocket_url + API + path + (f"?{urlencode(query)}" if query else "")
        return await self.enter(connected(url, name, self.contract, channel, **options))

    async def stream(self, name: str = "a stream", **options: Any) -> Stream:
        """A notification stream, open until the test ends."""
        query = options.pop("query", None)
        url = self.server.url + API + "/notifications/stream" + (f"?{urlencode(query)}" if query else "")
        return await self.enter(streaming(self.http, url, name, self.contract, options.pop("headers", None) or {}))

    async def enter(self, manager: AbstractAsyncContextManager[Any]) -> Any:
        return await self._open.enter_async_context(manager)


class Person:
    """Someone who is signed in on one device."""

    def __init__(self, world: World, password: str, signed_in: Json) -> None:
        self.world = world
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

    async def device(self) -> "Person":
        """The same person, signed in once more."""
        body = {"username": self.username, "password": self.password}
        answer = await self.world.call("POST", "/auth/login", json=body)
        assert answer.status_code == 200, answer.text
        return Person(self.world, self.password, answer.json())

    async def refresh(self) -> None:
        answer = await self.world.call("POST", "/auth/refresh", json={"refresh_token": self.refresh_token})
        assert answer.status_code == 200, answer.text
        self.take_tokens(answer.json())

    async def call(self, method: str, path: str, body: Json = None, **options: Any) -> httpx.Response:
        """A request with this person's token, whatever the answer."""
        headers = self.bearer | options.pop("headers", {})
        if body is not None:
            options["content"] = json.dumps(body)
            headers |= {"Content-Type": "application/json"}
        return await self.world.call(method, path, headers=headers, **options)

    async def ask(self, method: str, path: str, body: Json = None, **options: Any) -> Json:
        """The JSON of an answer that is no error; None where it has no body."""
        answer = await self.call(method, path, body, **options)
        if not answer.is_success:
            raise Problem(f"{method} {path}: {answer.status_code} {answer.text}")
        assert (answer.status_code == 204) == (not answer.content)
        return answer.json() if answer.content else None

    async def get(self, path: str, **query: Any) -> Json:
        return await self.ask("GET", path, params=query)

    async def post(self, path: str, body: Json = None) -> Json:
        return await self.ask("POST", path, body)

    async def put(self, path: str, body: Json = None) -> Json:
        return await self.ask("PUT", path, body)

    async def patch(self, path: str, body: Json) -> Json:
        return await self.ask("PATCH", path, body)

    async def delete(self, path: str) -> Json:
        return await self.ask("DELETE", path)

    async def refused(self, status: int, code: str, method: str, path: str, body: Json = None, **options: Any) -> Json:
        """The problem document of a request that has to fail just so."""
        return problem(await self.call(method, path, body, **options), status, code)

    async def chat(self, **options: Any) -> Socket:
        """A chat socket, after its hello."""
        socket = await self.world.socket(name=f"{self.username}'s chat", headers=self.bearer, **options)
        socket.hello = await socket.event("hello")
        return socket

    async def notification_socket(self, **query: Any) -> Socket:
        socket = await self.world.socket(
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
        """A notification stream, after its hello; to resume, by the header as a browser does, or by the URL."""
        headers = {} if last_event_id is None else {"Last-Event-ID": str(last_event_id)}
        query = {} if last_event_id_in_url is None else {"last_event_id": str(last_event_id_in_url)}
        stream = await self.world.stream(
            f"{self.username}'s stream", query={"token": self.token, **query}, headers=headers
        )
        stream.hello = await stream.event("hello")
        return stream

    async def ticket(self) -> str:
        return str((await self.post("/auth/ticket"))["ticket"])

    async def talk(self, *others: "Person", title: str | None = None) -> str:
        """The id of a conversation with others: direct with one, a group with a title."""
        body: Json = {"participant_ids": [other.id for other in others]}
        if title:
            body["title"] = title
        return str((await self.post("/conversations", body))["id"])

    async def say(self, conversation: str, content: str = "", **more: Any) -> Json:
        return await self.post(f"/conversations/{conversation}/messages", {"content": content or words(), **more})

    async def publish(self) -> str:
        """The id of a new post."""
        return str((await self.post("/posts", {"content": words("a post")}))["id"])

    async def comment(self, post: str, **more: Any) -> Json:
        return await self.post(f"/posts/{post}/comments", {"content": words("a comment"), **more})

    async def pages(self, path: str, cursor: str, **query: Any) -> AsyncIterator[Json]:
        """Every item of a list, page by page, as `next` leads on."""
        seen: set[Any] = set()
        while True:
            page = await self.get(path, **query)
            assert set(page) == {"items", "next"}
            assert page["items"] or page["next"] is None
            for item in page["items"]:
                yield item
            if page["next"] is None:
                return
            assert page["next"] not in seen, "the pages go in circles"
            seen.add(page["next"])
            query[cursor] = page["next"]


def problem(answer: httpx.Response, status: int, code: str) -> Json:
    """The body of an answer that is this error: RFC 9457, and nothing but what the contract names."""
    assert (answer.status_code, answer.headers.get("content-type")) == (status, PROBLEM), answer.text
    body = answer.json()
    assert set(body) - {"errors"} == {"title", "status", "code", "detail"}
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
