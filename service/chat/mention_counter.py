"""How many unread messages mention a user."""

import asyncio
from collections.abc import Mapping, Sequence

from bson import ObjectId

from service.chat.conversation_store import seq_of
from service.chat.message_store import MessageStore
from service.common.blocks import Block, Blocks
from service.datastores.mongo import Document

MAX_SPAN = 1000
"""Messages before the last one among which mentions are looked for: further back, they do not count."""


class MentionCounter:
    """Counts the unread messages that mention a user, without those of users whom they block.

    A conversation knows the seq of the last message that mentions anybody. Only if that is after a read mark, the
    unread messages are looked through.
    """

    def __init__(self, messages: MessageStore, blocks: Blocks) -> None:
        self._messages = messages
        self._blocks = blocks

    async def counts(self, conversation: Document, read_marks: Mapping[ObjectId, int]) -> dict[ObjectId, int]:
        """Return the count of each user of `read_marks`.

        The counters of `conversation` must be up to date. Raises Unavailable.
        """
        counts = dict.fromkeys(read_marks, 0)
        last_mention = conversation.get("last_mention", 0)
        behind = {user_id for user_id, mark in read_marks.items() if mark < last_mention}
        if not behind:
            return counts
        lowest = max(min(read_marks[user_id] for user_id in behind), seq_of(conversation) - MAX_SPAN)
        found = [
            (user_id, message["sender_id"])
            for message in await self._messages.mentioning(conversation["_id"], lowest, last_mention)
            for user_id in behind.intersection(message["mentions"])
            if read_marks[user_id] < message["seq"] and user_id != message["sender_id"]
        ]
        blocked = await self._blocks.existing({Block(str(user_id), str(sender)) for user_id, sender in found})
        for user_id, sender in found:
            counts[user_id] += Block(str(user_id), str(sender)) not in blocked
        return counts

    async def count_each(
        self, conversations: Sequence[Document], read_marks: Sequence[int], user_id: ObjectId
    ) -> list[int]:
        """Return the count of one user in each conversation. A task runs for those only that need a read."""
        counts = [0] * len(conversations)
        read = [at for at, each in enumerate(conversations) if read_marks[at] < each.get("last_mention", 0)]
        found = await asyncio.gather(*(self.counts(conversations[at], {user_id: read_marks[at]}) for at in read))
        for at, of_users in zip(read, found, strict=True):
            counts[at] = of_users[user_id]
        return counts
