"""Up-to-date counters for reads: the stored ones may lag a moment behind the messages."""

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping

from bson import ObjectId

from service.chat import events
from service.chat.counter_update import CounterUpdate
from service.chat.message_store import MessageStore
from service.datastores.mongo import Document

Positions = Callable[[Mapping[str | None, Collection[str]]], Awaitable[Mapping[str, int]]]
"""`positions(topics_by_user)` returns the last revs that have been published lately to the users; of the topics with
None, those that this process knows."""


class CounterReader:
    """Raises the counters of conversation documents to what has been published.

    Every message is published before it is acknowledged, and Redis keeps its rev longer than its counters wait to be
    written. So a client that reads after an acknowledgement, on any process, finds the message counted.
    """

    def __init__(self, messages: MessageStore, positions: Positions) -> None:
        self._messages = messages
        self._positions = positions

    async def refresh(self, documents: Iterable[Document], user_id: str | None) -> None:
        """Update the counters (see ConversationStore) and `reads` of documents that lag behind, in place.

        The documents must have `last` and `last_rev`; they are conversations of the user. Raises Unavailable.
        """
        await self.refresh_each({user_id: documents})

    async def refresh_each(self, documents_by_user: Mapping[str | None, Iterable[Document]]) -> None:
        """Like `refresh`, for several users at once, who may have documents in common."""
        topics: dict[str | None, dict[str, Document]] = {
            user_id: {events.TOPIC + str(document["_id"]): document for document in documents}
            for user_id, documents in documents_by_user.items()
        }
        revs = await self._positions(topics)
        for found in topics.values():
            for topic, document in found.items():
                if revs[topic] > document["last_rev"]:
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
        document["last_mention"] = max(document.get("last_mention", 0), update.last_mention)
        reads: dict[str, int] = document.setdefault("reads", {})
        for user_id, seq in update.reads.items():
            reads[user_id] = max(reads.get(user_id, 0), seq)
