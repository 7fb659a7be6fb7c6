"""The way from the server to MongoDB, on which writes to some collections can be made to fail."""

import asyncio
import struct
from typing import Any

import bson

from tests.proxy import Proxy

HEADER = struct.Struct("<iiii")
OP_MSG = 2013
HELLO = ("hello", "ismaster")
HANG_UP = 0
"""In place of an error: what a driver meets where a server dies."""
OUT_OF_DISK_SPACE = 14031
"""Of the errors after which a driver does not try again and keeps its connections: everything else goes on."""
WRITES = ("insert", "update", "findAndModify", "delete")


class Wire(Proxy):
    """A port that leads to the MongoDB of `url`. While `fails` names it, a write to a collection fails."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.fails = ""
        """A part of the names of the collections to which nothing can be written."""
        self.loses = ""
        """A part of the names of the collections to which writes are made, while their answers never come."""
        self.away = False
        """Whether nothing but the driver's own hello gets an answer."""
        self.code = HANG_UP
        """The error."""
        self.refused = 0
        """How many writes have failed."""
        self.lost = 0
        """How many were made whose answer was lost."""
        self._losing: set[asyncio.StreamWriter] = set()

    async def _forth(
        self,
        reader: asyncio.StreamReader,
        to_there: asyncio.StreamWriter,
        back: asyncio.StreamWriter,
        passes: asyncio.Event,
    ) -> None:
        while True:
            header = await reader.readexactly(HEADER.size)
            length, request, _, code = HEADER.unpack(header)
            body = await reader.readexactly(length - HEADER.size)
            command = _command(body) if code == OP_MSG and (self.fails or self.loses or self.away) else {}
            if self._refuses(command):
                self.refused += 1
                if self.code == HANG_UP:
                    return
                back.write(self._error(request))
                await back.drain()
                continue
            if _writes_to(command, self.loses):
                self._losing.add(back)
            await self._pass(header + body, to_there, passes)

    async def _back(self, there: asyncio.StreamReader, writer: asyncio.StreamWriter, passes: asyncio.Event) -> None:
        while data := await there.read(65536):
            if writer in self._losing:
                # A driver asks one thing at a time on a connection, so this is the answer.
                self._losing.discard(writer)
                self.lost += 1
                return
            await self._pass(data, writer, passes)

    def _refuses(self, command: dict[str, Any]) -> bool:
        name = next(iter(command), "hello")
        return (self.away and name.lower() not in HELLO) or _writes_to(command, self.fails)

    def _error(self, request: int) -> bytes:
        answer = {"ok": 0.0, "code": self.code, "codeName": "Refused", "errmsg": "the test says no"}
        body = struct.pack("<iB", 0, 0) + bson.encode(answer)
        return HEADER.pack(HEADER.size + len(body), 0, request, OP_MSG) + body


def _command(body: bytes) -> dict[str, Any]:
    """The command of an OP_MSG; its documents may come in a section of their own, which is nothing to us."""
    if body[4] != 0:
        return {}
    size = struct.unpack_from("<i", body, 5)[0]
    return bson.decode(body[5 : 5 + size])


def _writes_to(command: dict[str, Any], part: str) -> bool:
    name, collection = next(iter(command.items()), ("", ""))
    return part != "" and name in WRITES and part in str(collection)
