"""What earlier versions have stored and this one stores otherwise: how far it has been carried over."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

from service.common.times import now
from service.datastores.mongo import Database, unavailable

OVERLAP = timedelta(days=1)
"""How far the next run reaches back before the start of the last one: clocks differ, and writes take time."""


class Migrations:
    """`migrations`: `{_id: name, since}` for each migration that has been completed.

    A process of an earlier version may go on storing documents of the old form. So a migration is run again, over the
    documents that were created since its last run began.
    """

    def __init__(self, database: Database) -> None:
        self._collection = database["migrations"]

    @asynccontextmanager
    async def run(self, name: str) -> AsyncIterator[datetime | None]:
        """While the block runs, it carries over what was created at the time given, or later. None: everything.

        If the block fails, the next run covers the same. Raises Unavailable.
        """
        started = now()
        async with unavailable():
            last = await self._collection.find_one({"_id": name})
        yield last["since"] if last else None
        async with unavailable():
            await self._collection.update_one({"_id": name}, {"$set": {"since": started - OVERLAP}}, upsert=True)
