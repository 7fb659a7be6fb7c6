"""Blocks in direct conversations: nobody sends there while one of the two users blocks the other."""

from bson import ObjectId

from service.chat.barrier import BARRIER, BLOCKED_BY
from service.chat.conversation_store import ConversationStore, seq_of
from service.chat.message_store import MessageStore
from service.common.blocks import Block, Blocks
from service.common.errors import Unavailable
from service.datastores.mongo import Document

MAX_ATTEMPTS = 20
"""Attempts to bring a conversation in step with blocks that change at the same time."""


class DirectBlocks:
    """Keeps direct conversations in step with the blocks of their users.

    A block is stored in the conversation's document, of which the append knows a copy (see HeadCache). So that no copy
    is outdated, a barrier takes the next number, as a system message does in a group: a process that does not know of
    the block finds the number taken, and reads what has happened. A message is thus either stored before the block is
    acknowledged, or refused, and sending costs no read.

    The barrier has the id that the conversation's document names. One with another id was left by an interrupted
    change; the next process that finds it removes it.
    """

    def __init__(self, conversations: ConversationStore, messages: MessageStore, blocks: Blocks) -> None:
        self._direct = conversations.direct
        self._messages = messages
        self._blocks = blocks

    async def reconcile(self, one: str, other: str) -> Document | None:
        """Bring the direct conversation of two users in step with their blocks; return it, or None if there is none.

        Called after each change of a block, and after the creation of a conversation. Idempotent. Raises Unavailable;
        it has to be called again then, by the repeated request.
        """
        for _ in range(MAX_ATTEMPTS):
            # The conversation first: if the blocks change after they were read, who changes them finds it, too.
            document = await self._direct.find(ObjectId(one), ObjectId(other))
            if document is None:
                return None
            found = await self._blocks.existing([Block(one, other), Block(other, one)])
            blockers = sorted(ObjectId(block.user_id) for block in found)
            barrier: ObjectId | None = document.get(BARRIER)
            if barrier is None and not blockers:
                return document
            if document.get(BLOCKED_BY) == blockers:
                assert barrier
                present = await self._messages.add_barrier(document["_id"], barrier, seq_of(document)) or barrier
                # Read after it was found: the one that is present may be of a later change.
                current = await self._direct.find(ObjectId(one), ObjectId(other))
                if current is None or current.get(BARRIER) != present:
                    await self._messages.remove_barrier(document["_id"], present)
                elif present == barrier:
                    return current
                continue
            if barrier and not blockers:
                # Before the conversation is open again: what is left of a barrier would be in the way.
                await self._messages.remove_barrier(document["_id"], barrier)
            await self._direct.set_blocked(document, blockers)
        raise Unavailable
