"""A collection of numbered lists: the documents of each list get the numbers 1, 2, 3 … without gaps."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from service.datastores.find_by_ids import IDS_PER_READ
from service.datastores.lanes import Contention, Lanes
from service.datastores.mongo import Collection as MongoCollection
from service.datastores.mongo import Document, committed_reads, unavailable
from service.datastores.optimistic_append import Appended, OptimisticAppend

__all__ = ["Appended", "SequencedLog"]

MAX_BATCH = 128
PAGE = 256
"""How many numbers above a known one a read covers: about what one process can have appended since."""
MAX_SHARED = 1024
"""Numbers that one read of several lists covers, at most; so it returns no more documents. Others wait meanwhile."""
AHEAD = 32
"""How many numbers above a known one a read of several lists covers. More of one list are read alone."""
MAX_LAST_NUMBERS = 10_000
"""Lists whose last number is remembered. Reading a forgotten one again takes two reads."""
LAST_NUMBER_TTL = 12 * 3600.0
"""Seconds after which remembered numbers are read again. Documents above them may have been deleted since, and then no
index shows that their numbers were taken."""


class Above(NamedTuple):
    """The documents of the list `scope` with a number above `number`, given that the list has reached `floor`."""

    scope: Any
    number: int
    floor: int

    @property
    def last(self) -> int:
        """The last number that a shared read covers."""
        return max(self.number, self.floor) + AHEAD

    @property
    def width(self) -> int:
        return self.last - self.number


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
        self.scope = scope
        self.number = number
        self._hints = hints
        self._last_numbers: dict[Any, int] = {}
        self._last_numbers_since = time.monotonic()
        self.identity = identity
        self._appends: Lanes[Document, Appended] = Lanes(
            self._write,
            list_of=lambda document: document[scope],
            max_batch=MAX_BATCH,
            on_batch=on_batch,
            busy_lanes=True,
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
            above = {self.scope: scope, self.number: {"$gt": floor, "$lte": floor + PAGE}}
            async with unavailable():
                found = await self._committed.find(above, {self.number: 1}).to_list(PAGE)
            floor = max((document[self.number] for document in found), default=floor)
            if len(found) < PAGE:
                return floor

    async def last_numbers(self, floors: Mapping[Any, int]) -> dict[Any, int]:
        """Return the last number of each of these lists, given that it is at least `floors`. Raises Unavailable."""
        unknown = [scope for scope, floor in floors.items() if not floor]
        parts = [unknown[first : first + IDS_PER_READ] for first in range(0, len(unknown), IDS_PER_READ)]
        read: dict[Any, int] = {}
        for part in await asyncio.gather(*map(self._first_numbers, parts)):
            read |= part
        known = [scope for scope, floor in floors.items() if floor]
        numbers = await asyncio.gather(*[self.last_number(scope, floors[scope]) for scope in known])
        return read | dict(zip(known, numbers, strict=True))

    async def above(self, scope: Any, number: int, floor: int, limit: int) -> list[Document]:
        """Return the documents of a list with a number above `number`, ascending, given that it has reached `floor`;
        more than `limit` of them need not be all. Raises Unavailable."""
        found: list[Document] = []
        low = number
        while True:
            high = max(low, floor) + PAGE
            async with unavailable():
                page = await self._committed.find({self.scope: scope, self.number: {"$gt": low, "$lte": high}}).to_list(
                    high - low
                )
            found += sorted(page, key=lambda document: int(document[self.number]))
            if not page or found[-1][self.number] < high or high - number > limit:
                return found
            low = high

    async def above_each(self, wanted: Iterable[Above], limit: int) -> dict[Above, list[Document]]:
        """Like `above`, for each of these. Where few documents are missing, lists share reads (MAX_SHARED)."""
        parts = await asyncio.gather(*[self._above_together(part, limit) for part in shared_reads(set(wanted))])
        return {above: found for part in parts for above, found in part.items()}

    async def _above_together(self, wanted: Sequence[Above], limit: int) -> dict[Above, list[Document]]:
        if len(wanted) == 1:
            return {wanted[0]: await self.above(*wanted[0], limit)}
        ranges = [{self.scope: each.scope, self.number: {"$gt": each.number, "$lte": each.last}} for each in wanted]
        async with unavailable():
            read = await self._committed.find({"$or": ranges}).to_list(None)
        lists: dict[Any, list[Document]] = {each.scope: [] for each in wanted}
        for document in sorted(read, key=lambda document: int(document[self.number])):
            lists[document[self.scope]].append(document)
        # A list that is read from several numbers has all that lie above the lowest one.
        found = {
            each: [document for document in lists[each.scope] if each.number < document[self.number] <= each.last]
            for each in wanted
        }
        longer = [each for each in wanted if found[each] and found[each][-1][self.number] == each.last]
        reads = [self.above(each.scope, each.last, each.last, limit) for each in longer]
        for each, rest in zip(longer, await asyncio.gather(*reads), strict=True):
            found[each] += rest
        return found

    async def close(self) -> None:
        await self._appends.close()

    async def _write(
        self, documents: Sequence[Document], contention: Contention | None
    ) -> Sequence[Appended | Exception]:
        numbering = _Numbering(self, await self._load_last_numbers({document[self.scope] for document in documents}))
        if contention and contention.recent:
            # Others append to this list: a read costs less than a collision.
            await numbering.catch_up(documents[0])
        return await self._append.append(documents, numbering, contention)

    async def _load_last_numbers(self, scopes: set[Any]) -> dict[Any, int]:
        """Return the last known number of each list. Raises Unavailable."""
        if time.monotonic() - self._last_numbers_since > LAST_NUMBER_TTL:
            self._last_numbers.clear()
            self._last_numbers_since = time.monotonic()
        if scopes - self._last_numbers.keys() and len(self._last_numbers) > MAX_LAST_NUMBERS:
            self._last_numbers.clear()
        found = {scope: self._last_numbers[scope] for scope in scopes if scope in self._last_numbers}
        missing = list(scopes - found.keys())
        if missing:
            hints = await self._hints(missing)
            read = await self.last_numbers({scope: hints.get(scope, 0) for scope in missing})
            self._last_numbers |= read
            found |= read
        return found

    async def _first_numbers(self, scopes: list[Any]) -> dict[Any, int]:
        """Return the last number of each of a few lists, of which nothing is known: most of them are still empty, as
        those of a thousand new users, and one read finds that out."""
        above = {self.scope: {"$in": scopes}, self.number: {"$gt": 0, "$lte": PAGE}}
        async with unavailable():
            found = await self._committed.find(above, {self.scope: 1, self.number: 1}).limit(PAGE).to_list(PAGE)
        last = dict.fromkeys(scopes, 0)
        for document in found:
            last[document[self.scope]] = max(last[document[self.scope]], document[self.number])
        if len(found) < PAGE:
            return last
        numbers = await asyncio.gather(*[self.last_number(scope, floor) for scope, floor in last.items()])
        return dict(zip(last, numbers, strict=True))

    def remember(self, scope: Any, number: int) -> None:
        """Note the last known number of a list, for the next batch."""
        self._last_numbers[scope] = number


class _Numbering:
    """The Numbering of one batch: `last_numbers` of its lists. Those of the log may be evicted by batches of others."""

    def __init__(self, log: SequencedLog, last_numbers: dict[Any, int]) -> None:
        self._log = log
        self.scope = log.scope
        self._last_numbers = last_numbers

    def assign(self, documents: Sequence[Document]) -> None:
        next_numbers: dict[Any, int] = {}
        for document in documents:
            scope = document[self.scope]
            number = next_numbers.get(scope) or self._last_numbers[scope] + 1
            document[self._log.number] = number
            next_numbers[scope] = number + 1

    def accept(self, document: Document) -> None:
        self._advance(document[self.scope], document[self._log.number])

    async def catch_up(self, document: Document) -> None:
        scope = document[self.scope]
        self._advance(scope, await self._log.last_number(scope, self._last_numbers[scope]))

    def refuse(self, document: Document) -> Exception | None:
        return None

    def identity(self, document: Document) -> Document | None:
        return self._log.identity(document)

    def _advance(self, scope: Any, number: int) -> None:
        self._last_numbers[scope] = last = max(self._last_numbers[scope], number)
        self._log.remember(scope, last)


def shared_reads(wanted: Iterable[Above]) -> list[list[Above]]:
    """Return what is read together: as many as cover MAX_SHARED numbers, or one alone."""
    parts: list[list[Above]] = []
    numbers = MAX_SHARED
    # One that needs a read alone does not divide the others.
    for each in sorted(wanted, key=lambda above: above.width):
        numbers += each.width
        if numbers > MAX_SHARED:
            parts.append([])
            numbers = each.width
        parts[-1].append(each)
    return parts
