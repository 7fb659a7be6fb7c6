"""Bytes that a client receives, with and without compression: `python -m tests.load.bandwidth`.

It starts a Loa of its own, on embedded datastores, and measures a cold start of the app, the `hello` of a user with
many conversations, a page of history, and a day of chat: ten starts, thirty pages of history and three hundred messages
that arrive. Then the memory of the worker for each idle socket.
"""

import argparse
import asyncio
import json
import random
import re
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect

from tests.load.uploads import memory_of
from tests.running import Server, running

CODINGS = {"without": ("identity", None), "with": ("gzip, br", "deflate")}
"""By name: the Accept-Encoding of requests, and what sockets offer."""
STARTS, PAGES, MESSAGES = 10, 30, 300
WORDS = Path(__file__).parent.parent.parent / "README.md"


class CountingConnection(ClientConnection):
    """Counts the bytes that it receives."""

    received = 0

    def data_received(self, data: bytes) -> None:
        self.received += len(data)
        super().data_received(data)


class Visitor:
    """A signed-in user. `coding`: one of CODINGS."""

    def __init__(self, server: Server, http: httpx.AsyncClient, coding: str) -> None:
        self._server = server
        self._http = http
        self._accept, self._compression = CODINGS[coding]

    async def bytes_of(self, *paths: str) -> int:
        """Return the length of the bodies as they are sent."""
        total = 0
        for path in paths:
            async with self._http.stream("GET", path, headers={"Accept-Encoding": self._accept}) as response:
                await response.aread()
                response.raise_for_status()
                total += response.num_bytes_downloaded
        return total

    async def open_socket(self) -> CountingConnection:
        """Open a chat socket, and wait for its hello."""
        socket = await connect(
            f"{self._server.websocket_url}/api/v1/ws/chat",
            additional_headers={"Authorization": self._http.headers["Authorization"]},
            compression=self._compression,
            create_connection=CountingConnection,
            max_size=None,
            proxy=None,
        )
        assert json.loads(await socket.recv())["type"] == "hello"
        assert isinstance(socket, CountingConnection)
        return socket


def sentence(random_words: random.Random, words: Sequence[str]) -> str:
    return " ".join(random_words.choices(words, k=random_words.randint(3, 25)))


async def sign_up(server: Server, stack: AsyncExitStack) -> tuple[str, httpx.AsyncClient]:
    """Return the id of a new user, and a client that sends the user's token."""
    http = await stack.enter_async_context(httpx.AsyncClient(base_url=server.url, timeout=60))
    body = {"username": f"visitor{time.time_ns()}", "password": "a long passphrase"}
    account = (await http.post("/api/v1/auth/register", json=body)).raise_for_status().json()
    http.headers["Authorization"] = f"Bearer {account['access_token']}"
    return account["user"]["id"], http


async def measure(server: Server, conversations: int, idle: int) -> None:
    generator, words = random.Random(1), re.findall(r"\w+", WORDS.read_text())
    async with AsyncExitStack() as stack:
        (user_id, http), (_, friend) = [await sign_up(server, stack) for _ in range(2)]
        groups = []
        for _ in range(conversations):
            body: dict[str, Any] = {"participant_ids": [user_id], "title": " ".join(generator.choices(words, k=2))}
            groups.append((await friend.post("/api/v1/conversations", json=body)).raise_for_status().json()["id"])

        async def write(group: str) -> None:
            content = {"content": sentence(generator, words)}
            (await friend.post(f"/api/v1/conversations/{group}/messages", json=content)).raise_for_status()

        for group in groups + groups[:1] * 60:
            await write(group)
        history = f"/api/v1/conversations/{groups[0]}/messages?limit=50"
        page = (await http.get("/")).text
        app = ["/", *re.findall(r'(?:src|href)="(/[^"]+\.(?:js|css))"', page)]
        table: dict[str, dict[str, float]] = {}
        for coding in CODINGS:
            visitor = Visitor(server, http, coding)
            socket = await visitor.open_socket()
            hello, opened = socket.received, memory_of(server)
            for _ in range(MESSAGES):
                await write(generator.choice(groups))
            arrived = 0
            while arrived < MESSAGES:
                arrived += json.loads(await socket.recv())["type"] == "new_message"
            row = {
                "cold start of the app": await visitor.bytes_of(*app),
                f"hello with {conversations} conversations": hello,
                "50 messages of history": await visitor.bytes_of(history),
            }
            day = STARTS * hello + PAGES * row["50 messages of history"] + socket.received - hello
            sockets = await asyncio.gather(*(visitor.open_socket() for _ in range(idle)))
            await asyncio.sleep(2)
            table[coding] = row | {
                "a day of chat": day,
                "KB of memory for an idle socket": (memory_of(server) - opened) * 1024 / max(1, idle),
            }
            await asyncio.gather(*(each.close() for each in (socket, *sockets)))
    print(f"| bytes | {' | '.join(CODINGS)} |\n|---|{'---|' * len(CODINGS)}")
    for name in table["with"]:
        print(f"| {name} | {' | '.join(f'{table[coding][name]:,.0f}' for coding in CODINGS)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--conversations", type=int, default=200)
    parser.add_argument("--idle", type=int, default=500, help="sockets of the same user that are open and idle")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        environment = {"DATA_DIR": f"{directory}/data", "RATE_LIMITS": "off", "WEB_CONCURRENCY": "1"}
        with running(environment, Path(directory) / "server.log") as server:
            asyncio.run(measure(server, options.conversations, options.idle))


if __name__ == "__main__":
    main()
