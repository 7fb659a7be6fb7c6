"""`python -m service release`: prepares the database before new processes start. Does not import Sanic."""

from pymongo.errors import ConnectionFailure, PyMongoError

from service.common.errors import Unavailable
from service.datastores.failure_reason import failure_reason
from service.datastores.index_requests import IndexRequests
from service.datastores.mongo import Mongo
from service.stores import Stores

INCOMPATIBLE = (
    "processes of a version that cannot run beside this one use the database: end them, and try again in a minute"
)


class CannotRelease(Exception):
    """The database cannot be reached, or cannot do what the service needs; or it is used by processes of a version that
    cannot run beside this one. The message says why, in one line."""


async def release(mongodb_uri: str) -> bool:
    """Create the indexes of every collection, check that they are there, and carry over what earlier versions have
    stored. Idempotent; what was interrupted is completed by the next call. Raises CannotRelease.

    Returns whether everything was carried over. It is not while processes of an earlier version run: they need indexes
    that a sharded collection cannot have, and groups whose documents list all participants.
    """
    requests = IndexRequests()
    try:
        mongo = Mongo(mongodb_uri, [requests])
        try:
            stores = Stores.build(mongo.database)
            if await stores.writers.incompatible_version_runs():
                raise CannotRelease(INCOMPATIBLE)
            await stores.create_indexes()
            while await stores.users.fill_search_terms():
                pass
            await stores.users.date_bans()
            # Before the rest: what a process has stored that has ended by now is carried over.
            is_current = not await stores.writers.earlier_version_runs()
            for carried in (stores.users.usernames, stores.conversations.direct):
                await carried.carry_over()
                if is_current:
                    await carried.old_index.drop()
            if is_current:
                await stores.conversations.groups.large.carry_over()
            ignored = await requests.ignored(mongo.database)
        finally:
            mongo.close()
    except (PyMongoError, ValueError, Unavailable) as error:
        cause = error.__cause__ if isinstance(error, Unavailable) and error.__cause__ else error
        problem = "reached" if isinstance(cause, ConnectionFailure) else "used"
        raise CannotRelease(f"the database cannot be {problem}: {failure_reason(cause, mongodb_uri)}") from error
    if ignored:
        raise CannotRelease(f"the database cannot be used: it ignores {ignored}")
    return is_current
