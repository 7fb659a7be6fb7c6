"""What this process remembers of the conversations that are written to: who takes part, and the last numbers."""

from collections import OrderedDict
from collections.abc import Callable, Collection

from bson import ObjectId

from service.chat import events
from service.chat.conversation_store import ConversationStore, Place
from service.chat.message_store import MessageStore

MAX_MEMBERS = 200_000
"""Participants remembered, of all conversations together: some thirty megabytes."""


class HeadCache:
    """The places of conversations, for the append.

    Who takes part is never taken from memory alone: each time the conversation's version is read, and memory serves
    only where it is of that version. So a list of a thousand is read once, and not with every message. The numbers
    need no such care: they are hints, and the append makes sure of them.
    """

    def __init__(self, conversations: ConversationStore, messages: MessageStore, heard: Callable[[str], int]) -> None:
        """`heard(topic)`: the last number of which this process has been told; 0 where of none."""
        self._conversations = conversations
        self._messages = messages
        self._heard = heard
        self._places: OrderedDict[ObjectId, Place] = OrderedDict()
        self._members = 0

    async def of(self, conversation_ids: Collection[ObjectId]) -> dict[ObjectId, Place]:
        """Those of the conversations that exist. Raises Unavailable."""
        known = [key for key in conversation_ids if key in self._places]
        stands = await self._conversations.stands(known) if known else {}
        for key in known:
            if key not in stands or stands[key].version != self._places[key].version:
                self._forget(key)
        missing = [key for key in conversation_ids if key not in self._places]
        for key, place in (await self._conversations.places(missing) if missing else {}).items():
            self._forget(key)
            self._places[key] = place
            self._members += len(place.participants)
        found = {key: self._places[key] for key in conversation_ids if key in self._places}
        for key, place in found.items():
            self._places.move_to_end(key)
            if key in stands:
                place.reach(stands[key].seq, stands[key].rev)
            if self._heard(events.TOPIC + str(key)) > place.rev:
                await self.catch_up(key, place)
        while self._members > MAX_MEMBERS:
            self._forget(next(iter(self._places)))
        return found

    async def catch_up(self, conversation_id: ObjectId, place: Place) -> None:
        """Learn what others have added. Raises Unavailable."""
        for document in await self._messages.tail(conversation_id, place.seq, place.rev):
            place.reach(document["seq"], document["rev"])

    def _forget(self, key: ObjectId) -> None:
        place = self._places.pop(key, None)
        if place is not None:
            self._members -= len(place.participants)
