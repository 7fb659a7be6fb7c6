"""MongoDB. The only file that imports motor, so that its successor will change one file."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorCollection, AsyncIOMotorDatabase
from pymongo import WriteConcern
from pymongo.errors import (
    ConnectionFailure,
    ExecutionTimeout,
    PyMongoError,
    ServerSelectionTimeoutError,
    WriteConcernError,
)

from service.errors import Unavailable

Document = dict[str, Any]
Collection = AsyncIOMotorCollection[Document]
Database = AsyncIOMotorDatabase[Document]

SELECTION_TIMEOUT_MS = 2_000
"""How long a call waits for a server to be there before it says 503: shorter than a client's patience."""
SOCKET_TIMEOUT_MS = 10_000
POOL_SIZE = 50


class Mongo:
    """The client and its database. Every write is acknowledged by a majority and journalled before it counts."""

    def __init__(self, uri: str) -> None:
        self._client: Any = AsyncIOMotorClient(
            uri,
            tz_aware=True,
            appname="loa",
            serverSelectionTimeoutMS=SELECTION_TIMEOUT_MS,
            connectTimeoutMS=SELECTION_TIMEOUT_MS,
            socketTimeoutMS=SOCKET_TIMEOUT_MS,
            maxPoolSize=POOL_SIZE,
            waitQueueTimeoutMS=SELECTION_TIMEOUT_MS,
            retryWrites=True,
        )
        name = urlsplit(uri).path.lstrip("/") or "loa"
        self.database: Database = self._client.get_database(
            name, write_concern=WriteConcern(w="majority", j=True, wtimeout=SOCKET_TIMEOUT_MS)
        )

    async def ping(self) -> None:
        """Raises Unavailable where the database does not answer."""
        async with unavailable():
            await self.database.command("ping")

    def close(self) -> None:
        self._client.close()


OUTAGES: tuple[type[PyMongoError], ...] = (
    ConnectionFailure,
    ServerSelectionTimeoutError,
    ExecutionTimeout,
    WriteConcernError,
)
"""What motor raises where the database is away, or cannot say that a write lasts, as against where it refuses."""


@asynccontextmanager
async def unavailable() -> AsyncIterator[None]:
    """Turn the database's absence into Unavailable; its refusals (a duplicate key) pass as they are."""
    try:
        yield
    except OUTAGES as error:
        raise Unavailable("The database cannot be reached.") from error
