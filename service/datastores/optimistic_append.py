"""Optimistic append: documents take the next numbers of their list, without gaps, from any number of processes.

A writer takes the last number it knows plus one, and a unique index lets exactly one writer have it; the loser reads
the tail of the list and tries again. So a number exists only once its document is durable, commit order is number
order, and there are no gaps: the number of a refused document goes to the next one.

Comments, notifications (both through SequencedLog) and chat messages use this one algorithm. They differ in the
numbers that a document takes and in what a process remembers of a list; that part is a `Numbering`:

- SequencedLog: one number for each document, the last ones remembered for every list that was written to.
- Chat messages (`chat/append.py`): two numbers, `seq` and `rev`, with the last ones in the conversation's cached head,
  which also learns them from events. A change of a message takes only a `rev` and is an update, not an insert: it
  shares the back-off, and the unique index over all revs makes it compete with the inserts.

Numbers are learnt and conflicts are resolved with read concern `majority`. A document that a fail-over may still roll
back must not count: a number above it would leave a gap, or two documents would claim the same one.
"""

import asyncio
import random
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import structlog
from pymongo.errors import BulkWriteError, PyMongoError

from service.common.errors import Unavailable
from service.datastores.batcher import Contended
from service.datastores.lanes import Contention
from service.datastores.mongo import (
    CLIENT_ERROR_CODES,
    DUPLICATE_KEY,
    Collection,
    Document,
    committed_reads,
    unavailable,
)

log = structlog.get_logger()

MAX_COLLISIONS = 400
"""Numbers lost to other writers in a row before a write gives up: some four seconds. Of eight processes appending to
one list, each wins every eighth time."""
MAX_BACKOFF = 0.02
"""Seconds. With a longer pause the writers that have just won, and have not paused, would win again."""


class Appended(NamedTuple):
    """`document` as it is stored; `created` is False if a document with the same identity was stored before."""

    document: Document
    created: bool


class Numbering(Protocol):
    """Which numbers documents take, and what this process knows of the last ones in each list."""

    scope: str
    """The field that names the list of a document: the collection's shard key."""

    def assign(self, documents: Sequence[Document]) -> None:
        """Give each document the next numbers of its list, in order. Known numbers stay unchanged."""

    def accept(self, document: Document) -> None:
        """Note that `document` is durable: the known last numbers are at least its numbers."""

    async def catch_up(self, document: Document) -> None:
        """Learn the last numbers of the list of `document`, in which another writer has taken one."""

    def refuse(self, document: Document) -> Exception | None:
        """Return why `document` must not be appended, after what `catch_up` has learnt; None if it may be."""

    def identity(self, document: Document) -> Document | None:
        """Return the filter that finds a document with the same identity (under a unique index), or None."""


class OptimisticAppend:
    """Inserts documents into a collection that has unique indexes over the numbers and the identity of documents."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection
        self._committed = committed_reads(collection)

    async def append(
        self, documents: Sequence[Document], numbering: Numbering, contention: Contention | None
    ) -> list[Appended | Exception]:
        """Number and insert `documents`, in order; return the outcome of each.

        In a lane (`contention`), a lost number is tried again. Without, the documents of its list get Contended, and
        those of other lists go on at once.

        A document that the database refuses fails alone: with the database's error if it can never be stored, else
        with Unavailable. If the database stops answering or does not confirm a write, the documents whose fate is
        unknown, and all behind them, get that error; those that were confirmed before keep their outcome.
        """
        outcomes: dict[int, Appended | Exception] = {}
        waiting = list(range(len(documents)))
        collisions = 0
        try:
            while waiting:
                batch = [documents[index] for index in waiting]
                numbering.assign(batch)
                stored, refusal = await self._insert(batch)
                for index in waiting[:stored]:
                    numbering.accept(documents[index])
                    outcomes[index] = Appended(documents[index], True)
                waiting = waiting[stored:]
                collisions = 0 if stored else collisions
                if refusal is None:
                    continue
                index = waiting[refusal["index"] - stored]
                outcome = await self._resolve(documents[index], refusal["code"], numbering)
                if outcome is not None:
                    waiting.remove(index)
                    outcomes[index] = outcome
                    continue
                if contention is None:
                    lost = documents[index][numbering.scope]
                    contended = [each for each in waiting if documents[each][numbering.scope] == lost]
                    outcomes |= dict.fromkeys(contended, Contended())
                    waiting = [each for each in waiting if each not in outcomes]
                    continue
                contention.lost()
                collisions += 1
                await back_off(collisions)
                await numbering.catch_up(documents[index])
                refused = {each: numbering.refuse(documents[each]) for each in waiting}
                outcomes |= {each: error for each, error in refused.items() if error is not None}
                waiting = [each for each in waiting if each not in outcomes]
        except Exception as error:
            outcomes |= dict.fromkeys(waiting, error)
        return [outcomes[index] for index in range(len(documents))]

    async def _insert(self, documents: Sequence[Document]) -> tuple[int, dict[str, Any] | None]:
        """Insert `documents` in order. Return how many were stored, and the first write error.

        Raises Unavailable if it is unknown which documents are durable.
        """
        try:
            async with unavailable():
                await self._collection.insert_many(documents, ordered=True)
        except BulkWriteError as error:
            stored: int = error.details["nInserted"]
            write_errors: list[dict[str, Any]] = error.details["writeErrors"]
            # The embedded server checks validators first and stores nothing of a batch that one refuses: `stored` may
            # be less than the refused document's index.
            if not write_errors or error.details["writeConcernErrors"] or stored > write_errors[0]["index"]:
                raise Unavailable("The database did not confirm the write.") from error
            return stored, write_errors[0]
        return len(documents), None

    async def _resolve(self, document: Document, code: int, numbering: Numbering) -> Appended | Exception | None:
        """Return the outcome of a document that was refused with `code`; None if only its number was taken."""
        if code in CLIENT_ERROR_CODES:
            return PyMongoError(f"The database refused a document: code {code}.")
        if code != DUPLICATE_KEY:
            log.warning("database_refused", code=code)
            return Unavailable("The database cannot store this just now.")
        identity = numbering.identity(document)
        async with unavailable():
            # The driver retries a write whose reply was lost: the document itself may be what it collides with.
            own = await self._committed.find_one({"_id": document["_id"], numbering.scope: document[numbering.scope]})
            existing = None if own or identity is None else await self._committed.find_one(identity)
        if own:
            numbering.accept(own)
            return Appended(own, True)
        return Appended(existing, False) if existing else None


async def back_off(collisions: int) -> None:
    """Sleep for a random time that grows with the number of collisions in a row; the first retry is immediate.

    Raises Unavailable after MAX_COLLISIONS.
    """
    if collisions > MAX_COLLISIONS:
        raise Unavailable("Too many writers are appending here at once.")
    if collisions > 1:
        await asyncio.sleep(random.uniform(0, min(MAX_BACKOFF, 0.001 * 2**collisions)))  # noqa: S311
