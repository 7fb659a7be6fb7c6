"""Removal of a deleted user's data from the chat. Their messages remain as empty tombstones, which keep the numbers."""

import asyncio
from contextlib import suppress
from datetime import datetime

from bson import ObjectId

from service.chat.conversation_store import ConversationStore
from service.chat.group_service import GroupService
from service.chat.message_service import MessageService
from service.chat.message_store import MessageStore
from service.common.errors import NotFound
from service.datastores.mongo import Document
from service.datastores.scan import scan

MAX_BATCH = 100


class ChatErasure:
    """Removes a user from groups, and erases their messages, reactions and read marks.

    Every step is idempotent, and published to the other participants as if the user had taken it.
    """

    def __init__(
        self,
        conversations: ConversationStore,
        messages: MessageStore,
        message_service: MessageService,
        group_service: GroupService,
    ) -> None:
        self._conversations = conversations
        self._messages = messages
        self._message_service = message_service
        self._group_service = group_service

    async def leave_groups(self, user_id: str) -> int:
        """Leave every group and erase every read mark; return the number of groups left. Raises Unavailable.

        The user remains a participant of direct conversations, which stay visible to the other one.
        """
        left = 0
        while groups := await self._conversations.lists.groups_of(ObjectId(user_id), MAX_BATCH):
            for conversation_id in groups:
                # Another participant has removed them in the meantime.
                with suppress(NotFound):
                    await self._group_service.remove_participant(user_id, str(conversation_id), user_id)
            left += len(groups)
        await self._conversations.groups.forget(ObjectId(user_id))
        while marked := await self._conversations.lists.with_read_marks(ObjectId(user_id), MAX_BATCH):
            await self._conversations.erase_read_marks(marked, ObjectId(user_id))
        return left

    async def erase_messages(self, user_id: str, since: datetime | None = None) -> int:
        """Empty the user's messages and remove their reactions in all conversations; return the number of messages.

        With `since`, only messages created at that time or later are considered. Raises Unavailable.
        """
        erased = 0
        fields = {"conversation_id": 1, "deleted": 1}
        async for batch in scan(self._messages.collection, {"sender_id": ObjectId(user_id)}, fields, since):
            # System messages, which say nothing that a user has written, count as deleted.
            remaining = [document for document in batch if not document["deleted"]]
            await self._erase_all(user_id, remaining)
            await self._messages.erase_digests([(document["conversation_id"], document["_id"]) for document in batch])
            # Sending a message sets a read mark, which may have been written after the user had left.
            conversation_ids = {document["conversation_id"] for document in batch}
            await self._conversations.erase_read_marks(conversation_ids, ObjectId(user_id))
            erased += len(remaining)
        async for batch in self._messages.reacted_by(user_id, since):
            await self._erase_all(user_id, batch)
        return erased

    async def _erase_all(self, user_id: str, documents: list[Document]) -> None:
        for start in range(0, len(documents), MAX_BATCH):
            # Submitted together, they are stored in few commands.
            await asyncio.gather(
                *(
                    self._message_service.erase(user_id, str(document["conversation_id"]), str(document["_id"]))
                    for document in documents[start : start + MAX_BATCH]
                )
            )
