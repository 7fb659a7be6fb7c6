"""The heads of recently written conversations, kept in this process's memory."""

import time
from collections import OrderedDict
from collections.abc import Callable, Collection

from bson import ObjectId

from service.chat import events
from service.chat.conversation_head import ConversationHead
from service.chat.conversation_store import ConversationStore
from service.chat.message_store import MessageStore
from service.chat.system_message import is_system

MAX_CACHED_PARTICIPANTS = 200_000
"""Participants of all cached conversations together: some thirty megabytes. The least recently used conversations are
evicted."""
MAX_AGE = 30.0
"""Seconds after which the participants are compared with the database all the same: processes of earlier versions
change groups without appending a message."""


class HeadCache:
    """Caches conversation heads for the append.

    Neither numbers nor participants need to be read before a write. Every change of a group's participants takes a
    number like any message (see `system_message`), before it is acknowledged, and so does a block between the two users
    of a direct conversation (see DirectBlocks). So a writer that does not know of one takes a number that is taken, the
    unique index refuses it, and what the writer then reads shows the change.

    Loads may run at the same time, but only one for each conversation.
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

    async def load(
        self, conversation_ids: Collection[ObjectId], changed: Collection[ObjectId] = ()
    ) -> dict[ObjectId, ConversationHead]:
        """Return the heads of those conversations that exist, by id.

        `changed`: those of them whose participants are to be read now. Raises Unavailable.
        """
        # Batches of other conversations load at the same time, and may evict heads from the cache.
        found = {key: self._heads[key] for key in conversation_ids if key in self._heads}
        oldest = time.monotonic() - MAX_AGE
        await self.refresh({key: head for key, head in found.items() if key in changed or head.read_at < oldest})
        missing = [key for key in conversation_ids if key not in found]
        if missing:
            read_at = time.monotonic()
            for key, head in (await self._conversations.heads(missing)).items():
                head.read_at = read_at
                found[key] = head
                self._keep(key, head)
        for key, head in found.items():
            if key in self._heads:
                self._heads.move_to_end(key)
            if self._last_known(events.TOPIC + str(key)) > head.rev:
                await self.catch_up(key, head)
        while self._participant_count > MAX_CACHED_PARTICIPANTS:
            self._evict(next(iter(self._heads)))
        return found

    async def refresh(self, heads: dict[ObjectId, ConversationHead]) -> None:
        """Bring the participants of `heads` up to date, in place. Raises Unavailable.

        Reads versions first: the list of a group of a thousand is read only if it has changed.
        """
        if not heads:
            return
        read_at = time.monotonic()
        current = await self._conversations.head_versions(heads)
        changed = [key for key, head in heads.items() if key in current and current[key].version != head.version]
        fresh = await self._conversations.heads(changed) if changed else {}
        for key, head in heads.items():
            cached = self._heads.get(key) is head
            if cached:
                self._evict(key)
            if key in fresh:
                head.take_membership(fresh[key])
            head.read_at = read_at
            if cached:
                self._keep(key, head)

    async def catch_up(self, conversation_id: ObjectId, head: ConversationHead) -> None:
        """Advance `head` over what other processes have stored. Raises Unavailable."""
        tail, barrier = await self._messages.tail_and_barrier(conversation_id, head.seq, head.rev)
        if barrier or any(map(is_system, tail)):
            # Before the numbers: if this fails, the next write must not take a number behind the change.
            await self.refresh({conversation_id: head})
        for document in tail:
            head.advance(document["seq"], document["rev"])
        if barrier and barrier != head.barrier:
            # Left by an interrupted change of a block. The head was read after it.
            await self._messages.remove_barrier(conversation_id, barrier)

    def _keep(self, key: ObjectId, head: ConversationHead) -> None:
        self._evict(key)
        self._heads[key] = head
        self._participant_count += len(head.participants)

    def _evict(self, key: ObjectId) -> None:
        head = self._heads.pop(key, None)
        if head is not None:
            self._participant_count -= len(head.participants)
