"""The way from the server to MongoDB, on which writes to some collections can be made to fail."""

import asyncio
import struct

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
        self.away = False
        """Whether nothing but the driver's own hello gets an answer."""
        self.code = HANG_UP
        """The error."""
        self.refused = 0
        """How many writes have failed."""

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
            if code == OP_MSG and self._refuses(body):
                self.refused += 1
                if self.code == HANG_UP:
                    return
                back.write(self._error(request))
                await back.drain()
                continue
            self._heed(body, back)
            await self._pass(header + body, to_there, passes)

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
