"""Chat services on a real database, a follower that indexes what they write, and the search."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from bson import ObjectId

from service.chat.counter_reader import CounterReader
from service.datastores.change_follower import ChangeFollower
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
        counters = CounterReader(process.message_store, process.dispatcher.positions)
        self.service = SearchService(process.conversation_store, process.message_store, self.store, counters)

    async def say(self, user_id: str, conversation: str, content: str) -> dict[str, Any]:
        message, _ = await self.process.messages.send(user_id, conversation, content)
        return dict(message)

    @asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        follower = ChangeFollower(self.mongo.database, "search", [WANTED], IndexQueue(self.builder, enough=1).handle)
        await follower.prepare()
        task = asyncio.create_task(follower.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def indexed(self) -> None:
        """Wait until everything that has been written so far is indexed."""
        await self.process.messages.flush_counters()
        # What changes in the batch of the first one is indexed after it, and before the second one.
        for _ in range(2):
            last = await self.say(DAN, await self.process.conversation(DAN, "d" * 23 + "e"), "last")
            key = ObjectId(last["conversation_id"])
            async with asyncio.timeout(20):
                while (await self.store.heads([key]))[key].indexed < last["seq"]:
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
