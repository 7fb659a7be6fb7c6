"""Messages that are stored and not indexed yet, because to write the index for a few of them would cost too much."""

import asyncio
import time
from collections.abc import Sequence
from typing import NamedTuple

from bson import ObjectId

from service.chat.barrier import KIND
from service.datastores.change_follower import Change
from service.datastores.mongo import Document
from service.search.index_builder import IndexBuilder

ENOUGH = 32
"""Messages of a conversation that are written at once. A search reads those that are not (see `MAX_UNINDEXED`)."""
MAX_DELAY = 10.0
"""Seconds after which fewer are written, too."""
MAX_WAITING = 20_000
"""Messages of all conversations that wait: some tens of megabytes."""
INTERVAL = 1.0
"""Seconds between two looks for what has waited for MAX_DELAY."""


class Waiting(NamedTuple):
    """The messages of a conversation that wait, by seq. `since`: by the monotonic clock."""

    since: float
    messages: dict[int, Document]


class IndexQueue:
    """Gathers new messages for IndexBuilder. Edits and deletions do not wait.

    What waits when the process is killed is indexed with the next message of the conversation; until then searches read
    it, as they read everything that waits. Methods raise Unavailable.
    """

    def __init__(self, builder: IndexBuilder, enough: int = ENOUGH) -> None:
        self._builder = builder
        self._enough = enough
        self._waiting: dict[ObjectId, Waiting] = {}
        self._lock = asyncio.Lock()

    @property
    def lag(self) -> float:
        """Seconds that the oldest message waits; 0 if there is none."""
        return max((time.monotonic() - each.since for each in self._waiting.values()), default=0.0)

    async def handle(self, changes: Sequence[Change]) -> None:
        """Take over new messages, and index what has changed. Can be repeated."""
        async with self._lock:
            for change in changes:
                if change.created and change.fields.get("kind") != KIND:
                    conversation = self._waiting.setdefault(
                        change.fields["conversation_id"], Waiting(time.monotonic(), {})
                    )
                    conversation.messages[change.fields["seq"]] = change.fields
            edited = [change for change in changes if not change.created]
            places = await self._builder.places(edited) if edited else {}
            full = sum(len(each.messages) for each in self._waiting.values()) > MAX_WAITING
            await self._write(
                [
                    key
                    for key, each in self._waiting.items()
                    if full or key in places or len(each.messages) >= self._enough
                ]
            )
            for conversation_id, ids in places.items():
                await self._builder.replace(conversation_id, ids)

    async def run(self) -> None:
        """Write what has waited long enough, until cancelled. What an earlier run has left is forgotten: another
        process may have indexed it since, and changes of it."""
        self._waiting.clear()
        try:
            while True:
                await asyncio.sleep(INTERVAL)
                async with self._lock:
                    due = time.monotonic() - MAX_DELAY
                    await self._write([key for key, each in self._waiting.items() if each.since <= due])
        finally:
            # Another process may write it: here it would only take memory, and count as a lag that grows.
            self._waiting.clear()

    async def _write(self, conversation_ids: Sequence[ObjectId]) -> None:
        """Write the messages of these conversations. If that fails, they are read when the next one is written."""
        taken = {key: self._waiting.pop(key).messages for key in conversation_ids}
        if taken:
            await self._builder.add(taken)
