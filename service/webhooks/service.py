"""Webhooks as a whole: the process that holds the lease follows the changes and delivers them."""

from collections.abc import Callable, Collection, Sequence

from redis.asyncio import Redis

from service.common.tasks import run_together
from service.datastores.change_follower import Change, ChangeFollower
from service.datastores.lease import Lease
from service.datastores.leased_task import LEASE_TTL, LeasedTask
from service.datastores.mongo import Database
from service.webhooks.delivery_service import CONCURRENCY, DeliveryService
from service.webhooks.delivery_store import DeliveryStore
from service.webhooks.events import EventBuilder
from service.webhooks.sender import WebhookSender

NAME = "webhooks"
PAUSE = (0.0, 0.5)
"""Seconds in which changes gather: a look for them costs the database as much as a change does."""


class WebhookService:
    """Posts the selected events to one receiver. No request waits for it, or knows of it."""

    def __init__(
        self,
        database: Database,
        redis: "Redis",
        tag: str,
        store: DeliveryStore,
        *,
        url: str,
        secrets: Sequence[str],
        events: Collection[str],
        allow_private: bool,
        on_attempt: Callable[[str], None],
    ) -> None:
        """`tag`: see `connect`. `on_attempt`: see DeliveryService."""
        self._sender = WebhookSender(url, secrets, allow_private=allow_private, connections=CONCURRENCY)
        self.deliveries = DeliveryService(store, self._sender, url, on_attempt)
        self._builder = EventBuilder(database, events)
        self.follower = ChangeFollower(database, NAME, self._builder.wanted, self._handle, pause=PAUSE)
        self._task = LeasedTask(Lease(redis, f"{tag}:{NAME}:lease", LEASE_TTL), self._run, NAME)

    async def start(self) -> None:
        """Start, with the changes from the first start on. Raises Unavailable."""
        await self.follower.prepare()
        await self._task.start()

    async def close(self) -> None:
        await self._task.close()
        await self._sender.close()

    async def _run(self) -> None:
        await self.deliveries.prepare()
        await run_together(self.deliveries.run(), self.follower.run())

    async def _handle(self, changes: Sequence[Change]) -> None:
        await self.deliveries.accept(await self._builder.build(changes))
