"""The optimistic append: documents of a list get the numbers 1, 2, 3 … without holes, from however many processes."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import structlog
from pymongo.errors import BulkWriteError, PyMongoError
from pymongo.read_concern import ReadConcern

from service.common.errors import Unavailable
from service.datastores.batcher import BATCH_TIMEOUT, Batcher
from service.datastores.mongo import CLIENT_ERROR_CODES, Document, unavailable
from service.datastores.mongo import Collection as MongoCollection

log = structlog.get_logger()

MAX_BATCH = 128
PAGE = 256
"""How far above a known number one read looks: about what one process can have added since."""
MAX_LAST_NUMBERS = 10_000
"""Lists whose last number is remembered; one that is forgotten costs two reads."""
LAST_NUMBER_TTL = 12 * 3600.0
"""After so long a last number is read anew. What followed it may have been deleted since, and no index would say
any more that those numbers are taken."""
MAX_COLLISIONS = 400
"""Numbers lost to other processes in a row: some four seconds. Of eight at one list each wins every eighth time."""
MAX_BACKOFF = 0.02
"""Seconds. A longer one would only let those win who have just won, and have not paused."""
DUPLICATE_KEY = 11000


class Appended(NamedTuple):
    """`document` as it is stored; `created` is False where one with the same key was there before."""

    document: Document
    created: bool


class SequencedLog:
    """Appends documents to the lists of a collection: the list is the `scope` field, the place the `number` field.

    Needs a unique index on (`scope`, `number`). The writer takes the last number it knows plus one, and the index
    lets exactly one have it; the loser reads what has come and goes again. So a number exists only once its document
    is durable, and a hole never does: a document that is refused leaves its number to the next.

    `identity`: the filter that finds the document with the same identity, under a unique index of its own (None: it has
    none). `hints`: for each of some lists a number that has been reached, the nearer to the last the better. They are
    kept by whoever appends.
    """

    def __init__(
        self,
        collection: MongoCollection,
        *,
        scope: str,
        number: str,
        identity: Callable[[Document], Document | None],
        hints: Callable[[Collection[Any]], Awaitable[Mapping[Any, int]]],
        on_batch: Callable[[int], None] | None = None,
    ) -> None:
        """`on_batch` is told how many documents each write takes."""
        self._collection = collection
        # A number that a fail-over may still take back must not be counted on: the next one would leave a hole.
        self._majority = collection.with_options(read_concern=ReadConcern("majority"))
        self._scope = scope
        self._number = number
        self._identity = identity
        self._hints = hints
        self._last_numbers: dict[Any, int] = {}
        self._last_numbers_since = time.monotonic()
        self._commits: Batcher[Document, Appended] = Batcher(
            self._write, max_batch=MAX_BATCH, timeout=BATCH_TIMEOUT, on_batch=on_batch
        )

    def append(self, document: Document) -> asyncio.Future[Appended]:
        """Take `document` in, after what was taken in before. Raises Unavailable, here or from the future."""
        return self._commits.submit(document)

    async def last_number(self, scope: Any, floor: int = 0) -> int:
        """The last number of a list that has reached `floor`; reads only what lies above it. Raises Unavailable."""
        while True:
            above = {self._scope: scope, self._number: {"$gt": floor, "$lte": floor + PAGE}}
            async with unavailable():
                found = await self._majority.find(above, {self._number: 1}).to_list(PAGE)
            floor = max((document[self._number] for document in found), default=floor)
            if len(found) < PAGE:
                return floor

    async def close(self) -> None:
        await self._commits.close()

    async def _write(self, documents: Sequence[Document]) -> Sequence[Appended | Exception]:
        results: list[Appended | Exception] = []
        collisions = 0
        try:
            while len(results) < len(documents):
                rest = documents[len(results) :]
                await self._number_all(rest)
                done, refusal = await self._insert(rest)
                results += [Appended(document, True) for document in rest[:done]]
                collisions = 0 if done else collisions
                if refusal is None:
                    continue
                outcome = await self._judge(rest[done], refusal)
                if outcome is not None:
                    results.append(outcome)
                    continue
                collisions += 1
                if collisions > MAX_COLLISIONS:
                    raise Unavailable("Too many are writing here at once.")
                await asyncio.sleep(random.uniform(0, min(MAX_BACKOFF, 0.001 * 2**collisions)))  # noqa: S311
        except Exception as error:
            # What was written before is written, and its submitters shall know.
            results += [error] * (len(documents) - len(results))
        return results

    async def _number_all(self, documents: Sequence[Document]) -> None:
        if time.monotonic() - self._last_numbers_since > LAST_NUMBER_TTL:
            self._last_numbers.clear()
            self._last_numbers_since = time.monotonic()
        unknown = {document[self._scope] for document in documents} - self._last_numbers.keys()
        if unknown:
            if len(self._last_numbers) > MAX_LAST_NUMBERS:
                self._last_numbers.clear()
                unknown = {document[self._scope] for document in documents}
            hints = await self._hints(unknown)
            scopes = list(unknown)
            lasts = await asyncio.gather(*[self.last_number(scope, hints.get(scope, 0)) for scope in scopes])
            self._last_numbers.update(zip(scopes, lasts, strict=True))
        next_number = {document[self._scope]: self._last_numbers[document[self._scope]] + 1 for document in documents}
        for document in documents:
            document[self._number] = next_number[document[self._scope]]
            next_number[document[self._scope]] += 1

    async def _insert(self, documents: Sequence[Document]) -> tuple[int, dict[str, Any] | None]:
        """How many were inserted, and what was said of the next one."""
        done, refusal = len(documents), None
        try:
            async with unavailable():
                await self._collection.insert_many(documents, ordered=True)
        except BulkWriteError as error:
            refused: list[dict[str, Any]] = error.details["writeErrors"]
            if not refused or refused[0]["index"] != error.details["nInserted"]:
                # Nobody can say that it lasts; or (the embedded database, at a validator's refusal) what was written.
                raise Unavailable("The database did not confirm the write.") from error
            done, refusal = refused[0]["index"], refused[0]
        for document in documents[:done]:
            self._last_numbers[document[self._scope]] = document[self._number]
        return done, refusal

    async def _judge(self, document: Document, refusal: dict[str, Any]) -> Appended | Exception | None:
        """What the refusal of `document` means for it; None where only its number was taken."""
        if refusal["code"] in CLIENT_ERROR_CODES:
            return PyMongoError(f"The database refused a document: code {refusal['code']}.")
        if refusal["code"] != DUPLICATE_KEY:
            log.warning("database_refuses", code=refusal["code"])
            return Unavailable("The database refuses to store this.")
        scope = document[self._scope]
        key = self._identity(document)
        async with unavailable():
            # A write that the driver repeated over a new connection can meet itself.
            own = await self._collection.find_one({"_id": document["_id"]})
            first = None if own or key is None else await self._collection.find_one(key)
        if own:
            self._last_numbers[scope] = own[self._number]
            return Appended(own, True)
        if first:
            return Appended(first, False)
        self._last_numbers[scope] = await self.last_number(scope, self._last_numbers[scope])
        return None
