"""A collection of numbered lists: the documents of each list get the numbers 1, 2, 3 … without gaps."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any

from service.datastores.batcher import BATCH_TIMEOUT, Batcher
from service.datastores.mongo import Collection as MongoCollection
from service.datastores.mongo import Document, committed_reads, unavailable
from service.datastores.optimistic_append import Appended, OptimisticAppend

__all__ = ["Appended", "SequencedLog"]

MAX_BATCH = 128
PAGE = 256
"""How many numbers above a known one a read covers: about what one process can have appended since."""
MAX_LAST_NUMBERS = 10_000
"""Lists whose last number is remembered. Reading a forgotten one again takes two reads."""
LAST_NUMBER_TTL = 12 * 3600.0
"""Seconds after which remembered numbers are read again. Documents above them may have been deleted since, and then no
index shows that their numbers were taken."""


class SequencedLog:
    """Appends documents to numbered lists: the `scope` field names the list, the `number` field holds the number.

    Needs a unique index on (`scope`, `number`). See `optimistic_append` for the algorithm and its guarantees.

    `identity(document)` returns the filter that finds a document with the same identity, under a unique index of its
    own, or None if it has none. `hints(scopes)` returns, for some of the lists, a number that has been reached; the
    closer to the last one, the less there is to read. The callers of `append` keep the hints.
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
        """`on_batch(size)` is called with the number of documents of each batch."""
        self._append = OptimisticAppend(collection)
        self._committed = committed_reads(collection)
        self._scope = scope
        self._number = number
        self._hints = hints
        self._last_numbers: dict[Any, int] = {}
        self._last_numbers_since = time.monotonic()
        self.identity = identity
        self._appends: Batcher[Document, Appended] = Batcher(
            self._write, max_batch=MAX_BATCH, timeout=BATCH_TIMEOUT, on_batch=on_batch
        )

    def append(self, document: Document) -> asyncio.Future[Appended]:
        """Append `document` after those submitted before it.

        Raises Unavailable, directly or from the future. The future raises PyMongoError if the database refuses the
        document for good.
        """
        return self._appends.submit(document)

    async def last_number(self, scope: Any, floor: int = 0) -> int:
        """Return the last number of a list that has reached `floor`; reads only what lies above. Raises Unavailable."""
        while True:
            above = {self._scope: scope, self._number: {"$gt": floor, "$lte": floor + PAGE}}
            async with unavailable():
                found = await self._committed.find(above, {self._number: 1}).to_list(PAGE)
            floor = max((document[self._number] for document in found), default=floor)
            if len(found) < PAGE:
                return floor

    async def close(self) -> None:
        await self._appends.close()

    async def _write(self, documents: Sequence[Document]) -> Sequence[Appended | Exception]:
        await self._load_last_numbers({document[self._scope] for document in documents})
        return await self._append.append(documents, self)

    async def _load_last_numbers(self, scopes: set[Any]) -> None:
        if time.monotonic() - self._last_numbers_since > LAST_NUMBER_TTL:
            self._last_numbers.clear()
            self._last_numbers_since = time.monotonic()
        missing = list(scopes - self._last_numbers.keys())
        if not missing:
            return
        if len(self._last_numbers) > MAX_LAST_NUMBERS:
            self._last_numbers.clear()
            missing = list(scopes)
        hints = await self._hints(missing)
        numbers = await asyncio.gather(*[self.last_number(scope, hints.get(scope, 0)) for scope in missing])
        self._last_numbers.update(zip(missing, numbers, strict=True))

    # The Numbering of the optimistic append. `_write` has loaded the last numbers of all scopes.

    def assign(self, documents: Sequence[Document]) -> None:
        next_numbers = {document[self._scope]: self._last_numbers[document[self._scope]] + 1 for document in documents}
        for document in documents:
            document[self._number] = next_numbers[document[self._scope]]
            next_numbers[document[self._scope]] += 1

    def accept(self, document: Document) -> None:
        scope = document[self._scope]
        self._last_numbers[scope] = max(self._last_numbers[scope], document[self._number])

    async def catch_up(self, document: Document) -> None:
        scope = document[self._scope]
        self._last_numbers[scope] = await self.last_number(scope, self._last_numbers[scope])
