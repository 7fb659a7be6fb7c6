"""The heads of recently written conversations, kept in this process's memory."""

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping

from bson import ObjectId

from service.chat import events
from service.chat.conversation_store import ConversationHead, ConversationStore
from service.chat.message_store import MessageStore

MAX_CACHED_PARTICIPANTS = 200_000
"""Participants of all cached conversations together: some thirty megabytes. The least recently used conversations are
evicted."""


class HeadCache:
    """Caches conversation heads for the append.

    A load says how recent the participants must be. If the cached head was read earlier, only the conversation's
    version is read, and the cached head counts if it is of that version: so the list of a group of a thousand is read
    once, not with each message. The numbers need no such check: they are hints, and the unique indexes reject a number
    that is taken. Loads may run at the same time, but only one for each conversation.
    """

    def __init__(
        self, conversations: ConversationStore, messages: MessageStore, last_known: Callable[[str], int]
    ) -> None:
        """`last_known(topic)` returns the last rev that this process has seen an event of, or 0."""
        self._conversations = conversations
        self._messages = messages
        self._last_known = last_known
        self._heads: OrderedDict[ObjectId, ConversationHead] = OrderedDict()
        self._participant_count = 0

    async def load(self, not_before: Mapping[ObjectId, float]) -> dict[ObjectId, ConversationHead]:
        """Return the heads of those conversations that exist, by id.

        `not_before`: for each conversation, the time by the monotonic clock from which its participants must be read.
        Raises Unavailable.
        """
        # Batches of other conversations load at the same time, and may evict heads from the cache.
        found = {key: self._heads[key] for key in not_before if key in self._heads}
        read_at = time.monotonic()
        stale = [key for key, head in found.items() if head.read_at < not_before[key]]
        current = await self._conversations.head_versions(stale) if stale else {}
        for key in stale:
            if key not in current or current[key].version != found[key].version:
                del found[key]
                self._evict(key)
            else:
                found[key].read_at = read_at
        missing = [key for key in not_before if key not in found]
        read_at = time.monotonic()
        for key, head in (await self._conversations.heads(missing) if missing else {}).items():
            self._evict(key)
            self._heads[key] = found[key] = head
            head.read_at = read_at
            self._participant_count += len(head.participants)
        for key, head in found.items():
            if key in self._heads:
                self._heads.move_to_end(key)
            if key in current:
                head.advance(current[key].seq, current[key].rev)
            if self._last_known(events.TOPIC + str(key)) > head.rev:
                await self.catch_up(key, head)
        while self._participant_count > MAX_CACHED_PARTICIPANTS:
            self._evict(next(iter(self._heads)))
        return found

    async def catch_up(self, conversation_id: ObjectId, head: ConversationHead) -> None:
        """Advance `head` over what other processes have stored. Raises Unavailable."""
        for document in await self._messages.tail(conversation_id, head.seq, head.rev):
            head.advance(document["seq"], document["rev"])

    def _evict(self, key: ObjectId) -> None:
        head = self._heads.pop(key, None)
        if head is not None:
            self._participant_count -= len(head.participants)
