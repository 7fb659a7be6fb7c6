"""Conversations as they are now: their documents may be a moment behind their messages."""

from collections.abc import Callable, Iterable

from bson import ObjectId

from service.chat import events
from service.chat.message_store import MessageStore
from service.chat.write_behind import touch_of
from service.datastores.mongo import Document


class CounterReader:
    """Brings the numbers of a conversation that was read up to what this process has heard of.

    Every process hears of every message, its own among them before they are acknowledged. So whoever is told that
    their message is stored, and looks, sees it counted.
    """

    def __init__(self, messages: MessageStore, heard: Callable[[str], int]) -> None:
        """`heard(topic)`: the last number of which this process has been told; 0 where of none."""
        self._messages = messages
        self._heard = heard

    async def refresh(self, documents: Iterable[Document]) -> None:
        """Raise `last`, `last_rev`, `last_activity` and `reads` of those that are behind, in place. They need the first
        two. Raises Unavailable."""
        for document in documents:
            if self._heard(events.TOPIC + str(document["_id"])) > document["last_rev"]:
                await self._raise(document)

    async def _raise(self, document: Document) -> None:
        conversation_id: ObjectId = document["_id"]
        touch = touch_of(await self._messages.tail(conversation_id, document["last"]["seq"], document["last_rev"]))
        document["last_rev"] = max(document["last_rev"], touch.rev)
        if touch.seq > document["last"]["seq"]:
            document["last"] = {"seq": touch.seq, "id": touch.message_id}
            document["last_activity"] = touch.at
        reads: dict[str, int] = document.setdefault("reads", {})
        for user_id, seq in touch.reads.items():
            reads[user_id] = max(reads.get(user_id, 0), seq)
