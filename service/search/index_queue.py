"""Messages that are stored and not indexed yet, because to write the index for a few of them would cost too much."""

import asyncio
import time
from collections.abc import Collection
from typing import NamedTuple

from bson import ObjectId

from service.chat.barrier import is_barrier
from service.datastores.mongo import Document
from service.search.index_builder import IndexBuilder
from service.search.layout import BLOCK

MAX_DELAY = 10.0
"""Seconds after which messages are written that fill no block."""
MAX_WAITING = 20_000
"""Messages of all conversations that wait: some tens of megabytes."""
INTERVAL = 1.0
"""Seconds between two writes."""
FIELDS = ("conversation_id", "seq", "sender_id", "content")
"""What is indexed of a message."""


class Waiting(NamedTuple):
    """The messages of a conversation that wait, by seq. `since`: by the monotonic clock."""

    since: float
    messages: dict[int, Document]


class IndexQueue:
    """Gathers for IndexBuilder the messages that this process has stored.

    They come from memory: to read them again, or the database's log of its changes, would cost it a third of what
    storing them costs. The process that stores the last message of a block writes the block, with what others have
    stored of it; fewer messages are written after MAX_DELAY. So however many processes there are, fewer than two blocks
    of a conversation wait, which searches read (see `MAX_UNINDEXED`).

    What waits when the process is killed is indexed with the next message of the conversation, or by the next process
    that holds the lease (see Backfill); until then searches read it, too. Methods raise Unavailable.
    """

    def __init__(self, builder: IndexBuilder, enough: int = BLOCK) -> None:
        """`enough`: a block is written once it has a message whose seq is a multiple of this."""
        self._builder = builder
        self._enough = enough
        self._waiting: dict[ObjectId, Waiting] = {}
        self._full: set[ObjectId] = set()
        self._count = 0

    @property
    def waiting(self) -> Collection[ObjectId]:
        """The conversations that have messages here."""
        return self._waiting.keys()

    @property
    def lag(self) -> float:
        """Seconds that the oldest message waits; 0 if there is none."""
        return max((time.monotonic() - each.since for each in self._waiting.values()), default=0.0)

    def add(self, message: Document) -> None:
        """Add a message that has just been stored. If there is no room, it is read with the conversation's next one."""
        if is_barrier(message) or self._count >= MAX_WAITING:
            return
        conversation_id, seq = message["conversation_id"], message["seq"]
        waiting = self._waiting.get(conversation_id)
        if waiting is None:
            waiting = self._waiting[conversation_id] = Waiting(time.monotonic(), {})
        self._count += seq not in waiting.messages
        waiting.messages[seq] = {name: message[name] for name in FIELDS}
        if seq % self._enough == 0:
            self._full.add(conversation_id)

    async def run(self) -> None:
        """Write what waits, until cancelled."""
        while True:
            await asyncio.sleep(INTERVAL)
            await self.write_due()

    async def write_due(self) -> None:
        """Write full blocks, and what has waited long enough; all if there is no more room."""
        due = time.monotonic() - MAX_DELAY
        full, self._full = self._full, set()
        if self._count >= MAX_WAITING:
            full.update(self.waiting)
        await self.write(full | {key for key, each in self._waiting.items() if each.since <= due})

    async def write(self, conversation_ids: Collection[ObjectId]) -> None:
        """Write the messages of these conversations. If that fails, they are read when the next one is written."""
        taken = {key: self._waiting.pop(key).messages for key in conversation_ids if key in self._waiting}
        self._count -= sum(map(len, taken.values()))
        if taken:
            await self._builder.add(taken)
