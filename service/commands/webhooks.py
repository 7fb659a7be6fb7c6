"""`python -m service webhooks`: lists the parked webhooks, or sends them again."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pymongo.errors import ConfigurationError, PyMongoError

from config.settings import Settings
from service.common.errors import Unavailable
from service.common.times import iso
from service.datastores.data_directory import DataDirectory
from service.datastores.failure_reason import failure_reason
from service.datastores.mongo import Mongo
from service.webhooks.delivery_store import DeliveryStore

MAX_LISTED = 1000
ALL = "all"


class CannotUseDatabase(Exception):
    """The database cannot be used, or there is no such webhook. The message is one line."""


async def parked(settings: Settings) -> list[str]:
    """Return a line for each of the MAX_LISTED webhooks that were parked first. Raises CannotUseDatabase."""
    async with _store(settings) as store:
        return [
            f"{each['_id']}  {iso(each['created_at'])}  attempts: {each['attempts']}, last: {each['outcome']}"
            for each in await store.parked(MAX_LISTED)
        ]


async def resend(settings: Settings, webhook_id: str) -> int:
    """Let a parked webhook, or all of them (ALL), be attempted at once. Returns their number.

    Raises CannotUseDatabase.
    """
    async with _store(settings) as store:
        count = await store.resend(None if webhook_id == ALL else webhook_id)
    if not count and webhook_id != ALL:
        raise CannotUseDatabase("no webhook with this id is parked")
    return count


@asynccontextmanager
async def _store(settings: Settings) -> AsyncIterator[DeliveryStore]:
    uri = settings.mongodb_uri or DataDirectory(settings.data_dir).read("mongodb.uri")
    if not uri:
        raise CannotUseDatabase(f"DATA_DIR: no Loa is running in {settings.data_dir}, and MONGODB_URI is not set")
    variable = "MONGODB_URI" if settings.mongodb_uri else "DATA_DIR"
    try:
        mongo = Mongo(uri)
    except ConfigurationError as error:
        raise CannotUseDatabase(f"{variable}: the database cannot be used: {failure_reason(error, uri)}") from error
    try:
        yield DeliveryStore(mongo.database)
    except (Unavailable, PyMongoError) as error:
        cause = error.__cause__ if isinstance(error.__cause__, PyMongoError) else error
        raise CannotUseDatabase(f"{variable}: the database cannot be used: {failure_reason(cause, uri)}") from error
    finally:
        mongo.close()
