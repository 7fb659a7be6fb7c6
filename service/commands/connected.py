"""What commands that change data share: the datastores of the deployment, and their errors as one line."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from pymongo.errors import ConfigurationError, PyMongoError
from redis.asyncio import Redis

from config.settings import Settings
from service.accounts.denylist import Denylist
from service.accounts.revocation import Revocation, revocation_lease
from service.attachments.links import AttachmentLinks
from service.common.errors import Unavailable
from service.datastores.data_directory import DataDirectory
from service.datastores.failure_reason import failure_reason
from service.datastores.mongo import Mongo
from service.datastores.redis import REDIS_ERRORS, InvalidRedisURL, connect, ping
from service.realtime.redis_bus import RedisBus
from service.realtime.registry import Registry
from service.stores import Stores


class CommandFailed(Exception):
    """The command cannot do what it was asked. The message says why, in one line."""


class Datastores(NamedTuple):
    """The datastores that the servers of the deployment use. `bus`: reaches their connections. `links`: signs URLs as
    they do."""

    stores: Stores
    redis: "Redis"
    bus: RedisBus
    links: AttachmentLinks


@asynccontextmanager
async def connected(settings: Settings) -> AsyncIterator[Datastores]:
    """Connect to the deployment. Raises CommandFailed if a datastore is unavailable, also later in the block."""
    directory = DataDirectory(settings.data_dir)
    uri = settings.mongodb_uri or directory.read("mongodb.uri")
    url = settings.redis_url or directory.read("redis.url")
    if not (uri and url):
        raise CommandFailed(
            f"DATA_DIR: no Loa is running in {settings.data_dir}, and MONGODB_URI or REDIS_URL is not set"
        )
    tag = settings.redis_tag
    try:
        mongo, redis = Mongo(uri), connect(url, tag)
    except ConfigurationError as error:
        raise CommandFailed(f"MONGODB_URI: the database cannot be used: {failure_reason(error, uri)}") from error
    except InvalidRedisURL as error:
        raise CommandFailed(f"REDIS_URL: Redis cannot be used: {error}") from error
    bus = RedisBus(url, tag)
    links = AttachmentLinks(settings.jwt_secret or directory.read("secret"), settings.jwt_secret_previous)
    try:
        # Without Redis, the servers would not learn of the change.
        await ping(redis, tag)
        await bus.start()
        try:
            yield Datastores(Stores.build(mongo.database, links=links), redis, bus, links)
        finally:
            await bus.close()
    except REDIS_ERRORS as error:
        raise CommandFailed(f"Redis cannot be used: {failure_reason(error, url)}; run it again") from error
    except PyMongoError as error:
        raise CommandFailed(f"the database cannot be used: {failure_reason(error, uri)}; run it again") from error
    except Unavailable as error:
        why = failure_reason(error.__cause__, uri) if error.__cause__ else str(error)
        raise CommandFailed(f"the database cannot be used: {why}; run it again") from error
    finally:
        await redis.aclose()
        mongo.close()


def revocation(settings: Settings, datastores: Datastores, registry: Registry) -> Revocation:
    """Return a Revocation that reaches every process. It is not started: a command does not poll."""
    return Revocation(
        datastores.stores.sessions,
        Denylist(datastores.redis, settings.redis_tag),
        datastores.bus,
        registry,
        revocation_lease(datastores.redis, settings.redis_tag),
        access_ttl=settings.max_access_ttl,
    )
