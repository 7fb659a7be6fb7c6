"""The environment of one run: datastores, servers, users, clients, and the ledger."""

import asyncio
import math
import os
import random
import resource
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from service.datastores.redis import TAG, connect
from tests.conftest import SECRET
from tests.faults import delivery_checks, leaks
from tests.faults.api_client import ApiClient
from tests.faults.chat_client import ChatClient
from tests.faults.client import Client
from tests.faults.datastores import Datastores, datastores
from tests.faults.ledger import Ledger
from tests.faults.stream_client import StreamClient
from tests.faults.users import User, create_users
from tests.running import ROOT, Server, spawn

Kind = TypeVar("Kind")

HOOK = Path(__file__).parent / "hook"
CONCURRENT_CONNECTS = 100
"""Number of clients that connect at the same time when the run is not about a reconnect storm."""
STOP_TIMEOUT = 40.0
LEASES = [f"{TAG}:{work}:lease" for work in ("search", "push", "deletions")]
"""The leases under which one worker does something for all of them."""
LEASE_TIMEOUT = 30.0


class FaultEnvironment:
    """An async context manager that stops everything that it started.

    `random` is seeded and must be the source of all random choices of a run; only the machine's timing varies. `api` is
    where clients connect to.
    """

    def __init__(self, directory: Path, seed: int) -> None:
        self.directory = directory
        self.random = random.Random(seed)
        self.ledger = Ledger()
        self.servers: list[Server] = []
        self.clients: list[Client] = []
        self._counts_directory = directory / "census"
        self._before: leaks.ResourceUsage | None = None
        self._redis_url = ""
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> "FaultEnvironment":
        allow_many_descriptors()
        self._counts_directory.mkdir()
        self.api = ApiClient(self.ledger, self.random)
        self.datastores: Datastores = await self._stack.enter_async_context(datastores(self.directory / "datastores"))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self.stop_clients(self.clients)
            await self.api.close()
        finally:
            for server in self.servers:
                await _stop_server(server)
            await self._stack.aclose()

    async def enter(self, manager: AbstractAsyncContextManager[Kind]) -> Kind:
        """Keep a context manager open until the servers have ended, such as a proxy to a datastore."""
        return await self._stack.enter_async_context(manager)

    # Servers

    async def start_server(self, **environment: str) -> Server:
        """Start a server on a free port (or `PORT`), and wait until it is ready. New connections go to it."""
        server = self.spawn_server(**environment)
        await asyncio.to_thread(server.wait_until_ready)
        self.api.url = server.url
        return server

    def spawn_server(self, **environment: str) -> Server:
        """Like `start_server`, without waiting."""
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
            "FAULTS_COUNTS_DIR": str(self._counts_directory),
            **environment,
        }
        self._redis_url = variables["REDIS_URL"]
        # In this thread: a child ends with the thread that started it, and this thread stays alive.
        server = spawn([], variables, self.directory / f"server-{len(self.servers)}.log")
        self.servers.append(server)
        return server

    async def restart_server(self, server: Server, **environment: str) -> Server:
        """Start a server on the port of `server`, which must have ended."""
        return await self.start_server(PORT=server.url.rpartition(":")[2], **environment)

    def logs(self) -> str:
        """Return the end of each server's log."""
        return "\n".join(f"{server.output.name}:\n{server.text[-4000:]}" for server in self.servers)

    # Users and their data

    async def create_users(self, count: int) -> list[User]:
        return await create_users(self.datastores.mongodb_uri, SECRET, count)

    async def create_group(self, users: Sequence[User]) -> str:
        """Create a conversation of all `users` and return its id."""
        first, *others = users
        body = {"participant_ids": [other.id for other in others], "title": "Faults"}
        return str((await self.api.call("POST", "/conversations", first, json=body))["id"])

    async def create_post(self, author: User) -> str:
        """Create a post and return its id."""
        return str((await self.api.call("POST", "/posts", author, json={"content": "What do you say?"}))["id"])

    # Clients

    async def connect_sockets(self, users: Sequence[User], receive_buffer: int = 0) -> list[ChatClient]:
        """Connect a chat client for each user."""
        made = [ChatClient(user, self.api, self.random, receive_buffer) for user in users]
        await self.start_clients(made)
        return made

    async def connect_streams(self, users: Sequence[User]) -> list[StreamClient]:
        """Connect a notification stream client for each user."""
        made = [StreamClient(user, self.api, self.random) for user in users]
        await self.start_clients(made)
        return made

    async def start_clients(self, clients: Sequence[Client]) -> None:
        self.clients += clients
        for first in range(0, len(clients), CONCURRENT_CONNECTS):
            await asyncio.gather(*(client.start() for client in clients[first : first + CONCURRENT_CONNECTS]))

    async def stop_clients(self, clients: Sequence[Client]) -> None:
        for first in range(0, len(clients), CONCURRENT_CONNECTS):
            await asyncio.gather(*(client.stop() for client in clients[first : first + CONCURRENT_CONNECTS]))

    # Checks

    async def record_baseline(self, server: Server | None = None) -> None:
        """Record what the server (by default the last one) uses now; `verify` compares with this.

        Not before its workers have taken the leases: the work of each begins some tasks, and the leases of a server
        that was killed are free after seconds only.
        """
        await self.api.close_idle_connections()
        await wait_until_renewed(self._redis_url, LEASES)
        self._before = await asyncio.to_thread(leaks.measure_usage, server or self.servers[-1], self._counts_directory)

    async def check_messages(
        self, conversation: str, clients: Sequence[ChatClient], readers: Sequence[User] = ()
    ) -> None:
        """See `delivery_checks`. `readers` read over REST; the default is the users of the first two clients."""
        asking = readers or [client.user for client in clients[:2]]
        await delivery_checks.check_messages(self.ledger, self.api, conversation, asking, clients)

    async def check_notifications(self, author: User, posts: Sequence[str], streams: Sequence[StreamClient]) -> None:
        await delivery_checks.check_notifications(self.ledger, self.api, author, posts, streams)

    async def verify(self, *, leases_taken_over: bool = False) -> None:
        """Check the ledger, disconnect all clients, and check the server for leaks and tracebacks. Call it last. For
        `leases_taken_over` see `check_for_leaks`."""
        self.ledger.check()
        await self.stop_clients(self.clients)
        self.clients.clear()
        if self._before:
            after = await leaks.check_for_leaks(
                self.servers[-1],
                self.api,
                self._before,
                self._counts_directory,
                leases_taken_over=leases_taken_over,
            )
            self.ledger.note("descriptors", f"{self._before.descriptors} before, {after.descriptors} after")
            self.ledger.note("tasks", f"{self._before.counts.tasks} before, {after.counts.tasks} after")
            self.ledger.note("memory", f"{self._before.memory >> 20} MB before, {after.memory >> 20} MB after")
        for server in self.servers:
            assert "Traceback" not in server.text, server.text[-4000:]


async def wait_until_renewed(redis_url: str, leases: Sequence[str]) -> None:
    """Wait until each of these leases has been renewed: a process that is alive holds it, and has begun the work."""
    redis = connect(redis_url)
    remaining = dict.fromkeys(leases, math.inf)
    try:
        async with asyncio.timeout(LEASE_TIMEOUT):
            while remaining:
                for lease, before in list(remaining.items()):
                    now = await redis.pttl(lease)
                    if now > before:
                        del remaining[lease]
                    elif now > 0:
                        remaining[lease] = now
                await asyncio.sleep(0.05)
    finally:
        await redis.aclose()


def allow_many_descriptors() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def _stop_server(server: Server) -> None:
    if server.process.poll() is None:
        server.process.terminate()
        try:
            await asyncio.to_thread(server.wait, STOP_TIMEOUT)
        except Exception:
            server.kill()
            raise
