"""The cable between a process and its database, to be pulled."""

import asyncio
from types import TracebackType
from urllib.parse import urlsplit


class Cable:
    """A port of its own that leads to the server of `uri`: `cut` it, `mend` it."""

    def __init__(self, uri: str) -> None:
        parts = urlsplit(uri)
        self._there = (parts.hostname or "127.0.0.1", parts.port or 27017)
        self._server: asyncio.Server | None = None
        self._joined: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0

    def uri(self, database: str) -> str:
        # Or the driver would ask the server for its own address, and go there without us.
        return f"mongodb://127.0.0.1:{self.port}/{database}?directConnection=true"

    async def __aenter__(self) -> "Cable":
        await self.mend()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cut()

    async def mend(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def cut(self) -> None:
        """End every connection, and accept no other."""
        if self._server:
            self._server.close()
        for writer in self._writers:
            writer.transport.abort()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._join(reader, writer))
        self._joined.add(task)
        task.add_done_callback(self._joined.discard)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        there_reader, there_writer = await asyncio.open_connection(*self._there)
        self._writers.add(there_writer)
        await asyncio.gather(_copy(reader, there_writer), _copy(there_reader, writer))
        self._writers -= {writer, there_writer}


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()
