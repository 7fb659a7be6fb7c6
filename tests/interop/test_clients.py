"""Clients that others wrote: they connect, send, receive, and resume after a cut, as their own documentation shows."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.common.child_process import die_with_parent
from tests.interop.conftest import need
from tests.proxy import Proxy
from tests.running import Server

pytestmark = pytest.mark.scenario

HERE = Path(__file__).parent
WAIT = 20.0
"""Seconds for one event. An event stream reconnects 3 s after a cut."""

Event = dict[str, Any]

SOCKETS = {"ws (npm)": ["node", "ws.js"], "coder/websocket (Go)": ["client"]}
STREAMS = {
    "eventsource (npm)": ["node", "eventsource.js"],
    "event-source-polyfill (npm)": ["node", "event-source-polyfill.js"],
    "fetch-event-source (npm)": ["node", "fetch-event-source.js"],
    "httpx-sse (PyPI)": [sys.executable, str(HERE / "httpx_sse_client.py")],
}


@pytest.fixture(scope="module")
def programs(node_folder: Path) -> Path:
    """A folder with everything that a client needs: the pinned npm packages, and the Go client, built."""
    need("go")
    subprocess.run(["go", "build", "-o", node_folder / "client", "."], cwd=HERE / "go", check=True)
    return node_folder


class Client:
    """A running client: what it reports, and what it is asked to send."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.events: list[Event] = []

    async def until(self, matches: Callable[[Event], bool]) -> Event:
        """The next event that matches. Fails after WAIT seconds, or if the client ends."""
        assert self._process.stdout
        async with asyncio.timeout(WAIT):
            while line := await self._process.stdout.readline():
                event = json.loads(line)
                self.events.append(event)
                if matches(event):
                    return dict(event)
        raise AssertionError(f"the client ended after {self.events}")

    async def until_type(self, type: str) -> Event:
        return await self.until(lambda event: event["type"] == type)

    def send(self, frame: Event) -> None:
        assert self._process.stdin
        self._process.stdin.write(json.dumps(frame).encode() + b"\n")


@asynccontextmanager
async def running_client(folder: Path, command: list[str], url: str) -> AsyncIterator[Client]:
    program = str(folder / command[0]) if command[0] == "client" else command[0]
    process = await asyncio.create_subprocess_exec(
        program,
        *command[1:],
        url,
        cwd=folder,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        preexec_fn=die_with_parent(),
    )
    try:
        yield Client(process)
    finally:
        process.kill()
        await process.wait()


class User:
    """A registered user, over HTTP."""

    def __init__(self, http: httpx.AsyncClient, answer: Event) -> None:
        self.id = answer["user"]["id"]
        self.token = answer["access_token"]
        self._http = http

    @classmethod
    async def register(cls, http: httpx.AsyncClient) -> "User":
        body = {"username": "u" + os.urandom(6).hex(), "password": "correct horse battery"}
        return cls(http, (await http.post("/auth/register", json=body)).raise_for_status().json())

    async def post(self, path: str, body: Event) -> Event:
        answer = await self._http.post(path, json=body, headers={"Authorization": f"Bearer {self.token}"})
        return dict(answer.raise_for_status().json())


@pytest.fixture
async def http(server: Server) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=server.url + "/api/v1") as client:
        yield client


@pytest.mark.parametrize("command", SOCKETS.values(), ids=SOCKETS.keys())
async def test_a_websocket_client_sends_and_receives(
    server: Server, http: httpx.AsyncClient, programs: Path, command: list[str]
) -> None:
    one, other = await User.register(http), await User.register(http)
    conversation = await one.post("/conversations", {"participant_ids": [other.id]})
    url = f"{server.websocket_url}/api/v1/ws/chat?token={one.token}"
    async with running_client(programs, command, url) as client:
        hello = await client.until_type("hello")
        assert one.id == hello["data"]["user_id"] if "data" in hello else hello["user_id"]
        frame = {"type": "send_message", "ref": "1", "conversation_id": conversation["id"], "content": "chào 👋"}
        client.send(frame)
        ack = await client.until_type("ack")
        assert ("1", "chào 👋") == (ack["ref"], ack["data"]["content"])
        await other.post(f"/conversations/{conversation['id']}/messages", {"content": "x" * 4000})
        received = await client.until(
            lambda event: event["type"] == "new_message" and len(event["data"]["content"]) > 9
        )
        assert "x" * 4000 == received["data"]["content"]


@pytest.mark.parametrize("command", STREAMS.values(), ids=STREAMS.keys())
async def test_an_event_stream_client_resumes_after_a_cut(
    server: Server, http: httpx.AsyncClient, programs: Path, command: list[str]
) -> None:
    """Cut before its first notification, and again after it: it misses nothing and sees nothing twice."""
    author, reader = await User.register(http), await User.register(http)
    post = await author.post("/posts", {"content": "a post"})
    async with Proxy(server.url) as proxy:
        url = f"{proxy.url}/api/v1/notifications/stream?token={author.token}"
        async with running_client(programs, command, url) as client:
            await client.until_type("hello")
            for number in (1, 2):
                proxy.cut()
                await reader.post(f"/posts/{post['id']}/comments", {"content": f"missed {number}"})
                await proxy.restore()
                missed = await client.until_type("NEW_COMMENT")
                assert (2 * number - 1, f"missed {number}") == (missed["seq"], missed["data"]["preview"])
                await reader.post(f"/posts/{post['id']}/comments", {"content": f"live {number}"})
                live = await client.until_type("NEW_COMMENT")
                assert (2 * number, f"live {number}") == (live["seq"], live["data"]["preview"])
            notifications = [event["seq"] for event in client.events if event["type"] == "NEW_COMMENT"]
            assert [1, 2, 3, 4] == notifications
