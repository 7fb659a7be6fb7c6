"""A follower of changes: hands every committed change of some collections to a consumer, at least once, in order."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import structlog
from bson import ObjectId
from pymongo import ReturnDocument

from service.common.times import now
from service.datastores.change_stream import GATHER_TIME, ChangeStream, HistoryLost, time_of
from service.datastores.mongo import Collection, Database, Document, unavailable
from service.datastores.scan import scan

log = structlog.get_logger()

BATCH_SIZE = 200
"""Changes that are handled at once, and repeated if the process is killed meanwhile."""
MAX_READ_TIME = 2.0
"""Seconds in which a follower with a pause reads one batch."""
IDLE_PAUSE = 0.02
"""Seconds after a read that found nothing: a write to any collection ends the database's wait for a change."""
IDLE_STORE_INTERVAL = 60.0
"""Seconds between two stored positions while nothing that is wanted changes: the token must not become too old."""
SHARE = 0.1
"""The part of the time that a follower with a pause takes, if it keeps up: it shares processors with requests."""
OVERLAP = timedelta(seconds=60)
"""How far catching up reaches back before the stored position. Longer than the clock difference between the processes,
and the time from a document's timestamp to its commitment."""


UPDATE_WINDOW = timedelta(minutes=1)
"""The time that one read of updated documents covers, if their time has an index: no read may outlast its timeout."""


class Updates(NamedTuple):
    """Which updates count, and how those are found that were made while the history was lost.

    `field`: an update counts if it changes this field. `time_field` has the time of the last such update, and documents
    that have been updated match `where`. `indexed`: whether `time_field` has an index; otherwise the whole collection
    is read, in bounded steps, which is rare enough to be cheaper than an index.
    """

    field: str
    time_field: str
    where: Document = {}  # noqa: RUF012
    indexed: bool = False


class Wanted(NamedTuple):
    """A collection to follow. `fields`: what is needed of a new document, and of an update if it changes them. Without
    `updates`, updates do not count; without `created`, new documents do not."""

    collection: str
    fields: Sequence[str]
    updates: Updates | None = None
    created: bool = True

    @property
    def projection(self) -> Document:
        return dict.fromkeys((*self.fields, *([self.updates.field] if self.updates else [])), True)


class Change(NamedTuple):
    """A document that was created (`created`) or updated. `fields`: see `Wanted`. `at`: when. `key`: the `_id` and, in
    a sharded collection, the shard key."""

    collection: str
    id: ObjectId
    created: bool
    fields: Document
    at: datetime
    key: Document


class NewerFollower(Exception):
    """Another process has taken over: this one must neither store positions nor go on."""


class ChangeFollower:
    """Follows changes from a position that is stored in `change_followers`: `{_id: name, token, start, at, epoch}`.

    `run` is for one process at a time, the holder of a lease. Each run increments `epoch`, and a position is stored
    only if the epoch is still that of the run: a process that has lost the lease without noticing cannot overwrite the
    position of its successor.

    The position is stored after `handle` has returned. If it raises, or the process is killed, the batch comes again.

    The first position of a name is the time of the first `start`. If the database has lost the history after the
    position, the follower finds by time what was created or updated since (`catch_up` of the changes, see `Wanted`).
    """

    def __init__(
        self,
        database: Database,
        name: str,
        wanted: Sequence[Wanted],
        handle: Callable[[Sequence[Change]], Awaitable[None]],
        *,
        batch_size: int = BATCH_SIZE,
        pause: tuple[float, float] | None = None,
    ) -> None:
        """`pause`: the fewest and the most seconds between two batches, in which changes gather: as many as it takes
        for SHARE, and half of the time if a batch is full. A batch then has `batch_size` changes, or all that have
        gathered."""
        self._database = database
        self._positions = database["change_followers"]
        self.name = name
        self._wanted = {each.collection: each for each in wanted}
        self._handle = handle
        self._batch_size = batch_size
        self._pause = pause
        self._epoch = 0
        self._position: Document = {}
        """The last one that was read or stored."""
        self._stored_at = 0.0
        self._behind_since: datetime | None = None
        self.caught_up = asyncio.Event()
        """Set while it runs, once everything has been handled that a killed process may have handled without storing
        its position."""

    @property
    def lag(self) -> float:
        """Seconds since the oldest known change that is not handled yet; 0 if there is none, or if it does not run."""
        return max(0.0, (now() - self._behind_since).total_seconds()) if self._behind_since else 0.0

    async def prepare(self) -> None:
        """Store the first position, if there is none: changes from now on will be followed. Raises Unavailable."""
        async with unavailable():
            server = await self._database.command("ping")
            first = {"token": None, "start": server.get("operationTime"), "at": now(), "epoch": 0}
            await self._positions.update_one({"_id": self.name}, {"$setOnInsert": first}, upsert=True)

    async def handled_until(self) -> datetime:
        """Return when the last change that has been handled was made, or when it was known that there was no other; at
        most IDLE_STORE_INTERVAL before the last run ended. Raises Unavailable."""
        await self.prepare()
        async with unavailable():
            position: Document = await self._positions.find_one({"_id": self.name}) or {}
        at: datetime = position["at"]
        return at

    async def run(self) -> None:
        """Follow until cancelled. Raises Unavailable, NewerFollower, and what `handle` raises."""
        await self._begin_run()
        try:
            while True:
                token, start = self._position["token"], self._position["start"]
                stream = ChangeStream(self._database, self._pipeline(), resume_after=token, start_at=start)
                try:
                    await self._follow(stream)
                except HistoryLost:
                    since = self._position["at"]
                    log.warning("change_history_lost", follower=self.name, since=since.isoformat())
                    await self._catch_up(since)
                finally:
                    await stream.close()
        finally:
            self._behind_since = None
            self.caught_up.clear()

    async def wait_until(self, needed: Callable[[], Awaitable[bool]], interval: float) -> None:
        """Follow nothing until `needed()` returns True, which is asked every `interval` seconds. What changed before it
        last returned False is not followed later. Raises Unavailable, NewerFollower, and what `needed` raises."""
        await self._begin_run()
        unneeded: Document | None = None
        while True:
            async with unavailable():
                server = await self._database.command("ping")
            moment: Document = {"token": None, "start": server.get("operationTime"), "at": now()}
            if await needed():
                if unneeded:
                    await self._store(unneeded)
                return
            if unneeded is None or time.monotonic() - self._stored_at > IDLE_STORE_INTERVAL:
                await self._store(moment)
            unneeded = moment
            await asyncio.sleep(interval)

    async def _begin_run(self) -> None:
        """Read the position, and take an epoch of its own for this run."""
        await self.prepare()
        async with unavailable():
            # One command, so that no two runs get the same epoch.
            self._position = await self._positions.find_one_and_update(
                {"_id": self.name}, {"$inc": {"epoch": 1}}, return_document=ReturnDocument.AFTER
            )
        self._epoch = self._position["epoch"]

    async def _follow(self, stream: ChangeStream) -> None:
        handled = 0
        while True:
            began, until = time.monotonic(), now() if self._pause else None
            # What is made while this is read is left for the next batch: it would come in many small reads.
            found = await stream.read(self._batch_size, MAX_READ_TIME if until else GATHER_TIME, until)
            if found:
                changes = [self._change(each) for each in found]
                self._behind_since = changes[0].at
                await self._handle(changes)
                await self._store({"token": stream.resume_token, "at": changes[-1].at})
                handled += len(found)
            # A process is killed in one batch at most.
            if stream.at_end or handled >= self._batch_size:
                self.caught_up.set()
            full = len(found) == self._batch_size
            if not full:
                self._behind_since = None
            if found and self._pause:
                least, most = self._pause
                elapsed = time.monotonic() - began
                await asyncio.sleep(min(elapsed if full else max(least, elapsed * (1 / SHARE - 1)), most))
            if not found:
                await asyncio.sleep(IDLE_PAUSE)
            if not found and stream.resume_token and time.monotonic() - self._stored_at > IDLE_STORE_INTERVAL:
                await self._store({"token": stream.resume_token, "at": now()})

    async def _catch_up(self, since: datetime) -> None:
        """Handle what was created or updated since, in no order, and store the position from which on to follow."""
        async with unavailable():
            server = await self._database.command("ping")
        position: Document = {"token": None, "start": server["operationTime"], "at": now()}
        self._behind_since = since
        async for batch in self._changes_since(since - OVERLAP):
            await self._handle(batch)
        await self._store(position)

    async def _changes_since(self, since: datetime) -> AsyncIterator[list[Change]]:
        for wanted in self._wanted.values():
            collection = self._database[wanted.collection]
            if wanted.created:
                async for documents in scan(collection, {}, wanted.projection, since):
                    yield [_found(wanted, each, created=True) for each in documents]
            if wanted.updates:
                async for documents in _updated_since(collection, wanted.updates, wanted.projection, since):
                    yield [_found(wanted, each, created=False) for each in documents]

    async def _store(self, position: dict[str, Any]) -> None:
        position = {"start": None, **position}
        async with unavailable():
            result = await self._positions.update_one({"_id": self.name, "epoch": self._epoch}, {"$set": position})
        if not result.matched_count:
            raise NewerFollower
        self._position = position
        self._stored_at = time.monotonic()

    def _pipeline(self) -> list[Document]:
        """What the database filters, so that changes that do not count cost nothing here.

        It does not project: that costs the embedded database ten times as much as to send a whole document.
        """
        match: list[Document] = []
        if created := [each.collection for each in self._wanted.values() if each.created]:
            match.append({"operationType": "insert", "ns.coll": {"$in": created}})
        for each in self._wanted.values():
            if each.updates:
                changed = f"updateDescription.updatedFields.{each.updates.field}"
                match.append({"operationType": "update", "ns.coll": each.collection, changed: {"$exists": True}})
        return [{"$match": {"$or": match} if len(match) > 1 else match[0]}]

    def _change(self, event: Document) -> Change:
        created = event["operationType"] == "insert"
        fields = event["fullDocument"] if created else event["updateDescription"]["updatedFields"]
        fields = {name: fields[name] for name in self._wanted[event["ns"]["coll"]].projection if name in fields}
        key = event["documentKey"]
        return Change(event["ns"]["coll"], key["_id"], created, fields, time_of(event), key)


def _found(wanted: Wanted, document: Document, *, created: bool) -> Change:
    """Return the change of a document that was found by time: when it was created, or an update was found."""
    at = document["_id"].generation_time if created else now()
    return Change(wanted.collection, document["_id"], created, document, at, {"_id": document["_id"]})


async def _updated_since(
    collection: Collection, updates: Updates, fields: Document, since: datetime
) -> AsyncIterator[list[Document]]:
    """Yield the documents that were updated at `since` or later, also those that were created since."""
    if not updates.indexed:
        async for batch in scan(collection, {**updates.where, updates.time_field: {"$gte": since}}, fields):
            yield batch
        return
    begin, last = since, now()
    while begin <= last:
        end = begin + UPDATE_WINDOW
        if end > last:
            # The clocks of the processes that made the updates may be ahead of this one.
            end = last + timedelta(days=1)
        window = {updates.time_field: {"$gte": begin, "$lt": end}}
        async with unavailable():
            found = collection.find({**updates.where, **window}, fields)
            while batch := await found.to_list(BATCH_SIZE):
                yield batch
        begin = end
