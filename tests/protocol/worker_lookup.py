"""Finds the worker that serves a connection, by asking the kernel."""

import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from tests.protocol.socket import Socket
from tests.protocol.stream import Stream
from tests.running import Server

Connection = TypeVar("Connection", Socket, Stream)

MAX_CONNECTIONS = 60
"""Connections opened at most until each worker has one: the kernel distributes them at random."""


def worker_of(server: Server, connection: Socket | Stream) -> int:
    """Return the pid of the worker that serves `connection`."""
    return owner_of(server, urlsplit(server.url).port or 0, connection.port)


def owner_of(server: Server, local: int, remote: int) -> int:
    """Return the pid of the worker that has the connection from port `remote` to the server's port `local`."""
    inode = _inode(local, remote)
    for pid in server.workers:
        with suppress(FileNotFoundError):
            for descriptor in os.scandir(f"/proc/{pid}/fd"):
                with suppress(FileNotFoundError):
                    if os.readlink(descriptor.path) == f"socket:[{inode}]":
                        return pid
    raise AssertionError(f"no worker has the connection from port {remote}")


async def one_per_worker(
    server: Server, make: Callable[[], Awaitable[Connection]], workers: int = 2
) -> dict[int, Connection]:
    """Open connections until `workers` workers have one. Returns one of each, by pid; closes the others."""
    found: dict[int, Connection] = {}
    more: list[Connection] = []
    while len(found) < workers:
        assert len(more) < MAX_CONNECTIONS, f"{MAX_CONNECTIONS} connections more, and all of them on {list(found)}"
        connection = await make()
        pid = worker_of(server, connection)
        if pid in found:
            more.append(connection)
        found.setdefault(pid, connection)
    for connection in more:
        await connection.disconnect()
    return found


def unsent_bytes(local: int, remote: int) -> int:
    """Return the number of bytes in the send queue of the connection from port `local` to port `remote`."""
    return int(_line(local, remote)[4].partition(":")[0], 16)


def _inode(local: int, remote: int) -> str:
    return _line(local, remote)[9]


def _line(local: int, remote: int) -> list[str]:
    """Return the fields of the line in /proc/net/tcp for the connection from port `local` to port `remote`."""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if [int(end.rpartition(":")[2], 16) for end in fields[1:3]] == [local, remote]:
            return fields
    raise AssertionError(f"there is no connection from {remote} to {local}")
