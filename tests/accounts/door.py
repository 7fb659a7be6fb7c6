"""A door in front of Redis: what goes through it can be cut off, and let through again."""

import asyncio
import contextlib
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff


class Door:
    """A TCP relay to where `redis` is. `client` goes through it, and tries nothing twice."""

    def __init__(self, redis: Redis) -> None:
        self._target: dict[str, Any] = redis.connection_pool.connection_kwargs
        self._server: asyncio.Server | None = None
        self._port = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self.client: Redis

    async def __aenter__(self) -> "Door":
        await self.open()
        self.client = Redis(
            host="127.0.0.1",
            port=self._port,
            db=self._target.get("db", 0),
            username=self._target.get("username"),
            password=self._target.get("password"),
            retry=Retry(NoBackoff(), 0),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.aclose()
        await self.cut()

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        """Nobody gets through, and those who were through are cut off."""
        if self._server:
            self._server.close()
            self._server = None
        for writer in self._writers:
            writer.transport.abort()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if path := self._target.get("path"):
            inner_reader, inner_writer = await asyncio.open_unix_connection(path)
        else:
            inner_reader, inner_writer = await asyncio.open_connection(self._target["host"], self._target["port"])
        writers = {writer, inner_writer}
        self._writers |= writers
        try:
            await asyncio.wait(
                [
                    asyncio.create_task(_copy(reader, inner_writer)),
                    asyncio.create_task(_copy(inner_reader, writer)),
                ]
            )
        finally:
            self._writers -= writers


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()
