"""The store of writers: which processes store messages, and up to when all that each stored has been counted."""

from datetime import datetime, timedelta

from service.common.times import now
from service.datastores.mongo import Database, Document, unavailable

MARK_EVERY = timedelta(minutes=1)
MARGIN = timedelta(minutes=2)
"""How wrong a mark may be: clocks differ, and a few numbers still waited when it was set."""
DEAD_AFTER = timedelta(minutes=5)
"""A process that lives has set its mark since."""


class WriterCheckpoints:
    """`chat_writers`: for each process the moment of its last mark, set every minute and taken away at an orderly end.

    So a mark that is left tells when its process died, to the minute, however long ago that is: what it stored then
    may not have been counted and told.
    """

    def __init__(self, database: Database) -> None:
        self._collection = database["chat_writers"]

    async def create_indexes(self) -> None:
        """They are few, and found by their ids."""

    async def mark(self, process_id: str) -> None:
        """All that the process has stored is counted and told, but for the last moments."""
        async with unavailable():
            await self._collection.update_one({"_id": process_id}, {"$set": {"at": now()}}, upsert=True)

    async def leave(self, process_id: str) -> None:
        async with unavailable():
            await self._collection.delete_one({"_id": process_id})

    async def spans(self) -> list[tuple[datetime, datetime]]:
        """The spans of time in which messages may have been stored that nobody counted: the last moments of every
        process that has set a mark, and those just past."""
        async with unavailable():
            found: list[Document] = await self._collection.find().to_list(None)
        ends = [document["at"] + MARK_EVERY for document in found]
        return [(end - MARK_EVERY - MARGIN, end + MARGIN) for end in [*ends, now()]]

    async def forget_dead(self) -> None:
        """What they left behind has been seen to."""
        async with unavailable():
            await self._collection.delete_many({"at": {"$lt": now() - DEAD_AFTER}})
