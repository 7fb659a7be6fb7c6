"""MongoDB. The only file that imports motor, so that its successor will change one file."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import structlog
from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorCollection, AsyncIOMotorDatabase
from pymongo import UpdateOne, WriteConcern
from pymongo.errors import (
    BulkWriteError,
    ConnectionFailure,
    DuplicateKeyError,
    ExecutionTimeout,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
    WriteConcernError,
)
from pymongo.monitoring import CommandListener

from service.common.errors import Unavailable

log = structlog.get_logger()

Document = dict[str, Any]
Collection = AsyncIOMotorCollection[Document]
Database = AsyncIOMotorDatabase[Document]

SELECTION_TIMEOUT_MS = 2_000
"""How long a call waits for a server to be there before it says 503: shorter than a client's patience."""
SOCKET_TIMEOUT_MS = 10_000
POOL_SIZE = 50


class Mongo:
    """The client and its database. Every write is acknowledged by a majority and journalled before it counts."""

    def __init__(self, uri: str, listeners: Sequence[CommandListener] = ()) -> None:
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
            event_listeners=list(listeners),
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


MONGO_ERRORS: tuple[type[PyMongoError], ...] = (
    ConnectionFailure,
    ServerSelectionTimeoutError,
    ExecutionTimeout,
    WriteConcernError,
)
"""What motor raises where the database is away, or cannot say that a write lasts, as against where it refuses."""


CLIENT_ERROR_CODES = frozenset(
    {
        2,  # BadValue
        9,  # FailedToParse
        14,  # TypeMismatch
        40,  # ConflictingUpdateOperators
        52,  # DollarPrefixedFieldName
        59,  # CommandNotFound
        66,  # ImmutableField
        72,  # InvalidOptions
        73,  # InvalidNamespace
        85,  # IndexOptionsConflict
        86,  # IndexKeySpecsConflict
        115,  # CommandNotSupported
        121,  # DocumentValidationFailure
        10334,  # BSONObjectTooLarge
    }
)
"""Codes of refusals that no waiting cures (error_codes.yml in MongoDB's sources): the question was wrong, and whoever
wrote it has to hear of it. All others are about the server: its disk is full, it is short of memory, it is asked for
too much, it has met a fault of its own; there may be new ones with each of its releases."""


@asynccontextmanager
async def unavailable() -> AsyncIterator[None]:
    """Turn into Unavailable that the database is away, or that it cannot do just now what it is asked.

    What its caller has to understand passes as it is: a duplicate key, and what became of each document of a bulk.
    """
    try:
        yield
    except MONGO_ERRORS as error:
        raise Unavailable("The database cannot be reached.") from error
    except (DuplicateKeyError, BulkWriteError):
        raise
    except OperationFailure as error:
        if error.code in CLIENT_ERROR_CODES:
            raise
        log.warning("database_refuses", code=error.code)
        raise Unavailable("The database cannot do this just now.") from error


async def update_all(collection: Collection, updates: Sequence[UpdateOne]) -> None:
    """Make all of these updates, in no order. Raises Unavailable where some could not be made."""
    try:
        async with unavailable():
            await collection.bulk_write(updates, ordered=False)
    except BulkWriteError as error:
        log.warning("database_refuses", codes=sorted({each["code"] for each in error.details["writeErrors"]}))
        raise Unavailable("The database cannot do this just now.") from error
