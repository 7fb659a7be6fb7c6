"""Web Push as a whole: the process that holds the lease follows the changes and pushes them."""

import asyncio
from collections.abc import Sequence

import structlog
from redis.asyncio import Redis

from service.common.tasks import run_together
from service.datastores.change_follower import Change, ChangeFollower
from service.datastores.lease import Lease
from service.datastores.leased_task import LEASE_TTL, LeasedTask
from service.datastores.mongo import Database
from service.push.collector import WANTED, NewsCollector
from service.push.delivery_store import Delivery
from service.push.news_store import News
from service.push.planner import Planner
from service.push.push_queue import PushDependencies, PushQueue

log = structlog.get_logger()

NAME = "push"
PAUSE = (0.0, 0.5)
"""Seconds in which changes gather: news of a conversation are stored once for all of them."""
PLAN_INTERVAL = 0.5
"""Seconds between two looks for news that are due."""
UNUSED_INTERVAL = 2.0
"""Seconds between two looks for a first subscription."""
USED_INTERVAL = 60.0
"""Seconds between two checks that there is still a subscription. Without any, no change is followed."""
DROPPED = "dropped"
"""The outcome of what is not attempted, because too much waits for its push service."""


class PushService:
    """Pushes what is unread to users who are away. No request waits for it, or knows of it.

    Changes become news (NewsCollector), stored before the follower stores its position; news that are due become
    deliveries (Planner), stored before the news are deleted; a delivery is deleted after it was pushed (PushQueue). So
    a killed process loses none, and only what it was posting comes twice. `_run` is for one process at a time; two
    would only repeat pushes.
    """

    def __init__(
        self,
        database: Database,
        redis: "Redis",
        tag: str,
        collector: NewsCollector,
        planner: Planner,
        shared: PushDependencies,
    ) -> None:
        """`tag`: see `connect`."""
        self._collector = collector
        self._planner = planner
        self._shared = shared
        self._queues: dict[str, PushQueue] = {}
        self._new_queues: asyncio.Queue[tuple[str, PushQueue]] = asyncio.Queue()
        self.follower = ChangeFollower(database, NAME, WANTED, self._handle, pause=PAUSE)
        self._task = LeasedTask(Lease(redis, f"{tag}:{NAME}:lease", LEASE_TTL), self._run, NAME)

    @property
    def waiting(self) -> int:
        """How many news and deliveries wait; 0 if this process does not push."""
        return self._collector.waiting + sum(queue.waiting for queue in self._queues.values())

    async def start(self) -> None:
        """Start, with what happens from the first start on. Raises Unavailable."""
        await self.follower.prepare()
        await self._task.start()

    async def close(self) -> None:
        await self._task.close()
        await self._shared.sender.close()

    async def _run(self) -> None:
        try:
            while True:
                await self.follower.wait_until(self._shared.subscription_store.any, UNUSED_INTERVAL)
                await self._push()
        finally:
            self._collector.waiting = 0
            self._queues.clear()

    async def _push(self) -> None:
        """Push until there is no subscription any more."""
        self._queues, self._new_queues = {}, asyncio.Queue()
        await run_together(self._until_unused(), self.follower.run(), self._deliver())

    async def _deliver(self) -> None:
        """Plan and push."""
        # A killed process may have stored news, but not its position: they must come again before they are removed.
        # If there are too many, the follower waits until some are removed.
        caught_up = asyncio.ensure_future(self.follower.caught_up.wait())
        try:
            while not (caught_up.done() or self._collector.is_full):
                await asyncio.wait([caught_up], timeout=PLAN_INTERVAL)
        finally:
            caught_up.cancel()
        # What it has planned, but not finished: its deliveries are not attempted before.
        while await self._plan_due():
            pass
        for host in await self._shared.deliveries.hosts():
            self._queue(host)
        await run_together(self._plan(), self._run_queues())

    async def _until_unused(self) -> None:
        while True:
            await asyncio.sleep(USED_INTERVAL)
            if not await self._shared.subscription_store.any():
                return

    async def _handle(self, changes: Sequence[Change]) -> None:
        await self._collector.collect(changes)

    async def _plan(self) -> None:
        while True:
            if not await self._plan_due():
                await asyncio.sleep(PLAN_INTERVAL)

    async def _plan_due(self) -> bool:
        """Make deliveries of a batch of news that are due. Returns whether there were some."""
        news = await self._shared.news.due()
        self._collector.waiting = await self._shared.news.count() if news else 0
        if not news:
            return False
        planned = await asyncio.gather(*map(self._planner.plan, _merged(news)))
        deliveries = await self._limited([delivery for some in planned for delivery in some])
        async with self._shared.lock:
            await self._shared.deliveries.put(deliveries)
            await self._shared.news.remove(news)
        for delivery in deliveries:
            self._queue(delivery.host).added()
        return True

    async def _limited(self, deliveries: Sequence[Delivery]) -> list[Delivery]:
        """Return those for whose push service not too much waits."""
        full = {
            host
            for host in {each.host for each in deliveries}
            if host in self._queues and await self._queues[host].is_full()
        }
        for delivery in deliveries:
            if delivery.host in full:
                self._shared.on_attempt(DROPPED)
        if full:
            log.error("push_queue_full", hosts=sorted(full))
        return [each for each in deliveries if each.host not in full]

    def _queue(self, host: str) -> PushQueue:
        if host not in self._queues:
            self._queues[host] = queue = PushQueue(host, self._shared)
            self._new_queues.put_nowait((host, queue))
        return self._queues[host]

    async def _run_queues(self) -> None:
        """Run all queues, also those that are new. Raises what one of them raises."""
        running: set[asyncio.Task[None]] = set()
        new = asyncio.ensure_future(self._new_queues.get())
        try:
            while True:
                done, _ = await asyncio.wait([*running, new], return_when=asyncio.FIRST_COMPLETED)
                for task in running & done:
                    running.remove(task)
                    task.result()
                if new.done():
                    running.add(asyncio.create_task(self._run_queue(*new.result())))
                    new = asyncio.ensure_future(self._new_queues.get())
        finally:
            for each in (*running, new):
                each.cancel()
            await asyncio.wait([*running, new])

    async def _run_queue(self, host: str, queue: PushQueue) -> None:
        await queue.run()
        # At once: whoever puts something after the queue's last look finds none, and makes a new one.
        del self._queues[host]


def _merged(news: Sequence[News]) -> list[News]:
    """Return one news for all messages of a conversation, and for all notifications of a group."""
    merged: dict[tuple[object, ...], News] = {}
    for each in news:
        key = each.kind, each.subject, each.group
        if known := merged.get(key):
            last = max(known, each, key=lambda one: one.last)
            each = last._replace(first=min(known.first, each.first))
        merged[key] = each
    return list(merged.values())
