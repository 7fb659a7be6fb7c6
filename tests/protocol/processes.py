"""Which worker has the other end of a connection: asked of the kernel, so that nobody has to be believed."""

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

MOST = 60
"""Connections to open at most until they are spread: each worker takes its share, but none has to be the next."""


def worker_of(server: Server, connection: Socket | Stream) -> int:
    """The pid of the worker that serves `connection`."""
    return owner_of(server, urlsplit(server.url).port or 0, connection.port)


def owner_of(server: Server, local: int, remote: int) -> int:
    """The pid of the worker that has the connection from the port `remote` to its own `local`."""
    inode = _inode(local, remote)
    for pid in server.workers:
        with suppress(FileNotFoundError):
            for descriptor in os.scandir(f"/proc/{pid}/fd"):
                with suppress(FileNotFoundError):
                    if os.readlink(descriptor.path) == f"socket:[{inode}]":
                        return pid
    raise AssertionError(f"no worker has the connection from port {remote}")


async def spread(server: Server, make: Callable[[], Awaitable[Connection]], workers: int = 2) -> dict[int, Connection]:
    """Open connections until so many workers have one: one of each, by the worker's pid. The others are closed."""
    found: dict[int, Connection] = {}
    more: list[Connection] = []
    while len(found) < workers:
        assert len(more) < MOST, f"{MOST} connections more, and all of them on {list(found)}"
        connection = await make()
        pid = worker_of(server, connection)
        if pid in found:
            more.append(connection)
        found.setdefault(pid, connection)
    for connection in more:
        await connection.leave()
    return found


def unsent(local: int, remote: int) -> int:
    """Bytes that the kernel has taken from `local` and that `remote` has not taken from it."""
    return int(_line(local, remote)[4].partition(":")[0], 16)


def _inode(local: int, remote: int) -> str:
    return _line(local, remote)[9]


def _line(local: int, remote: int) -> list[str]:
    """What the kernel says of the TCP connection between these two ports of this machine, seen from `local`."""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if [int(end.rpartition(":")[2], 16) for end in fields[1:3]] == [local, remote]:
            return fields
    raise AssertionError(f"there is no connection from {remote} to {local}")
