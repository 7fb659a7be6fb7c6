"""The stage of one run: datastores, servers, people, clients, and the account of what happens to them."""

import asyncio
import os
import random
import resource
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from tests.conftest import SECRET
from tests.faults import audit, leaks
from tests.faults.account import Account
from tests.faults.chat import ChatClient
from tests.faults.client import Client
from tests.faults.datastores import Datastores, datastores
from tests.faults.front import Front
from tests.faults.people import Person, add
from tests.faults.stream import StreamClient
from tests.running import ROOT, Server, spawn

Kind = TypeVar("Kind")

HOOK = Path(__file__).parent / "hook"
AT_ONCE = 100
"""Clients that come online at once where nothing is to be learnt from a storm."""
STOP_LIMIT = 40.0


class Stage:
    """An async context manager: whatever was started on it has ended afterwards.

    `random` is seeded: all that is left to chance in a run is asked of it, and what the machine does to the order of
    things remains. `front` is where clients connect to.
    """

    def __init__(self, directory: Path, seed: int) -> None:
        self.directory = directory
        self.random = random.Random(seed)
        self.account = Account()
        self.servers: list[Server] = []
        self.clients: list[Client] = []
        self._census = directory / "census"
        self._before: leaks.Holding | None = None
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> "Stage":
        allow_many_descriptors()
        self._census.mkdir()
        self.front = Front(self.account, self.random)
        self.datastores: Datastores = await self._stack.enter_async_context(datastores(self.directory / "datastores"))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self.leave(self.clients)
            await self.front.close()
        finally:
            for server in self.servers:
                await _end(server)
            await self._stack.aclose()

    async def enter(self, manager: AbstractAsyncContextManager[Kind]) -> Kind:
        """Hold it until the servers have ended, such as a proxy through which they reach a datastore."""
        return await self._stack.enter_async_context(manager)

    # Servers.

    async def serve(self, **environment: str) -> Server:
        """A server that is ready, on a port of its own unless `PORT` names one; the front leads to it from now on."""
        server = self.spawn(**environment)
        await asyncio.to_thread(server.wait_until_ready)
        self.front.url = server.url
        return server

    def spawn(self, **environment: str) -> Server:
        """As `serve`, but nobody waits for it."""
        variables = {
            "HOST": "127.0.0.1",
            "PORT": "0",
            "MONGODB_URI": self.datastores.mongodb_uri,
            "REDIS_URL": self.datastores.redis_url,
            "JWT_SECRET": SECRET,
            "DATA_DIR": str(self.directory / "data"),
            "RATE_LIMITS": "off",
            "LOG_LEVEL": "WARNING",
            "PYTHONPATH": f"{HOOK}{os.pathsep}{ROOT}",
            "FAULTS_CENSUS": str(self._census),
            **environment,
        }
        # Here, for a child dies with the thread that has started it, and this one stays.
        server = spawn([], variables, self.directory / f"server-{len(self.servers)}.log")
        self.servers.append(server)
        return server

    async def restart(self, server: Server, **environment: str) -> Server:
        """Another on the port of `server`, which has ended."""
        return await self.serve(PORT=server.url.rpartition(":")[2], **environment)

    def logs(self) -> str:
        """The end of what each server has said."""
        return "\n".join(f"{server.output.name}:\n{server.text[-4000:]}" for server in self.servers)

    # People and what they have.

    async def people(self, count: int) -> list[Person]:
        return await add(self.datastores.mongodb_uri, SECRET, count)

    async def group(self, people: Sequence[Person]) -> str:
        """The id of a conversation of all of them."""
        first, *others = people
        body = {"participant_ids": [other.id for other in others], "title": "Faults"}
        return str((await self.front.call("POST", "/conversations", first, json=body))["id"])

    async def post(self, author: Person) -> str:
        """The id of a post."""
        return str((await self.front.call("POST", "/posts", author, json={"content": "What do you say?"}))["id"])

    # Clients.

    async def sockets(self, people: Sequence[Person], receive_buffer: int = 0) -> list[ChatClient]:
        """A chat client for each, online."""
        made = [ChatClient(person, self.front, self.random, receive_buffer) for person in people]
        await self.start(made)
        return made

    async def streams(self, people: Sequence[Person]) -> list[StreamClient]:
        """A client of the notification stream for each, online."""
        made = [StreamClient(person, self.front, self.random) for person in people]
        await self.start(made)
        return made

    async def start(self, clients: Sequence[Client]) -> None:
        self.clients += clients
        for first in range(0, len(clients), AT_ONCE):
            await asyncio.gather(*(client.start() for client in clients[first : first + AT_ONCE]))

    async def leave(self, clients: Sequence[Client]) -> None:
        for first in range(0, len(clients), AT_ONCE):
            await asyncio.gather(*(client.leave() for client in clients[first : first + AT_ONCE]))

    # The end.

    async def watch_leaks(self, server: Server | None = None) -> None:
        """Remember what the server (the last one by default) holds now: `verify` asks for no more than that."""
        await self.front.hang_up()
        self._before = await asyncio.to_thread(leaks.holding, server or self.servers[-1], self._census)

    async def audit_messages(
        self, conversation: str, clients: Sequence[ChatClient], readers: Sequence[Person] = ()
    ) -> None:
        """See `audit`. `readers`: who reads it over REST; by default the first two of the clients' people."""
        asking = readers or [client.person for client in clients[:2]]
        await audit.audit_messages(self.account, self.front, conversation, asking, clients)

    async def audit_notifications(self, author: Person, posts: Sequence[str], streams: Sequence[StreamClient]) -> None:
        await audit.audit_notifications(self.account, self.front, author, posts, streams)

    async def verify(self) -> None:
        """After the audits: the account is in order, and once all clients have left, so is the server."""
        self.account.check()
        await self.leave(self.clients)
        self.clients.clear()
        if self._before:
            after = await leaks.check(self.servers[-1], self.front, self._before, self._census)
            self.account.note("descriptors", f"{self._before.descriptors} before, {after.descriptors} after")
            self.account.note("tasks", f"{self._before.census.tasks} before, {after.census.tasks} after")
            self.account.note("memory", f"{self._before.memory >> 20} MB before, {after.memory >> 20} MB after")
        for server in self.servers:
            assert "Traceback" not in server.text, server.text[-4000:]


def allow_many_descriptors() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def _end(server: Server) -> None:
    if server.process.poll() is None:
        server.process.terminate()
        try:
            await asyncio.to_thread(server.wait, STOP_LIMIT)
        except Exception:
            server.kill()
            raise
