"""The search in one conversation: of the candidates that the index names, the messages that match."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from bson import ObjectId

from service.chat.barrier import is_barrier
from service.chat.message_store import MessageStore
from service.common.errors import Unavailable
from service.datastores.mongo import Document
from service.search.candidates import CandidateFinder, ReadLimit
from service.search.cursor import START, Hit, Place
from service.search.index_store import Bucket, Conflict, Head, IndexStore
from service.search.postings import Postings
from service.search.query import SearchQuery, Span

BATCH = 16
"""Candidates that are read together."""
MAX_ATTEMPTS = 10


class Match(NamedTuple):
    """A message that matches."""

    message: Document
    highlights: list[Span]

    @property
    def place(self) -> Place:
        return place_of(self.message)


class Bounds(NamedTuple):
    """Which messages of a conversation are searched: those with `start` < seq < `below`. `last`: its last seq."""

    start: int
    below: int | None
    last: int


class Found(NamedTuple):
    """Matches in a conversation, newest first. `below`: the seq down to which it was searched; None: to its end."""

    matches: list[Match]
    below: int | None


class ConversationSearch:
    """One search: what it is for, and how much it may still read."""

    def __init__(
        self,
        messages: MessageStore,
        store: IndexStore,
        query: SearchQuery,
        sender_id: ObjectId | None,
        limit: ReadLimit,
    ) -> None:
        self._messages = messages
        self._store = store
        self._query = query
        self._sender = sender_id
        self.limit = limit
        self.finder = CandidateFinder(store, query, sender_id, limit)

    def limited(self, documents: int) -> "ConversationSearch":
        """Return the same search with another limit."""
        return ConversationSearch(self._messages, self._store, self._query, self._sender, ReadLimit(documents))

    async def matches(
        self,
        head: Head,
        bounds: Bounds,
        before: Place,
        wanted: int,
        known: Mapping[Bucket, Postings],
    ) -> Found:
        """Return the newest matches of a conversation within `bounds` that are before a place in time.

        Stops at `wanted` matches, or if the limit is reached. Raises Unavailable.
        """
        found: list[Match] = []
        start, below, last = bounds
        for _ in range(MAX_ATTEMPTS):
            try:
                async for seqs, floor in self.finder.find(head, last, below, known):
                    candidates = [seq for seq in seqs if seq > start]
                    if before != START:
                        candidates = await self._older(head.id, candidates, before)
                    while candidates:
                        batch, candidates = candidates[:BATCH], candidates[BATCH:]
                        for match in await self._read(head.id, batch):
                            below = match.message["seq"]
                            if before == START or match.place < before:
                                found.append(match)
                            if len(found) == wanted:
                                return Found(found, below)
                        below = batch[-1]
                        if self.limit.is_reached:
                            return Found(found, below)
                    below = floor
                    if floor <= start + 1:
                        return Found(found, None)
                    if self.limit.is_reached:
                        return Found(found, below)
            except Conflict:
                # The index has changed since the head was read.
                head, known = (await self._store.heads([head.id]))[head.id], {}
                continue
            return Found(found, None)
        raise Unavailable("The search index changes too fast.")

    async def reload(self, hits: Sequence[Hit]) -> list[Match]:
        """Return the messages that a previous page has found, if they still match, the newest first."""
        seqs: dict[ObjectId, list[int]] = {}
        for conversation_id, seq in hits:
            seqs.setdefault(conversation_id, []).append(seq)
        found = [match for each in seqs for match in await self._read(each, seqs[each])]
        return sorted(found, key=newest_first)

    async def _older(self, conversation_id: ObjectId, seqs: Sequence[int], before: Place) -> list[int]:
        """Return the seqs, given in descending order, of the messages that are before a place in time."""
        first, last = 0, len(seqs)
        while first < last:
            middle = (first + last) // 2
            self.limit.spend(1)
            stored = await self._messages.at(conversation_id, seqs[middle : middle + 1])
            if stored and place_of(stored[0]) >= before:
                first = middle + 1
            else:
                last = middle
        return list(seqs[first:])

    async def _read(self, conversation_id: ObjectId, seqs: Sequence[int]) -> list[Match]:
        """Return those of the messages that match, the newest first."""
        self.limit.spend(len(seqs))
        found: list[Match] = []
        if list(seqs) == list(range(seqs[0], seqs[-1] - 1, -1)):
            messages = [
                each for each in await self._messages.range(conversation_id, seqs[-1], seqs[0]) if not is_barrier(each)
            ]
        else:
            messages = await self._messages.at(conversation_id, seqs)
        for message in messages:
            if self._sender is None or message["sender_id"] == self._sender:
                highlights = self._query.highlights(message["content"]) if message["content"] else None
                if highlights is not None:
                    found.append(Match(message, highlights))
                # A long message takes some milliseconds: others have their turn.
                await asyncio.sleep(0)
        return sorted(found, key=lambda match: -int(match.message["seq"]))


def newest_first(match: Match) -> tuple[float, int]:
    moment, id = match.place
    return -moment.timestamp(), -int.from_bytes(id.binary)


def place_of(message: Document) -> Place:
    return message["created_at"], message["_id"]


def hit_of(match: Match) -> Hit:
    return match.message["conversation_id"], match.message["seq"]
