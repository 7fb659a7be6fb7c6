"""The way from the server to MongoDB, on which writes to some collections can be made to fail."""

import asyncio
import struct
from types import TracebackType
from urllib.parse import urlsplit

import bson

HEADER = struct.Struct("<iiii")
OP_MSG = 2013
HELLO = ("hello", "ismaster")
HANG_UP = 0
"""In place of an error: what a driver meets where a server dies."""
OUT_OF_DISK_SPACE = 14031
"""Of the errors after which a driver does not try again and keeps its connections: everything else goes on."""
WRITES = ("insert", "update", "findAndModify", "delete")


class Wire:
    """A port that leads to the MongoDB of `uri`. While `fails` names it, a write to a collection fails."""

    def __init__(self, uri: str) -> None:
        parts = urlsplit(uri)
        self._there = (parts.hostname or "127.0.0.1", parts.port or 27017)
        self._database = parts.path
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.fails = ""
        """A part of the names of the collections to which nothing can be written."""
        self.away = False
        """Whether nothing but the driver's own hello gets an answer."""
        self.code = HANG_UP
        """The error."""
        self.refused = 0
        """How many writes have failed."""

    async def __aenter__(self) -> "Wire":
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def uri(self) -> str:
        assert self._server
        port = self._server.sockets[0].getsockname()[1]
        # Or the driver would ask the server for its own address, and go there without us.
        return f"mongodb://127.0.0.1:{port}{self._database}?directConnection=true"

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._join(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, to_there = await asyncio.open_connection(*self._there)
        ways = [
            asyncio.create_task(self._copy(there, writer)),
            asyncio.create_task(self._watch(reader, to_there, writer)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            writer.close()
            to_there.close()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()

    async def _watch(
        self, reader: asyncio.StreamReader, there: asyncio.StreamWriter, back: asyncio.StreamWriter
    ) -> None:
        while True:
            header = await reader.readexactly(HEADER.size)
            length, request, _, code = HEADER.unpack(header)
            body = await reader.readexactly(length - HEADER.size)
            if code == OP_MSG and self._refuses(body):
                self.refused += 1
                if self.code == HANG_UP:
                    return
                back.write(self._error(request))
                await back.drain()
            else:
                there.write(header + body)
                await there.drain()

    def _refuses(self, body: bytes) -> bool:
        if not (self.fails or self.away) or body[4] != 0:
            return False
        size = struct.unpack_from("<i", body, 5)[0]
        command = bson.decode(body[5 : 5 + size])
        name, collection = next(iter(command.items()))
        return (self.away and name.lower() not in HELLO) or (
            self.fails != "" and name in WRITES and self.fails in str(collection)
        )

    def _error(self, request: int) -> bytes:
        answer = {"ok": 0.0, "code": self.code, "codeName": "Refused", "errmsg": "the test says no"}
        body = struct.pack("<iB", 0, 0) + bson.encode(answer)
        return HEADER.pack(HEADER.size + len(body), 0, request, OP_MSG) + body
