"""Finds in the index which messages of a conversation may match a query."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence

from bson import ObjectId

from service.search.index_store import Bucket, Conflict, Head, IndexStore
from service.search.layout import Chunk, buckets_of_prefix, chunks
from service.search.message_terms import MAX_TERM, SENDER, sender_term
from service.search.postings import Postings
from service.search.query import SearchQuery

MAX_TERMS = 4
"""Words of a query that are looked up in the index, the longest ones. The others are found in the messages."""
WINDOW = 32
"""Buckets in one read: see `find_by_ids.IDS_PER_READ`."""
MAX_UNINDEXED = 256
"""Messages, the newest ones, that are candidates because they are not indexed yet: while many are written, the index
follows some seconds behind. If more are missing, a whole conversation is being indexed."""


class ReadLimit:
    """How many documents one request may still read."""

    def __init__(self, documents: int) -> None:
        self.left = documents
        """Below 0 if more had to be read."""

    def spend(self, documents: int) -> None:
        self.left -= documents

    @property
    def is_reached(self) -> bool:
        return self.left <= 0


class CandidateFinder:
    """The messages that have all terms of a query, newest first. Whether they match is to be seen in the messages."""

    def __init__(self, store: IndexStore, query: SearchQuery, sender_id: ObjectId | None, limit: ReadLimit) -> None:
        self._store = store
        self._terms = list(dict.fromkeys(prefix[:MAX_TERM] for prefix in query.prefixes))[:MAX_TERMS]
        if sender_id:
            self._terms.append(sender_term(sender_id))
        self._limit = limit

    async def read_first(self, heads: Collection[Head]) -> dict[Bucket, Postings]:
        """Read what the newest messages of these conversations need, together."""
        wanted = [
            bucket
            for head in heads
            for window in self._windows(head, None)[:1]
            for _, buckets in window
            for bucket in buckets
        ]
        return await self._read(wanted)

    async def find(
        self, head: Head, last: int, before: int | None, known: Mapping[Bucket, Postings]
    ) -> AsyncIterator[tuple[list[int], int]]:
        """Yield the seqs of candidates below `before`, in descending order, in batches that may be empty, each with the
        seq from which on all candidates have been yielded.

        `last`: the last seq of the conversation. `known`: buckets that have been read already. Raises Conflict if the
        index changes meanwhile, Unavailable.
        """
        newest = range(last if before is None else min(last, before - 1), max(head.indexed, last - MAX_UNINDEXED), -1)
        if newest:
            yield list(newest), head.indexed + 1
        if before is None or head.tail_before + 1 < before:
            yield self._matches([head.tail], head.tail_before, before), head.tail_before + 1
        for window in self._windows(head, before):
            missing = [bucket for _, buckets in window for bucket in buckets if bucket not in known]
            found = {**known, **await self._read(missing)}
            for chunk, buckets in window:
                if any(bucket not in found for bucket in buckets):
                    # It has become part of a larger one.
                    raise Conflict
                yield self._matches([found[bucket] for bucket in buckets], chunk.before, before), chunk.before + 1

    async def _read(self, buckets: Sequence[Bucket]) -> dict[Bucket, Postings]:
        self._limit.spend(len(buckets))
        return await self._store.read(buckets)

    def _windows(self, head: Head, before: int | None) -> list[list[tuple[Chunk, list[Bucket]]]]:
        """Return the chunks with messages below `before`, newest first, each with the buckets that are needed of it,
        in groups of about WINDOW buckets."""
        windows: list[list[tuple[Chunk, list[Bucket]]]] = []
        size = WINDOW
        for chunk in chunks(head.blocks):
            if before is not None and chunk.before + 1 >= before:
                continue
            buckets = self._buckets(head.id, chunk)
            if size + len(buckets) > WINDOW:
                windows.append([])
                size = 0
            windows[-1].append((chunk, buckets))
            size += len(buckets)
        return windows

    def _buckets(self, conversation_id: ObjectId, chunk: Chunk) -> list[Bucket]:
        numbers = {number for term in self._terms for number in buckets_of_prefix(term, chunk.level)}
        return [Bucket(conversation_id, chunk, number) for number in sorted(numbers)]

    def _matches(self, postings: Sequence[Postings], chunk_before: int, before: int | None) -> list[int]:
        """Return the seqs of the messages that have all terms, of one chunk, in descending order."""
        found: set[int] | None = None
        for term in self._terms:
            exact = term.startswith(SENDER)
            having = set[int]().union(*(each.matching(term, exact=exact) for each in postings))
            found = having if found is None else found & having
            if not found:
                return []
        seqs = (chunk_before + 1 + offset for offset in found or ())
        return sorted((seq for seq in seqs if before is None or seq < before), reverse=True)
