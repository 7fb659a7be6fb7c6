"""Write-behind for conversation counters: batched, and off the send path."""

import asyncio
import time
from collections.abc import Callable, Collection

import structlog
from bson import ObjectId

from service.chat.conversation_store import ConversationStore
from service.chat.counter_update import CounterUpdate
from service.common import tasks
from service.datastores.mongo import Document

log = structlog.get_logger()

WRITE_INTERVAL = 0.25
"""Seconds between two writes: a conversation's counters are written four times a second at most."""
DUTY_CYCLE = 0.2
"""The share of time that writes may take: updating a hundred conversations takes the embedded database as long as
storing as many messages, for which clients wait."""
MAX_WRITE = 500
"""Conversations in one write."""


class WriteBehind:
    """Merges the counter updates of stored messages and writes them in the background: the first at once, those that
    arrive during a write with the next one.

    No sender waits for it, because the counters in a conversation's document are hints (see ConversationStore). A
    counter write costs as much as storing the message, and many times that in a conversation of a thousand
    participants, each of whom has an entry in the index by activity. Updates lost with a process are recovered by the
    CounterReconciler of the next one to start.
    """

    def __init__(self, conversations: ConversationStore, on_failure: Callable[[Collection[ObjectId]], None]) -> None:
        """`on_failure(conversation_ids)` is called with the conversations whose counters could not be written."""
        self._conversations = conversations
        self._on_failure = on_failure
        self._waiting: dict[ObjectId, CounterUpdate] = {}
        self._write_lock = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    def __len__(self) -> int:
        """Conversations with waiting updates; bounded by what is stored during WRITE_INTERVAL and one write."""
        return len(self._waiting)

    def add(self, message: Document, *, created: bool) -> None:
        """Queue the update for a stored message; `created` is False if it is a change of an existing one."""
        self._waiting.setdefault(message["conversation_id"], CounterUpdate()).merge(message, created=created)
        if not self._closed and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._write_all())

    async def flush(self) -> bool:
        """Return once all updates waiting at the call are written, or have failed; whether there were any."""
        pending = bool(self._waiting) or self._write_lock.locked()
        # Not "until nothing waits": in a busy chat something always does.
        for _ in range(0, len(self._waiting) + pending, MAX_WRITE):
            await self._write_some()
        return pending

    async def close(self) -> None:
        """Write all waiting updates, and end."""
        self._closed = True
        await tasks.cancel_and_wait(self._task)
        while await self.flush():
            pass

    async def _write_all(self) -> None:
        while self._waiting:
            started = time.monotonic()
            await self._write_some()
            await asyncio.sleep(max(WRITE_INTERVAL, (time.monotonic() - started) * (1 / DUTY_CYCLE - 1)))

    async def _write_some(self) -> None:
        async with self._write_lock:
            updates = {key: self._waiting.pop(key) for key in list(self._waiting)[:MAX_WRITE]}
            if not updates:
                return
            try:
                await self._conversations.apply_counters(updates)
            except Exception as error:
                tasks.count_failure("write_behind")
                log.warning("write_behind_failed", conversations=len(updates), error=type(error).__name__)
                self._on_failure(updates)
            except BaseException:
                self._on_failure(updates)
                raise
