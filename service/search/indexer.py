"""The search index as a whole: the process that holds the lease follows the messages and indexes them."""

from redis.asyncio import Redis

from service.chat.message_store import MessageStore
from service.common.tasks import run_together
from service.datastores.change_follower import ChangeFollower
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
them. A search reads new messages itself meanwhile, and finds edited ones with their old words."""
BATCH_SIZE = 4000
"""Changes in one batch: some megabytes."""


class SearchIndexer:
    """Indexes messages after they are stored. No request waits for it, or knows of it.

    The follower stores its position once its changes are indexed or wait in IndexQueue, so what a killed process was
    indexing comes again; adding it again changes nothing (see IndexWriter).
    """

    def __init__(self, database: Database, redis: "Redis", tag: str, messages: MessageStore, store: IndexStore) -> None:
        """`tag`: see `connect`."""
        builder = IndexBuilder(messages, store)
        self._queue = IndexQueue(builder)
        self._backfill = Backfill(database, store, builder)
        builder.on_backlog = self._backfill.add
        self.follower = ChangeFollower(database, NAME, [WANTED], self._queue.handle, batch_size=BATCH_SIZE, pause=PAUSE)
        self._task = LeasedTask(Lease(redis, f"{tag}:{NAME}:lease", LEASE_TTL), self._run, NAME)

    @property
    def lag(self) -> float:
        """Seconds that the index is behind the messages, as far as this process knows."""
        return max(self.follower.lag, self._queue.lag)

    async def start(self) -> None:
        """Start, with the messages from the first start on; earlier ones in the background. Raises Unavailable."""
        await self.follower.prepare()
        await self._task.start()

    async def close(self) -> None:
        await self._task.close()

    async def _run(self) -> None:
        await run_together(self._queue.run(), self.follower.run(), self._backfill.run())
