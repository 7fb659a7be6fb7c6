"""Indexes the messages of conversations that are not indexed, or not whole: those of earlier versions, or all of them.

How far it has come is known from the heads of the conversations, so it continues where it was interrupted.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from bson import ObjectId

from service.chat.conversation_store import seq_of
from service.chat.message_store import MessageStore
from service.common.times import now
from service.datastores.find_by_ids import find_by_ids
from service.datastores.mongo import Database, Document
from service.datastores.scan import scan
from service.search.index_builder import IndexBuilder
from service.search.index_store import IndexStore

MAX_MISSED = timedelta(days=1)
"""After a longer time in which nobody has indexed, all conversations are looked at."""
SHARE = 0.3
"""The part of the time that indexing in the background takes: the database has others to serve."""


class Progress(NamedTuple):
    """How many conversations have been looked at, and how many messages were indexed."""

    conversations: int
    messages: int


class Backfill:
    """All methods raise Unavailable."""

    def __init__(self, database: Database, messages: MessageStore, store: IndexStore, builder: IndexBuilder) -> None:
        self._conversations = database["conversations"]
        self._messages = messages
        self._store = store
        self._builder = builder
        self._backlog: dict[ObjectId, int] = {}
        self._wake = asyncio.Event()

    def add(self, conversation_id: ObjectId, last_seq: int) -> None:
        """Let `run` index a conversation up to this seq."""
        self._backlog[conversation_id] = last_seq
        self._wake.set()

    async def run(self) -> None:
        """Index what `add` names, until cancelled. Takes SHARE of the time."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._backlog:
                conversation_id, last = next(iter(self._backlog.items()))
                await self._index(conversation_id, last, 0, SHARE)
                # It may have been added again, with a later message.
                if self._backlog[conversation_id] == last:
                    del self._backlog[conversation_id]

    async def index_missing(self, since: datetime) -> None:
        """Index what has not been indexed, until cancelled: all that is missing, unless that has been done; then only
        what processes have left that were killed since that time. Takes SHARE of the time."""
        if now() - since > MAX_MISSED:
            await self._store.set_incomplete()
        if await self._store.is_complete():
            async for conversation_ids in self._messages.conversations_written(since, now()):
                found = await find_by_ids(self._conversations, conversation_ids, {"last": True})
                async for _ in self._index_each(found, 0, SHARE):
                    pass
        else:
            async for _ in self.index_all(share=SHARE):
                pass
        await asyncio.Event().wait()

    async def index_all(self, *, share: float = 1.0) -> AsyncIterator[Progress]:
        """Index all messages that are not. Yields the progress from time to time, and in the end."""
        generation = await self._store.generation()
        conversations = messages = 0
        async for batch in scan(self._conversations, {}, {"last": True}):
            async for added in self._index_each(batch, generation, share):
                messages += added
                yield Progress(conversations, messages)
            conversations += len(batch)
            yield Progress(conversations, messages)
        await self._store.set_complete(generation)

    async def _index_each(self, conversations: Sequence[Document], generation: int, share: float) -> AsyncIterator[int]:
        """Index what is missing of these conversations; yield how many messages each step has added."""
        heads = await self._store.heads([each["_id"] for each in conversations])
        for document in conversations:
            head, last = heads[document["_id"]], seq_of(document)
            if head.indexed < last or head.generation < generation:
                async for added in self._steps(head.id, last, generation, share):
                    yield added

    async def _index(self, conversation_id: ObjectId, last: int, generation: int, share: float) -> None:
        async for _ in self._steps(conversation_id, last, generation, share):
            pass

    async def _steps(self, conversation_id: ObjectId, last: int, generation: int, share: float) -> AsyncIterator[int]:
        """Index a conversation in steps; yield how many messages each has added."""
        while True:
            started = time.monotonic()
            added = await self._builder.catch_up(conversation_id, last, generation)
            await asyncio.sleep((time.monotonic() - started) * (1 / share - 1))
            if not added:
                return
            yield added
