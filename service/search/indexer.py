"""The search index as a whole: every process indexes what it stores, and one of them what was missed or has changed."""

import asyncio

from redis.asyncio import Redis

from service.chat.message_store import MessageStore
from service.common.tasks import cancel_and_wait, run_forever, run_together
from service.datastores.change_follower import OVERLAP, ChangeFollower
from service.datastores.lease import Lease
from service.datastores.leased_task import LEASE_TTL, LeasedTask
from service.datastores.mongo import Database
from service.search.backfill import Backfill
from service.search.index_builder import WANTED, IndexBuilder
from service.search.index_queue import IndexQueue
from service.search.index_store import IndexStore

NAME = "search"
PAUSE = (1.0, 3.0)
"""Seconds in which changes gather, at least and at most: a conversation's part of the index is written once for all of
them. Until then searches find edited messages with their old words."""
BATCH_SIZE = 4000
"""Changes in one batch: some megabytes."""


class SearchIndexer:
    """Indexes messages after they are stored. No request waits for it.

    New messages come from the process that has stored them (`queue.add`). The holder of the lease follows edits and
    deletions: the follower stores its position once they are indexed, so what a killed process was indexing comes
    again; indexing it again changes nothing (see IndexWriter). It also indexes what killed processes have left.
    """

    def __init__(self, database: Database, redis: "Redis", tag: str, messages: MessageStore, store: IndexStore) -> None:
        """`tag`: see `connect`."""
        builder = IndexBuilder(messages, store)
        self.queue = IndexQueue(builder)
        self._backfill = Backfill(database, messages, store, builder)
        builder.on_backlog = self._backfill.add
        self.follower = ChangeFollower(database, NAME, [WANTED], builder.handle, batch_size=BATCH_SIZE, pause=PAUSE)
        self._leased = LeasedTask(Lease(redis, f"{tag}:{NAME}:lease", LEASE_TTL), self._follow, NAME)
        self._task: asyncio.Task[None] | None = None

    @property
    def lag(self) -> float:
        """Seconds that the index is behind the messages, as far as this process knows."""
        return max(self.follower.lag, self.queue.lag)

    async def start(self) -> None:
        """Start, with the messages from the first start on; earlier ones in the background. Raises Unavailable."""
        await self.follower.prepare()
        await self._leased.start()
        self._task = asyncio.create_task(run_forever(self._write, NAME))

    async def close(self) -> None:
        await cancel_and_wait(self._task)
        await self._leased.close()

    async def _write(self) -> None:
        await run_together(self.queue.run(), self._backfill.run())

    async def _follow(self) -> None:
        since = await self.follower.handled_until() - OVERLAP
        await run_together(self.follower.run(), self._backfill.index_missing(since))
