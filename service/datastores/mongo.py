"""The MongoDB client. The only file that imports motor: replacing the driver will change one file."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import structlog
from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorCollection, AsyncIOMotorDatabase
from pymongo import ReadPreference, UpdateOne, WriteConcern
from pymongo.errors import (
    BulkWriteError,
    ConnectionFailure,
    DuplicateKeyError,
    ExecutionTimeout,
    InvalidURI,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
    WriteConcernError,
)
from pymongo.monitoring import CommandListener
from pymongo.read_concern import ReadConcern

from service.common.errors import Unavailable

log = structlog.get_logger()

Document = dict[str, Any]
Collection = AsyncIOMotorCollection[Document]
Database = AsyncIOMotorDatabase[Document]

SELECTION_TIMEOUT_MS = 2_000
"""How long a call waits for a server before it fails with Unavailable (503): less than clients wait."""
SOCKET_TIMEOUT_MS = 10_000
POOL_SIZE = 50


class Mongo:
    """The client and its database. A write succeeds once a majority has acknowledged it and it is in the journal.

    Reads go to the primary, for secondaries lag. Options of the URI that would change any of this have no effect.
    """

    def __init__(self, uri: str, listeners: Sequence[CommandListener] = ()) -> None:
        """Raises ConfigurationError or its subclass InvalidURI, whose text may quote a part of the password."""
        try:
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
        except ValueError as error:
            raise InvalidURI("a port is not a number") from error
        name = urlsplit(uri).path.lstrip("/") or "loa"
        self.database: Database = self._client.get_database(
            name,
            read_preference=ReadPreference.PRIMARY,
            # What has to survive a failover is read with `committed_reads`.
            read_concern=ReadConcern("local"),
            write_concern=WriteConcern(w="majority", j=True, wtimeout=SOCKET_TIMEOUT_MS),
        )

    async def ping(self) -> None:
        """Return if the database answers. Raises Unavailable otherwise."""
        async with unavailable():
            await self.database.command("ping")

    def close(self) -> None:
        self._client.close()


def committed_reads(collection: Collection) -> Collection:
    """Return `collection` with read concern `majority`: reads see only what a fail-over cannot roll back.

    A process's own acknowledged writes are visible, for they wait for a majority, too.
    """
    return collection.with_options(read_concern=ReadConcern("majority"))


MONGO_ERRORS: tuple[type[PyMongoError], ...] = (
    ConnectionFailure,
    ServerSelectionTimeoutError,
    ExecutionTimeout,
    WriteConcernError,
)
"""What motor raises if the database cannot be reached or cannot confirm that a write is durable, as opposed to errors
with which it refuses a request."""


DUPLICATE_KEY = 11000
"""The code of a write error."""
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
"""Error codes that no retry cures (error_codes.yml in MongoDB's sources): the request itself was wrong, and its author
must see the error. All other codes are about the server (disk full, out of memory, overloaded, an internal error), and
each release may add new ones."""


@asynccontextmanager
async def unavailable() -> AsyncIterator[None]:
    """Raise Unavailable in place of driver errors that a later retry may cure.

    Errors that the caller must interpret pass unchanged: DuplicateKeyError, BulkWriteError (which says what became of
    each document), and those with one of CLIENT_ERROR_CODES.
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
        log.warning("database_refused", code=error.code)
        raise Unavailable("The database cannot do this just now.") from error


def only_duplicates(error: BulkWriteError) -> bool:
    """Return whether documents were refused only because their keys are stored already, and the rest is confirmed."""
    details = error.details
    return not details["writeConcernErrors"] and all(each["code"] == DUPLICATE_KEY for each in details["writeErrors"])


async def insert_missing(collection: Collection, documents: Sequence[Document]) -> None:
    """Store those of the documents whose `_id` is not stored yet, in any order.

    Raises Unavailable, or the driver's error for a document that the database refuses.
    """
    try:
        async with unavailable():
            await collection.insert_many(documents, ordered=False)
    except BulkWriteError as error:
        if not only_duplicates(error):
            raise


async def update_all(collection: Collection, updates: Sequence[UpdateOne]) -> None:
    """Make all of these updates, in any order. Raises Unavailable if some of them failed; the others are made."""
    try:
        async with unavailable():
            await collection.bulk_write(updates, ordered=False)
    except BulkWriteError as error:
        log.warning("database_refused", codes=sorted({each["code"] for each in error.details["writeErrors"]}))
        raise Unavailable("The database cannot do this just now.") from error
