"""The way from a client to a server, on which everything can go wrong that goes wrong in a network."""

import asyncio
import socket
import struct
from types import TracebackType
from typing import Self
from urllib.parse import unquote, urlsplit

CHUNK = 65536
RST = struct.pack("ii", 1, 0)
"""As SO_LINGER: closing throws away what is unsent, and tells the peer by a reset (RFC 1122, 4.2.2.13)."""
PORTS = {"mongodb": 27017, "redis": 6379, "http": 80}

Ends = tuple[asyncio.StreamWriter, ...]


class Proxy:
    """A loopback port that leads to the server of `url`; its connections are one to one with those to the server.

    `cut` and `mend` are a server that goes and comes back; `reset` a router that restarts; `silence` a pulled cable.
    `delay`: seconds that each piece is held on its way, either way. `loses`: a request with these bytes in it comes
    through, while its connection is reset before the answer does; `lost`: how many those were. For protocols in which
    a client asks one thing at a time on a connection.
    """

    def __init__(self, url: str) -> None:
        self._parts = urlsplit(url)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._open: set[Ends] = set()
        self._passes = asyncio.Event()
        self.port = 0
        self.delay = 0.0
        self.loses = b""
        self.lost = 0
        self._losing: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        await self.mend()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def url(self) -> str:
        """The way through here: the server's URL with our address in it."""
        scheme, path, query = self._parts.scheme, self._parts.path, self._parts.query
        if scheme == "unix":
            scheme, path = "redis", ""
        if scheme == "mongodb":
            # Or the driver would ask the server for its own address, and go there without us.
            query = "directConnection=true"
        return f"{scheme}://127.0.0.1:{self.port}{path}" + (f"?{query}" if query else "")

    async def mend(self) -> None:
        """Everything passes, on new connections: those that lost something stay as they are."""
        self._passes = asyncio.Event()
        self._passes.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    def cut(self) -> None:
        """End every connection by a reset, and refuse others."""
        if self._server:
            self._server.close()
            self._server = None
        self.reset()

    def reset(self) -> None:
        """End every connection by a reset; others pass."""
        for ends in list(self._open):
            self._end(ends)

    def silence(self) -> None:
        """From now on nothing passes, and nobody is told: not on these connections, nor on those that are opened."""
        self._passes.clear()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._join(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        passes = self._passes
        try:
            await passes.wait()
            there, to_there = await self._connect()
        except OSError:
            self._end((writer,))  # the server has gone, and so have we
            return
        except BaseException:
            writer.transport.abort()
            raise
        ends = (writer, to_there)
        if self._server is None:
            self._end(ends)
            return
        self._open.add(ends)
        ways = [
            asyncio.create_task(self._back(there, writer, passes)),
            asyncio.create_task(self._forth(reader, to_there, writer, passes)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            await passes.wait()  # that one end has gone does not pass either
        finally:
            self._open.discard(ends)
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            if writer in self._losing:
                self._losing.discard(writer)
                self._end(ends)
            writer.close()
            to_there.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._parts.scheme == "unix":
            return await asyncio.open_unix_connection(unquote(self._parts.path))
        port = self._parts.port or PORTS[self._parts.scheme]
        return await asyncio.open_connection(self._parts.hostname or "127.0.0.1", port)

    async def _back(self, there: asyncio.StreamReader, writer: asyncio.StreamWriter, passes: asyncio.Event) -> None:
        """What the server says, to `writer`."""
        while data := await there.read(CHUNK):
            if writer in self._losing:
                self.lost += 1
                return
            await self._pass(data, writer, passes)

    async def _forth(
        self,
        reader: asyncio.StreamReader,
        to_there: asyncio.StreamWriter,
        back: asyncio.StreamWriter,
        passes: asyncio.Event,
    ) -> None:
        """What the client says, who is at the end of `back`."""
        while data := await reader.read(CHUNK):
            self._heed(data, back)
            await self._pass(data, to_there, passes)

    def _heed(self, request: bytes, back: asyncio.StreamWriter) -> None:
        if self.loses and self.loses in request:
            self._losing.add(back)

    async def _pass(self, data: bytes, writer: asyncio.StreamWriter, passes: asyncio.Event) -> None:
        if self.delay:
            await asyncio.sleep(self.delay)
        await passes.wait()
        writer.write(data)
        await writer.drain()

    def _end(self, ends: Ends) -> None:
        self._open.discard(ends)
        for writer in ends:
            sock = writer.get_extra_info("socket")
            if sock.family != socket.AF_UNIX:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RST)
            writer.transport.abort()
