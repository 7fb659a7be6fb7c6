"""`python -m service release`: prepares the database before new processes start. Does not import Sanic."""

from pymongo.errors import PyMongoError

from service.common.errors import Unavailable
from service.datastores.mongo import Mongo
from service.stores import Stores


class CannotRelease(Exception):
    """The database cannot be reached, or rejects a command. The message says why, in one line."""


async def release(mongodb_uri: str) -> None:
    """Create the indexes of every collection. Idempotent. Raises CannotRelease."""
    try:
        mongo = Mongo(mongodb_uri)
        try:
            stores = Stores.build(mongo.database)
            await stores.create_indexes()
            while await stores.users.fill_search_terms():
                pass
        finally:
            mongo.close()
    except Unavailable as error:
        raise CannotRelease(str(error)) from error
    except (PyMongoError, ValueError) as error:
        # Only the error's name: its text may quote a part of the URI that contains the password.
        reason = (getattr(error, "details", None) or {}).get("codeName") or type(error).__name__
        raise CannotRelease(f"the database cannot be used: {reason}") from error
