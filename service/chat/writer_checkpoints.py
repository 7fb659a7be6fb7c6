"""The store of writer checkpoints: which processes store messages, and until when their work is complete."""

from datetime import datetime, timedelta
from typing import NamedTuple

from service.common.times import now
from service.datastores.mongo import Database, Document, unavailable

CHECKPOINT_INTERVAL = timedelta(minutes=1)
MARGIN = timedelta(minutes=2)
"""How inexact a checkpoint may be: clocks differ, and some counters were still waiting when it was written."""
DEAD_AFTER = timedelta(minutes=5)
"""A process without a newer checkpoint than this is dead."""
CLOCK_TOLERANCE = timedelta(seconds=10)

FORMAT = 3
"""Of the data that a process stores. A process of format 1, which it did not write, knows no claims to usernames, and
finds direct conversations by an index that a sharded database cannot have; one of format 2 finds nobody in large groups
(see LargeGroups)."""


class Checkpoint(NamedTuple):
    """Everything that the process stored until `complete_until` is counted and published; at `alive_at` it ran."""

    process_id: str
    complete_until: datetime
    alive_at: datetime

    @property
    def window(self) -> tuple[datetime, datetime]:
        """The time in which the process may have stored what is not counted or published, if it has died."""
        return self.complete_until - MARGIN, self.alive_at + CHECKPOINT_INTERVAL + MARGIN


class WriterCheckpoints:
    """`chat_writers`: `{at, alive_at}` for each process, removed at an orderly shutdown.

    A checkpoint that is left behind therefore has the time, to the minute, at which its process died. Messages stored
    then may be missing in the counters, and their events may not have been published. `at` is older than
    `alive_at` while the process has work that it could not complete. `format` is that of the database, FORMAT.
    """

    def __init__(self, database: Database) -> None:
        self._collection = database["chat_writers"]

    async def create_indexes(self) -> None:
        """None: the documents are few, and found by their ids."""

    async def write(self, process_id: str, complete_until: datetime) -> None:
        """Record that all that this process has stored until then is counted and published, up to MARGIN before."""
        fields = {"at": complete_until, "alive_at": now(), "format": FORMAT}
        async with unavailable():
            await self._collection.update_one({"_id": process_id}, {"$set": fields}, upsert=True)

    async def remove(self, process_id: str) -> None:
        """Record that this process ended and left nothing uncounted. Raises Unavailable."""
        async with unavailable():
            await self._collection.delete_one({"_id": process_id})

    async def all(self) -> list[Checkpoint]:
        """Return the checkpoints of all processes. Raises Unavailable."""
        async with unavailable():
            found: list[Document] = await self._collection.find().to_list(None)
        return [Checkpoint(each["_id"], each["at"], _alive_at(each)) for each in found]

    async def earlier_version_runs(self) -> bool:
        """Whether a process that stores data in an earlier format runs, or has just been killed. Raises Unavailable."""
        async with unavailable():
            found: list[Document] = await self._collection.find().to_list(None)
        since = now() - DEAD_AFTER
        return any(each.get("format", 1) < FORMAT and _alive_at(each) > since for each in found)

    async def incompatible_version_runs(self) -> bool:
        """Whether a process runs, or ran a minute ago, whose messages on the bus this version does not receive, nor it
        those of this version. Such processes write no `alive_at`. Raises Unavailable."""
        since = now() - CHECKPOINT_INTERVAL - CLOCK_TOLERANCE
        async with unavailable():
            found = await self._collection.find_one({"alive_at": {"$exists": False}, "at": {"$gt": since}}, {"_id": 1})
        return found is not None

    async def dead(self) -> list[Checkpoint]:
        """Return the checkpoints that have not been renewed for DEAD_AFTER. Raises Unavailable."""
        return [checkpoint for checkpoint in await self.all() if checkpoint.alive_at < now() - DEAD_AFTER]


def _alive_at(document: Document) -> datetime:
    # The first versions wrote no `alive_at`.
    moment: datetime = document.get("alive_at") or document["at"]
    return moment
