"""Raising the numbers of conversations behind the backs of those who say something: late, and many at a time."""

import asyncio
import time
from collections.abc import Callable, Collection, Iterable

import structlog
from bson import ObjectId

from service.chat.conversation_store import ConversationStore, CounterUpdate
from service.common import tasks
from service.datastores.mongo import Document

log = structlog.get_logger()

PAUSE = 0.25
"""Seconds between two writes: a conversation is raised four times a second at most, however much is said in it."""
SHARE = 0.2
"""Of the time at most: to raise a hundred conversations takes the embedded server as long as to store as many
messages, which are waited for."""
MAX_WRITE = 500
"""Conversations in one write."""


class WriteBehind:
    """Gathers what stored messages mean for their conversations, and writes it in its own time: the first at once, what
    comes meanwhile together.

    Nobody waits for it, for the numbers in a conversation's document are hints (see ConversationStore). Writing them
    costs as much as storing the message does, and where a thousand take part, many times that: each of them has an
    entry in the index by activity. What is lost with a process, the next one to start finds by looking back.
    """

    def __init__(self, conversations: ConversationStore, failed: Callable[[Collection[ObjectId]], None]) -> None:
        """`failed(conversation_ids)` is told whose numbers could not be raised."""
        self._conversations = conversations
        self._failed = failed
        self._waiting: dict[ObjectId, CounterUpdate] = {}
        self._one_at_a_time = asyncio.Lock()
        self._writer: asyncio.Task[None] | None = None
        self._closed = False

    def __len__(self) -> int:
        """Conversations whose numbers wait; bounded by what is stored within `PAUSE` and the time of a write."""
        return len(self._waiting)

    def add(self, message: Document, *, new: bool) -> None:
        """`message` is stored; `new`: it is no change of one that was."""
        raise_to(self._waiting.setdefault(message["conversation_id"], CounterUpdate()), message, new=new)
        if not self._closed and (self._writer is None or self._writer.done()):
            self._writer = asyncio.create_task(self._write_on())

    async def flush(self) -> bool:
        """Return once all that waits now is written, or known not to be; whether there was anything."""
        waits = bool(self._waiting) or self._one_at_a_time.locked()
        # Not until nothing waits: where much is said, something always does.
        for _ in range(0, len(self._waiting) + waits, MAX_WRITE):
            await self._write_some()
        return waits

    async def close(self) -> None:
        """Write what waits, and end."""
        self._closed = True
        await tasks.cancel_and_wait(self._writer)
        while await self.flush():
            pass

    async def _write_on(self) -> None:
        while self._waiting:
            began = time.monotonic()
            await self._write_some()
            await asyncio.sleep(max(PAUSE, (time.monotonic() - began) * (1 / SHARE - 1)))

    async def _write_some(self) -> None:
        async with self._one_at_a_time:
            some = {key: self._waiting.pop(key) for key in list(self._waiting)[:MAX_WRITE]}
            if not some:
                return
            try:
                await self._conversations.apply_counters(some)
            except Exception as error:
                tasks.count_failure("write_behind")
                log.warning("write_behind_failed", conversations=len(some), error=type(error).__name__)
                self._failed(some)
            except BaseException:
                self._failed(some)
                raise


def touch_of(messages: Iterable[Document]) -> CounterUpdate:
    """What all of these, of one conversation, mean for it."""
    touch = CounterUpdate()
    for message in messages:
        raise_to(touch, message, new=True)
    return touch


def raise_to(touch: CounterUpdate, message: Document, *, new: bool) -> None:
    """Let `touch` reach as far as `message` does."""
    touch.rev = max(touch.rev, message["rev"])
    if new and message["seq"] > touch.seq:
        touch.seq, touch.message_id, touch.at = message["seq"], message["_id"], message["created_at"]
    if new:
        # Whoever says something has read what was said before.
        sender = str(message["sender_id"])
        touch.reads[sender] = max(touch.reads.get(sender, 0), message["seq"])
