"""What a user who is being deleted leaves of the chat: the places of their messages, and nothing in them."""

import asyncio
from contextlib import suppress
from datetime import datetime

from bson import ObjectId

from service.chat.conversation_service import ConversationService
from service.chat.conversation_store import ConversationStore
from service.chat.message_service import MessageService
from service.chat.message_store import MessageStore
from service.common.errors import NotFound
from service.datastores.mongo import Document
from service.datastores.scan import scan

BATCH = 100


class ChatErasure:
    """Every step may be repeated, and is told to the others as if the user had taken it themselves."""

    def __init__(
        self,
        conversations: ConversationStore,
        messages: MessageStore,
        chat: MessageService,
        membership: ConversationService,
    ) -> None:
        self._conversations = conversations
        self._messages = messages
        self._chat = chat
        self._membership = membership

    async def leave(self, user_id: str) -> int:
        """Leave every group, and take back every read mark; how many groups. A direct conversation stays the other's,
        with nobody in it. Raises Unavailable."""
        left = 0
        while groups := await self._conversations.groups_of(ObjectId(user_id), BATCH):
            for conversation_id in groups:
                # Whoever has just taken them out has done the same.
                with suppress(NotFound):
                    await self._membership.remove(user_id, str(conversation_id), user_id)
            left += len(groups)
        while marked := await self._conversations.marked_by(ObjectId(user_id), BATCH):
            await self._conversations.forget_reads(marked, ObjectId(user_id))
        return left

    async def erase(self, user_id: str, since: datetime | None = None) -> int:
        """Empty their messages in every conversation, and take back their reactions, where the message is from `since`
        or later; how many messages of theirs. Raises Unavailable."""
        erased = 0
        fields = {"conversation_id": 1, "deleted": 1}
        async for batch in scan(self._messages.collection, {"sender_id": ObjectId(user_id)}, fields, since):
            left = [document for document in batch if not document["deleted"]]
            await self._erase_all(user_id, left)
            await self._messages.forget_digests([document["_id"] for document in batch])
            # Who said something has read it, and this may have been noted after they had left.
            said_in = {document["conversation_id"] for document in batch}
            await self._conversations.forget_reads(said_in, ObjectId(user_id))
            erased += len(left)
        fields = {"conversation_id": 1, "reactions": 1}
        async for batch in scan(self._messages.collection, {"reactions": {"$ne": {}}}, fields, since):
            await self._erase_all(
                user_id, [one for one in batch if any(user_id in who for who in one["reactions"].values())]
            )
        return erased

    async def _erase_all(self, user_id: str, documents: list[Document]) -> None:
        for start in range(0, len(documents), BATCH):
            # Handed in together, they are stored and told in few commands.
            await asyncio.gather(
                *(
                    self._chat.erase(user_id, str(document["conversation_id"]), str(document["_id"]))
                    for document in documents[start : start + BATCH]
                )
            )
