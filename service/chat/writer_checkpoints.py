"""The store of writer checkpoints: which processes store messages, and until when their counters are complete."""

from datetime import datetime, timedelta

from service.common.times import now
from service.datastores.mongo import Database, Document, unavailable

CHECKPOINT_INTERVAL = timedelta(minutes=1)
MARGIN = timedelta(minutes=2)
"""How inexact a checkpoint may be: clocks differ, and some counters were still waiting when it was written."""
DEAD_AFTER = timedelta(minutes=5)
"""A process that lives has written a checkpoint within this time."""


class WriterCheckpoints:
    """`chat_writers`: for each process the time of its last checkpoint, removed at an orderly shutdown.

    A checkpoint that is left behind therefore tells, to the minute, when its process died, however long ago. Messages
    stored then may be missing in the counters, and their events may not have been published.
    """

    def __init__(self, database: Database) -> None:
        self._collection = database["chat_writers"]

    async def create_indexes(self) -> None:
        """None: the documents are few, and found by their ids."""

    async def checkpoint(self, process_id: str) -> None:
        """Record that all messages this process has stored are counted and published, up to MARGIN ago."""
        async with unavailable():
            await self._collection.update_one({"_id": process_id}, {"$set": {"at": now()}}, upsert=True)

    async def remove(self, process_id: str) -> None:
        """Record that this process ended and left nothing uncounted. Raises Unavailable."""
        async with unavailable():
            await self._collection.delete_one({"_id": process_id})

    async def recovery_windows(self) -> list[tuple[datetime, datetime]]:
        """Return the time windows in which messages may have been stored and not counted.

        These are the time around each process's last checkpoint, and the last few minutes. Raises Unavailable.
        """
        async with unavailable():
            found: list[Document] = await self._collection.find().to_list(None)
        ends = [document["at"] + CHECKPOINT_INTERVAL for document in found]
        return [(end - CHECKPOINT_INTERVAL - MARGIN, end + MARGIN) for end in [*ends, now()]]

    async def prune(self) -> None:
        """Delete the checkpoints of dead processes, after their recovery windows have been handled."""
        async with unavailable():
            await self._collection.delete_many({"at": {"$lt": now() - DEAD_AFTER}})
