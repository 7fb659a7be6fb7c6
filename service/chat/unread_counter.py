"""How many messages are unread from a read mark on: those of users after it that have not been deleted."""

import asyncio
from bisect import bisect_right
from collections.abc import Collection, Sequence

from service.chat.conversation_store import seq_of
from service.chat.message_store import MessageStore
from service.datastores.mongo import Document

MAX_SPAN = 10_000
"""Messages before the last one among which deleted and system messages are looked for: further back, they count as
unread."""


class UnreadCounter:
    """Counts unread messages for any number of read marks of a conversation.

    Senders have read the messages up to their own, so all messages after a read mark are those of others. If none
    of them is deleted or a system message, the count is a subtraction. A conversation knows the seq of the last one
    that is: only if that is after the mark, the seqs of such messages are read.
    """

    def __init__(self, messages: MessageStore) -> None:
        self._messages = messages

    async def counts(self, conversation: Document, read_marks: Collection[int]) -> dict[int, int]:
        """Return the number of unread messages after each of `read_marks`.

        The counters of `conversation` must be up to date. Raises Unavailable.
        """
        last = seq_of(conversation)
        lowest = min(read_marks, default=last)
        uncounted: list[int] = []
        if _has_uncounted(conversation, lowest):
            lowest = max(lowest, last - MAX_SPAN)
            uncounted = sorted(await self._messages.never_unread(conversation["_id"], lowest, last))
        return {mark: max(0, last - mark - len(uncounted) + bisect_right(uncounted, mark)) for mark in read_marks}

    async def count(self, conversation: Document, read_mark: int) -> int:
        """Return the number of unread messages after `read_mark`. Raises Unavailable."""
        return (await self.counts(conversation, [read_mark]))[read_mark]

    async def count_each(self, conversations: Sequence[Document], read_marks: Sequence[int]) -> list[int]:
        """Return `count` of each conversation with its read mark. A task runs for those only that need a read."""
        counts = [max(0, seq_of(each) - mark) for each, mark in zip(conversations, read_marks, strict=True)]
        read = [at for at, each in enumerate(conversations) if _has_uncounted(each, read_marks[at])]
        found = await asyncio.gather(*(self.count(conversations[at], read_marks[at]) for at in read))
        for at, count in zip(read, found, strict=True):
            counts[at] = count
        return counts


def _has_uncounted(conversation: Document, read_mark: int) -> bool:
    """Return whether a message that may be looked for after `read_mark` is deleted or a system message."""
    last = seq_of(conversation)
    # Conversations of earlier versions do not know it.
    uncounted: int = min(last, conversation.get("last_deleted", last))
    return uncounted > max(read_mark, last - MAX_SPAN)
