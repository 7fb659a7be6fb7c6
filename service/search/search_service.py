"""The search for messages: of the candidates that the index names, those that match and that the caller may see."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from bson import ObjectId

from service.chat.conversation_lists import activity_of
from service.chat.conversation_store import ConversationStore, seq_of
from service.chat.counter_reader import CounterReader
from service.chat.members import start_of
from service.chat.message_store import MessageStore
from service.common.cursor import CursorFormat
from service.common.errors import NotFound
from service.common.page_size import fit
from service.common.times import now
from service.datastores.mongo import Document
from service.search.candidates import ReadLimit
from service.search.conversation_search import Bounds, ConversationSearch, Match, hit_of, newest_first
from service.search.cursor import NOWHERE, START, Hit, Place, SearchPosition
from service.search.index_store import Bucket, Head, IndexStore
from service.search.models import MessageSearch
from service.search.postings import Postings
from service.search.query import SearchQuery

MAX_READS = 120
"""Documents that one request reads, roughly, beside the list of conversations: 15 to 25 ms of the embedded database."""
MAX_FIRST_LISTED = 512
"""Conversations that are listed for the first page: those of which a message was stored a moment ago are found among
them."""
MAX_LISTED = 120
"""Conversations that are listed for a page that continues."""
FIRST_GROUP = 4
MAX_GROUP = 32
"""Conversations whose indexes are read together; fewer at first, because the newest ones may have enough."""
MAX_MOVED = 16
MAX_MOVED_READS = 100
"""Conversations that are searched once more because they have been active since the last page, and documents that are
read for that, roughly."""
COUNTER_LAG = timedelta(seconds=10)
"""How far the stored time of the last activity may lag behind."""
LAST_ID = ObjectId(b"\xff" * 12)

POSITIONS = CursorFormat("messages_of_conversation", int)
Page = tuple[list[dict[str, Any]], str | None]


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
        search = ConversationSearch(self._messages, self._store, query, sender, limit)
        if request.conversation_id is None:
            return await self._search_all(search, ObjectId(user_id), request)
        return await self._search_one(search, ObjectId(user_id), ObjectId(request.conversation_id), request)

    async def _search_one(
        self, search: ConversationSearch, user_id: ObjectId, conversation_id: ObjectId, request: MessageSearch
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
        page = fit(items)
        below = visible[len(page) - 1].message["seq"] if len(page) < len(items) else found.below
        return page, POSITIONS.encode((below,)) if below is not None else None

    async def _search_all(self, search: ConversationSearch, user_id: ObjectId, request: MessageSearch) -> Page:
        if request.before is not None:
            position = SearchPosition.parse(request.before)
        else:
            position = SearchPosition(START, START, request.limit)
        began = now()
        # Anybody can write a cursor: what it says of other messages must not even change what the next one says.
        best = await search.reload(await self._visible(position.pending, user_id))
        if position.place != START:
            best = await self._search_moved(search.limited(MAX_MOVED_READS), user_id, position, best)
        position, best, ended = await self._search_conversations(search, user_id, position, best)
        # What has not been searched yet is at most as new as the conversations that come next.
        final = best if ended else [match for match in best if match.place[0] > position.place[0] > START[0]]
        # Again, because the messages may have been stored after the user was removed.
        seen = set(await self._visible(map(hit_of, final), user_id))
        visible = [match for match in final if hit_of(match) in seen]
        items = [_as_json(self._messages, match, user_id) for match in visible]
        page = fit(items)
        if len(page) < len(items):
            following = SearchPosition(visible[len(page) - 1].place, START, request.limit)
        elif not ended and len(final) < position.wanted:
            pending = [hit_of(match) for match in best[len(final) :]]
            following = position._replace(wanted=position.wanted - len(final), pending=pending, since=began)
        elif len(final) < position.wanted:
            return page, None
        else:
            following = SearchPosition(best[-1].place, START, request.limit)
        return page, following.encode()

    async def _search_conversations(
        self, search: ConversationSearch, user_id: ObjectId, position: SearchPosition, best: list[Match]
    ) -> tuple[SearchPosition, list[Match], bool]:
        """Search conversations from `position` on, the most recently active first.

        Returns where it has stopped, the newest matches, as many as are wanted, and whether no others can be newer.
        """
        if position.place == START:
            limit = MAX_FIRST_LISTED
            listed = await self._conversations.lists.counters(user_id, limit)
            await self._counters.refresh(listed, str(user_id))
            # The stored times may lag behind: a conversation with a message of just now is not to be missed.
            listed.sort(key=activity_of, reverse=True)
            places = [activity_of(conversation) for conversation in listed]
        else:
            limit = MAX_LISTED
            listed = await self._conversations.lists.counters(user_id, limit, position.place)
            # Taken before the refresh, which moves conversations with new messages to another place.
            places = [activity_of(conversation) for conversation in listed]
            await self._counters.refresh(listed, str(user_id))
        first, size = 0, FIRST_GROUP
        while first < len(listed):
            # Each has a head, and most of them a bucket.
            size = max(1, min(size, search.limit.left // 2))
            group = listed[first : first + size]
            heads, known = await self._read_first(search, group)
            for conversation, place in zip(group, places[first:], strict=False):
                if len(best) == position.wanted and best[-1].place[0] > place[0]:
                    return position, best, True
                below = position.inside[1] if position.inside[0] == conversation["_id"] else None
                before = _before(position, conversation)
                bounds = Bounds(start_of(conversation, user_id), below, seq_of(conversation))
                found = await search.matches(heads[conversation["_id"]], bounds, before, position.wanted, known)
                best = _newest([*best, *found.matches], position.wanted)
                if found.below is not None and len(found.matches) < position.wanted:
                    return position._replace(inside=(conversation["_id"], found.below)), best, False
                position = position._replace(place=place, inside=NOWHERE)
                if search.limit.left < 0:
                    return position, best, False
            if search.limit.left == 0:
                return position, best, False
            first += size
            size = min(2 * size, MAX_GROUP)
        return position, best, len(listed) < limit

    async def _search_moved(
        self, search: ConversationSearch, user_id: ObjectId, position: SearchPosition, best: list[Match]
    ) -> list[Match]:
        """Search the conversations that had their turn to come, but have been active since the last page: they are
        among the most recent ones now. Returns the newest matches."""
        group = await self._conversations.lists.counters(user_id, MAX_MOVED, since=position.since - COUNTER_LAG)
        await self._counters.refresh(group, str(user_id))
        heads, known = await self._read_first(search, group)
        for conversation in group:
            bounds = Bounds(start_of(conversation, user_id), None, seq_of(conversation))
            before = _before(position, conversation)
            found = await search.matches(heads[conversation["_id"]], bounds, before, position.wanted, known)
            best = _newest([*best, *found.matches], position.wanted)
            if search.limit.is_reached:
                break
        return best

    async def _read_first(
        self, search: ConversationSearch, group: Sequence[Document]
    ) -> tuple[dict[ObjectId, Head], dict[Bucket, Postings]]:
        """Read together what the search in each of these conversations begins with."""
        heads = await self._store.heads([conversation["_id"] for conversation in group])
        search.limit.spend(len(group))
        return heads, await search.finder.read_first(heads.values())

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


def _before(position: SearchPosition, conversation: Document) -> Place:
    """Return the place before which the messages of a conversation are looked for; START: all are.

    On a page that continues, later ones than its place belong to the pages before.
    """
    if position.place == START or activity_of(conversation)[0] <= position.place[0]:
        return position.before
    last = position.place[0], LAST_ID
    return last if position.before == START else min(last, position.before)


def _newest(found: Iterable[Match], wanted: int) -> list[Match]:
    """Return the newest of the matches, each once, the newest first."""
    return sorted({hit_of(match): match for match in found}.values(), key=newest_first)[:wanted]


def _as_json(messages: MessageStore, match: Match, user_id: ObjectId) -> dict[str, Any]:
    message = messages.as_json(match.message, str(user_id))
    highlights = [list(span) for span in match.highlights]
    return {"message": message, "conversation_id": message["conversation_id"], "highlights": highlights}
