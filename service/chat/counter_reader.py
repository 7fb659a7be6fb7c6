"""Up-to-date counters for reads: the stored ones may lag a moment behind the messages."""

from collections.abc import Callable, Iterable

from bson import ObjectId

from service.chat import events
from service.chat.counter_update import CounterUpdate
from service.chat.message_store import MessageStore
from service.datastores.mongo import Document


class CounterReader:
    """Raises the counters of conversation documents to what this process has seen events of.

    Every process sees the event of every message, and of its own before it acknowledges them. So a client that reads
    after an acknowledgement finds its message counted, although the stored counters are written later.
    """

    def __init__(self, messages: MessageStore, last_known: Callable[[str], int]) -> None:
        """`last_known(topic)` returns the last rev that this process has seen an event of, or 0."""
        self._messages = messages
        self._last_known = last_known

    async def refresh(self, documents: Iterable[Document]) -> None:
        """Update the counters (see ConversationStore) and `reads` of documents that lag behind, in place.

        The documents must have `last` and `last_rev`. Raises Unavailable.
        """
        for document in documents:
            if self._last_known(events.TOPIC + str(document["_id"])) > document["last_rev"]:
                await self.refresh_from_messages(document)

    async def refresh_from_messages(self, document: Document) -> None:
        """Like `refresh`, for one document, and with all that any process has stored. Raises Unavailable."""
        conversation_id: ObjectId = document["_id"]
        tail = await self._messages.tail(conversation_id, document["last"]["seq"], document["last_rev"])
        update = CounterUpdate.from_messages(tail)
        document["last_rev"] = max(document["last_rev"], update.rev)
        if update.seq > document["last"]["seq"]:
            document["last"] = {"seq": update.seq, "id": update.message_id}
            document["last_activity"] = update.at
        if "last_deleted" in document:
            document["last_deleted"] = max(document["last_deleted"], update.last_deleted)
        reads: dict[str, int] = document.setdefault("reads", {})
        for user_id, seq in update.reads.items():
            reads[user_id] = max(reads.get(user_id, 0), seq)
