"""A TCP proxy between a client and a server that can fail in every way in which a network fails."""

import asyncio
import socket
import struct
from types import TracebackType
from typing import Self
from urllib.parse import unquote, urlsplit

CHUNK = 65536
RST = struct.pack("ii", 1, 0)
"""The value of SO_LINGER with which close() discards unsent data and sends a reset (RFC 1122, 4.2.2.13)."""
PORTS = {"mongodb": 27017, "redis": 6379, "http": 80}

Ends = tuple[asyncio.StreamWriter, ...]


class Proxy:
    """A loopback port that forwards to the server of `url`. Each client connection has one of its own to the server.

    `cut` and `restore` imitate a server that stops and comes back, `reset` a router that restarts, `blackhole` a pulled
    cable. `delay`: seconds by which each chunk is delayed, in both directions. `drop_reply_to`: a request that contains
    these bytes reaches the server, but its connection is reset before the reply; `dropped_replies` counts them. For
    protocols in which a client waits for the reply before it sends the next request on a connection.
    """

    def __init__(self, url: str) -> None:
        self._parts = urlsplit(url)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._connections: set[Ends] = set()
        self._flowing = asyncio.Event()
        self.port = 0
        self.delay = 0.0
        self.drop_reply_to = b""
        self.dropped_replies = 0
        self._dropping: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        await self.restore()
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
        """The server's URL with the address of this proxy in it."""
        scheme, path, query = self._parts.scheme, self._parts.path, self._parts.query
        if scheme == "unix":
            scheme, path = "redis", ""
        if scheme == "mongodb":
            # Otherwise the driver would ask the server for its address, and bypass the proxy.
            query = "directConnection=true"
        return f"{scheme}://127.0.0.1:{self.port}{path}" + (f"?{query}" if query else "")

    async def restore(self) -> None:
        """Forward again, on new connections; those that have lost data are not restored."""
        self._flowing = asyncio.Event()
        self._flowing.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    def cut(self) -> None:
        """Reset every connection, and refuse new ones."""
        if self._server:
            self._server.close()
            self._server = None
        self.reset()

    def reset(self) -> None:
        """Reset every connection; new ones are accepted."""
        for ends in list(self._connections):
            self._end(ends)

    def blackhole(self) -> None:
        """Forward nothing from now on, without closing anything, on present and on new connections."""
        self._flowing.clear()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._connect_both(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect_both(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        flowing = self._flowing
        try:
            await flowing.wait()
            replies, upstream = await self._connect()
        except OSError:
            self._end((writer,))  # the server is away, and so is this proxy
            return
        except BaseException:
            writer.transport.abort()
            raise
        ends = (writer, upstream)
        if self._server is None:
            self._end(ends)
            return
        self._connections.add(ends)
        ways = [
            asyncio.create_task(self._forward_replies(replies, writer, flowing)),
            asyncio.create_task(self._forward_requests(reader, upstream, writer, flowing)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            await flowing.wait()  # the end of one side is not forwarded either
        finally:
            self._connections.discard(ends)
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            if writer in self._dropping:
                self._dropping.discard(writer)
                self._end(ends)
            writer.close()
            upstream.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._parts.scheme == "unix":
            return await asyncio.open_unix_connection(unquote(self._parts.path))
        if self._parts.netloc.startswith("%2F"):
            return await asyncio.open_unix_connection(unquote(self._parts.netloc))
        port = self._parts.port or PORTS[self._parts.scheme]
        return await asyncio.open_connection(self._parts.hostname or "127.0.0.1", port)

    async def _forward_replies(
        self, replies: asyncio.StreamReader, writer: asyncio.StreamWriter, flowing: asyncio.Event
    ) -> None:
        """Forward the server's replies to `writer`."""
        while data := await replies.read(CHUNK):
            if writer in self._dropping:
                self.dropped_replies += 1
                return
            await self._send(data, writer, flowing)

    async def _forward_requests(
        self,
        reader: asyncio.StreamReader,
        upstream: asyncio.StreamWriter,
        back: asyncio.StreamWriter,
        flowing: asyncio.Event,
    ) -> None:
        """Forward the requests of the client to which `back` leads."""
        while data := await reader.read(CHUNK):
            self._inspect(data, back)
            await self._send(data, upstream, flowing)

    def _inspect(self, request: bytes, back: asyncio.StreamWriter) -> None:
        if self.drop_reply_to and self.drop_reply_to in request:
            self._dropping.add(back)

    async def _send(self, data: bytes, writer: asyncio.StreamWriter, flowing: asyncio.Event) -> None:
        if self.delay:
            await asyncio.sleep(self.delay)
        await flowing.wait()
        writer.write(data)
        await writer.drain()

    def _end(self, ends: Ends) -> None:
        self._connections.discard(ends)
        for writer in ends:
            sock = writer.get_extra_info("socket")
            # If the peer has closed the connection, there is none to reset.
            if sock.fileno() != -1 and sock.family != socket.AF_UNIX:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RST)
            writer.transport.abort()
