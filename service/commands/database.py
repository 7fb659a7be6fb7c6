"""The database that a command works on: that of MONGODB_URI, or of the Loa that runs in DATA_DIR."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pymongo.errors import ConfigurationError, PyMongoError

from config.settings import Settings
from service.common.errors import Unavailable
from service.datastores.data_directory import DataDirectory
from service.datastores.failure_reason import failure_reason
from service.datastores.mongo import Database, Mongo


class CannotUseDatabase(Exception):
    """The database cannot be used, or does not have what a command is for. The message is one line."""


@asynccontextmanager
async def open_database(settings: Settings) -> AsyncIterator[Database]:
    """Yield the database. Raises CannotUseDatabase, also if it fails inside the block."""
    uri = settings.mongodb_uri or DataDirectory(settings.data_dir).read("mongodb.uri")
    if not uri:
        raise CannotUseDatabase(f"DATA_DIR: no Loa is running in {settings.data_dir}, and MONGODB_URI is not set")
    variable = "MONGODB_URI" if settings.mongodb_uri else "DATA_DIR"
    try:
        mongo = Mongo(uri)
    except ConfigurationError as error:
        raise CannotUseDatabase(f"{variable}: the database cannot be used: {failure_reason(error, uri)}") from error
    try:
        yield mongo.database
    except (Unavailable, PyMongoError) as error:
        cause = error.__cause__ if isinstance(error.__cause__, PyMongoError) else error
        raise CannotUseDatabase(f"{variable}: the database cannot be used: {failure_reason(cause, uri)}") from error
    finally:
        mongo.close()
