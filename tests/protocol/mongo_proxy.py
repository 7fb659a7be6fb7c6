"""A proxy in front of MongoDB that can make commands fail."""

import asyncio
import struct

import bson

from tests.proxy import Proxy

HEADER = struct.Struct("<iiii")
OP_MSG = 2013
HELLO = ("hello", "ismaster")
CLOSE_CONNECTION = 0
"""Instead of an error code: close the connection, as a killed server does."""
OUT_OF_DISK_SPACE = 14031
"""One of the errors after which the driver neither retries nor closes its connections: other commands still work."""
WRITES = ("insert", "update", "findAndModify", "delete")


class MongoProxy(Proxy):
    """A port that forwards to the MongoDB of `url`, and can reject commands."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.fail_writes_to = ""
        """Writes fail to collections whose name contains this; empty: none."""
        self.unresponsive = False
        """Whether every command fails but the driver's own hello."""
        self.code = CLOSE_CONNECTION
        """The error code of failing commands."""
        self.message = "rejected by the test"
        self.unsupported = ""
        """Commands fail that contain this name of an option; empty: none."""
        self.failed = 0
        """The number of commands that have failed."""

    async def _forward_requests(
        self,
        reader: asyncio.StreamReader,
        upstream: asyncio.StreamWriter,
        back: asyncio.StreamWriter,
        flowing: asyncio.Event,
    ) -> None:
        while True:
            header = await reader.readexactly(HEADER.size)
            length, request, _, code = HEADER.unpack(header)
            body = await reader.readexactly(length - HEADER.size)
            if code == OP_MSG and self._rejects(body):
                self.failed += 1
                if self.code == CLOSE_CONNECTION:
                    return
                back.write(self._error(request))
                await back.drain()
                continue
            self._inspect(body, back)
            await self._send(header + body, upstream, flowing)

    def _rejects(self, body: bytes) -> bool:
        if not (self.fail_writes_to or self.unresponsive or self.unsupported) or body[4] != 0:
            return False
        if self.unsupported and self.unsupported.encode() in body:
            return True
        size = struct.unpack_from("<i", body, 5)[0]
        command = bson.decode(body[5 : 5 + size])
        name, collection = next(iter(command.items()))
        return (self.unresponsive and name.lower() not in HELLO) or (
            self.fail_writes_to != "" and name in WRITES and self.fail_writes_to in str(collection)
        )

    def _error(self, request: int) -> bytes:
        answer = {"ok": 0.0, "code": self.code, "codeName": "Rejected", "errmsg": self.message}
        body = struct.pack("<iB", 0, 0) + bson.encode(answer)
        return HEADER.pack(HEADER.size + len(body), 0, request, OP_MSG) + body
