"""Chat services on a real database, a follower that indexes what they write, and the search."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from bson import ObjectId

from service.chat.counter_reader import CounterReader
from service.datastores.change_follower import Change, ChangeFollower
from service.datastores.mongo import Mongo
from service.search.index_builder import WANTED, IndexBuilder
from service.search.index_queue import IndexQueue
from service.search.index_store import IndexStore
from service.search.models import MessageSearch
from service.search.search_service import SearchService
from tests.chat.chat_process import DAN, ChatProcess


class Searching:
    def __init__(self, mongo: Mongo, process: ChatProcess) -> None:
        self.process = process
        self.mongo = mongo
        self.store = IndexStore(mongo.database)
        self.builder = IndexBuilder(process.message_store, self.store)
        self.queue = IndexQueue(self.builder)
        self._followed: set[ObjectId] = set()
        counters = CounterReader(process.message_store, process.dispatcher.positions)
        self.service = SearchService(process.conversation_store, process.message_store, self.store, counters)

    async def say(self, user_id: str, conversation: str, content: str) -> dict[str, Any]:
        message, _ = await self.process.messages.send(user_id, conversation, content)
        return dict(message)

    @asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        follower = ChangeFollower(self.mongo.database, "search", [WANTED], self._handle)
        await follower.prepare()
        self.process.messages.on_created = self.queue.add
        task = asyncio.create_task(follower.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def _handle(self, changes: Sequence[Change]) -> None:
        await self.builder.handle(changes)
        self._followed.update(change.id for change in changes)

    async def indexed(self) -> None:
        """Wait until everything that has been written so far is indexed."""
        await self.process.messages.flush_counters()
        await self.queue.write(list(self.queue.waiting))
        conversation = await self.process.conversation(DAN, "d" * 23 + "e")
        last = await self.say(DAN, conversation, "last")
        await self.process.messages.edit(DAN, conversation, last["id"], "last of all")
        async with asyncio.timeout(20):
            while ObjectId(last["id"]) not in self._followed:
                await asyncio.sleep(0.01)

    async def found(
        self, user_id: str, q: str, *, limit: int = 20, pages: list[int] | None = None, **more: Any
    ) -> list[str]:
        """Return the ids of all messages found, page by page; `pages` gets the length of each."""
        ids: list[str] = []
        before = None
        while True:
            request = MessageSearch.model_validate({"q": q, "limit": limit, "before": before, **more})
            items, before = await self.service.search(user_id, request)
            assert len(items) <= limit
            for item in items:
                assert item["highlights"]
                assert item["conversation_id"] == item["message"]["conversation_id"]
            ids += [item["message"]["id"] for item in items]
            if pages is not None:
                pages.append(len(items))
            if before is None:
                return ids
