"""The search for messages: of the candidates that the index names, those that match and that the caller may see."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from bson import ObjectId

from service.chat.barrier import is_barrier
from service.chat.conversation_lists import activity_of
from service.chat.conversation_store import ConversationStore, seq_of
from service.chat.counter_reader import CounterReader
from service.chat.members import start_of
from service.chat.message_store import MessageStore
from service.common.cursor import CursorFormat
from service.common.errors import NotFound, Unavailable
from service.common.page_size import fitting
from service.datastores.mongo import Document
from service.search.candidates import CandidateFinder, ReadLimit
from service.search.cursor import NOWHERE, START, Hit, Place, SearchPosition
from service.search.index_store import Bucket, Conflict, Head, IndexStore
from service.search.models import MessageSearch
from service.search.postings import Postings
from service.search.query import SearchQuery, Span

MAX_READS = 200
"""Documents that one request reads, roughly: 40 ms of the embedded database."""
FIRST_GROUP = 4
MAX_GROUP = 16
"""Conversations whose indexes are read together; fewer at first, because the newest ones may have enough."""
BATCH = 16
"""Candidates that are read together."""
MAX_ATTEMPTS = 10

POSITIONS = CursorFormat("messages_of_conversation", int)
Page = tuple[list[dict[str, Any]], str | None]


class Match(NamedTuple):
    """A message that matches."""

    message: Document
    highlights: list[Span]

    @property
    def place(self) -> Place:
        return _place_of(self.message)


class Bounds(NamedTuple):
    """Which messages of a conversation are searched: those with `start` < seq < `below`. `last`: its last seq."""

    start: int
    below: int | None
    last: int


class Found(NamedTuple):
    """Matches in a conversation, newest first. `below`: the seq down to which it was searched; None: to its end."""

    matches: list[Match]
    below: int | None


class SearchService:
    """Searches the index, and returns what is in the messages: what the index still knows of an earlier content is not
    found. New messages are read until they are indexed (see `MAX_UNINDEXED`). Whether the caller may see a message is
    read after the message, as for any other reader of messages.

    Every request reads at most about MAX_READS documents; `next` leads on from there.
    """

    def __init__(
        self, conversations: ConversationStore, messages: MessageStore, store: IndexStore, counters: CounterReader
    ) -> None:
        self._conversations = conversations
        self._messages = messages
        self._store = store
        self._counters = counters

    async def search(self, user_id: str, request: MessageSearch) -> Page:
        """Return a page of messages with their highlights, and the cursor of the next page.

        Raises ValidationFailed (`q`, `before`), NotFound (the conversation), Unavailable.
        """
        query = SearchQuery.parse(request.q)
        sender = ObjectId(request.sender_id) if request.sender_id else None
        limit = ReadLimit(MAX_READS)
        search = _Search(self._messages, self._store, query, sender, limit)
        if request.conversation_id is None:
            return await self._search_all(search, ObjectId(user_id), request)
        return await self._search_one(search, ObjectId(user_id), ObjectId(request.conversation_id), request)

    async def _search_one(
        self, search: "_Search", user_id: ObjectId, conversation_id: ObjectId, request: MessageSearch
    ) -> Page:
        below = POSITIONS.parse(request.before)[0] if request.before is not None else None
        conversation = (await self._conversations.get_many([conversation_id], user_id)).get(conversation_id)
        if conversation is None:
            raise NotFound
        await self._counters.refresh([conversation], str(user_id))
        head = (await self._store.heads([conversation_id]))[conversation_id]
        bounds = Bounds(start_of(conversation, user_id), below, seq_of(conversation))
        found = await search.matches(head, bounds, START, request.limit, {})
        # Not before: the messages may have been stored after the user was removed.
        start = await self._conversations.check_participant(conversation_id, user_id)
        visible = [match for match in found.matches if match.message["seq"] > start]
        items = [_as_json(self._messages, match, user_id) for match in visible]
        count = fitting(items)
        below = visible[count - 1].message["seq"] if count < len(items) else found.below
        return items[:count], POSITIONS.encode((below,)) if below is not None else None

    async def _search_all(self, search: "_Search", user_id: ObjectId, request: MessageSearch) -> Page:
        if request.before is not None:
            position = SearchPosition.parse(request.before)
        else:
            position = SearchPosition(START, START, request.limit)
        # Anybody can write a cursor: what it says of other messages must not even change what the next one says.
        best = await search.reload(await self._visible(position.pending, user_id))
        position, best, ended = await self._search_conversations(search, user_id, position, best)
        # What has not been searched yet is at most as new as the conversations that come next.
        final = best if ended else [match for match in best if match.place[0] > position.place[0] > START[0]]
        # Again, because the messages may have been stored after the user was removed.
        seen = set(await self._visible(map(_hit_of, final), user_id))
        visible = [match for match in final if _hit_of(match) in seen]
        items = [_as_json(self._messages, match, user_id) for match in visible]
        count = fitting(items)
        if count < len(items):
            following = SearchPosition(visible[count - 1].place, START, request.limit)
        elif not ended and len(final) < position.wanted:
            pending = [_hit_of(match) for match in best[len(final) :]]
            following = position._replace(wanted=position.wanted - len(final), pending=pending)
        elif len(final) < position.wanted:
            return items, None
        else:
            following = SearchPosition(best[-1].place, START, request.limit)
        return items[:count], following.encode()

    async def _search_conversations(
        self, search: "_Search", user_id: ObjectId, position: SearchPosition, best: list[Match]
    ) -> tuple[SearchPosition, list[Match], bool]:
        """Search conversations from `position` on, the most recently active first.

        Returns where it has stopped, the newest matches, as many as are wanted, and whether no others can be newer.
        """
        size = FIRST_GROUP
        while True:
            place = position.place if position.place != START else None
            group = await self._conversations.lists.page(user_id, size, place)
            # Taken before the refresh, which moves conversations with new messages to another place.
            places = [activity_of(conversation) for conversation in group]
            await self._counters.refresh(group, str(user_id))
            heads = await self._store.heads([conversation["_id"] for conversation in group])
            search.limit.spend(2 * len(group))
            known = await search.finder.read_first(heads.values())
            for conversation, activity in zip(group, places, strict=True):
                if len(best) == position.wanted and best[-1].place[0] > activity[0]:
                    return position, best, True
                key, below = position.inside
                bounds = Bounds(
                    start_of(conversation, user_id),
                    below if key == conversation["_id"] else None,
                    seq_of(conversation),
                )
                found = await search.matches(
                    heads[conversation["_id"]], bounds, position.before, position.wanted, known
                )
                best = sorted([*best, *found.matches], key=_newest_first)[: position.wanted]
                if found.below is not None and len(found.matches) < position.wanted:
                    return position._replace(inside=(conversation["_id"], found.below)), best, False
                position = position._replace(place=activity, inside=NOWHERE)
                if search.limit.is_reached:
                    return position, best, False
            if len(group) < size:
                return position, best, True
            size = min(2 * size, MAX_GROUP)

    async def _visible(self, hits: Iterable[Hit], user_id: ObjectId) -> list[Hit]:
        """Return those that the user sees: what they have read was stored before this call."""
        hits = list(hits)
        ids = {conversation_id for conversation_id, _ in hits}
        conversations = await self._conversations.get_many(ids, user_id) if ids else {}
        return [
            (conversation_id, seq)
            for conversation_id, seq in hits
            if (conversation := conversations.get(conversation_id)) and seq > start_of(conversation, user_id)
        ]


class _Search:
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
        return sorted(found, key=_newest_first)

    async def _older(self, conversation_id: ObjectId, seqs: Sequence[int], before: Place) -> list[int]:
        """Return the seqs, given in descending order, of the messages that are before a place in time."""
        first, last = 0, len(seqs)
        while first < last:
            middle = (first + last) // 2
            self.limit.spend(1)
            stored = await self._messages.at(conversation_id, seqs[middle : middle + 1])
            if stored and _place_of(stored[0]) >= before:
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


def _newest_first(match: Match) -> tuple[float, int]:
    moment, id = match.place
    return -moment.timestamp(), -int.from_bytes(id.binary)


def _place_of(message: Document) -> Place:
    return message["created_at"], message["_id"]


def _hit_of(match: Match) -> Hit:
    return match.message["conversation_id"], match.message["seq"]


def _as_json(messages: MessageStore, match: Match, user_id: ObjectId) -> dict[str, Any]:
    message = messages.as_json(match.message, str(user_id))
    highlights = [list(span) for span in match.highlights]
    return {"message": message, "conversation_id": message["conversation_id"], "highlights": highlights}
