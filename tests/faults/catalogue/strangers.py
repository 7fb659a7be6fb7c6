"""Thousands of connections send nothing, or half a request head: they are closed, and signed-in users are served."""

import asyncio
import time
from collections.abc import Iterator
from itertools import cycle

from service.http.request_deadlines import DEADLINES, MAX_IDLE
from tests.faults.environment import FaultEnvironment
from tests.faults.traffic import message_traffic

QUICK: list[dict[str, int]] = []
"""None: the run waits for the time limits twice. `tests/security` opens fewer connections, once."""
ADDRESSES = [f"127.0.0.{number}" for number in range(2, 10)]
"""Source addresses: one address has about 28,000 ports for one server."""
AT_ONCE = 200
PARTIAL_HEAD = b"GET /api/v1/users/me HTTP/1.1\r\nHost: loa\r\nX-Slow: "
TOLERANCE = 15.0
"""Seconds of tolerance beyond the limits: connections are checked once a second, and closing takes time."""


class SilentConnection(asyncio.Protocol):
    """Sends `data`, nothing more, and records that it has been closed."""

    def __init__(self, data: bytes, closed: "set[SilentConnection]") -> None:
        self._data = data
        self._closed = closed
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        if self._data:
            self.transport.write(self._data)

    def connection_lost(self, error: Exception | None) -> None:
        self._closed.add(self)


async def run(env: FaultEnvironment, *, strangers: int = 10_000, clients: int = 20) -> None:
    """Open `strangers` connections of each kind while `clients` send messages."""
    await env.start_server()
    users = await env.create_users(clients)
    group = await env.create_group(users)
    sockets = await env.connect_sockets(users)
    async with message_traffic(sockets, group):
        # The process keeps the memory that so many connections need; a leak is what grows with each repetition.
        await open_and_wait(env, strangers)
        await env.record_baseline()
        await open_and_wait(env, strangers)
    await env.check_messages(group, sockets)
    await env.verify()


async def open_and_wait(env: FaultEnvironment, strangers: int) -> None:
    """Open `count` connections of each kind and wait until the server has closed those beyond the limits."""
    for kind, data, kept, limit in (
        ("silent", b"", MAX_IDLE, DEADLINES["idle"]),
        ("half a request head", PARTIAL_HEAD, 0, DEADLINES["head"]),
    ):
        began = time.monotonic()
        closed: set[SilentConnection] = set()
        connections = await open_connections(env, data, strangers, closed)
        env.ledger.note(f"{kind}: connected", f"{len(connections)} in {time.monotonic() - began:.1f} s")
        deadline = time.monotonic() + limit + TOLERANCE
        while len(connections) - len(closed) > kept:
            assert time.monotonic() < deadline, f"{kind}: {len(connections) - len(closed)} are still open"
            await asyncio.sleep(0.1)
        env.ledger.note(f"{kind}: closed", f"{len(closed)}, the last after {time.monotonic() - began:.1f} s")
        for connection in connections - closed:
            connection.transport.abort()


async def open_connections(
    env: FaultEnvironment, data: bytes, count: int, closed: set[SilentConnection]
) -> set[SilentConnection]:
    """Open `count` connections from all source addresses in turn."""
    loop = asyncio.get_running_loop()
    sources: Iterator[str] = cycle(ADDRESSES)
    connections: set[SilentConnection] = set()
    while len(connections) < count:
        batch = [
            loop.create_connection(
                lambda: SilentConnection(data, closed), *env.api.address, local_addr=(next(sources), 0)
            )
            for _ in range(min(AT_ONCE, count - len(connections)))
        ]
        connections.update(connection for _, connection in await asyncio.gather(*batch))
    return connections
