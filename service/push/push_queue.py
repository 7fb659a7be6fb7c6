"""What waits for one push service: attempted a few at a time, and more slowly while the service does not answer."""

import asyncio
from collections.abc import Callable, Collection
from typing import NamedTuple

import structlog

from service.common.times import now
from service.datastores.delivery_queue import DeliveryQueue
from service.push.composer import Composer
from service.push.delivery_store import Delivery, DeliveryStore
from service.push.news_store import NewsStore
from service.push.payload import URGENCY
from service.push.planner import Presence, topic_of
from service.push.sender import AGAIN, SERVICE_FAILED, Attempt, Outcome, PushSender
from service.push.subscription_store import Subscription, SubscriptionStore
from service.push.subscriptions import SubscriptionService
from service.push.vapid_store import VapidStore

log = structlog.get_logger()

BATCH = 32
CONCURRENCY = 8
"""Attempts at the same time."""
MAX_WAITING = 10_000
"""Deliveries to one push service. Further ones are dropped: the service has not answered for a long time."""
MAX_PAUSE = 60.0
"""Seconds between two attempts while the service does not answer. Then one at a time tries whether it does again."""
MIN_WAIT = 0.02
"""Seconds between two looks, at least."""
IDLE_INTERVAL = 60.0
"""Seconds after which a queue for which nothing waits ends: anybody can subscribe with any name below those of
PUSH_HOSTS."""


class PushDependencies:
    """What all queues share."""

    def __init__(
        self,
        deliveries: DeliveryStore,
        news: NewsStore,
        subscription_store: SubscriptionStore,
        subscriptions: SubscriptionService,
        keys: VapidStore,
        composer: Composer,
        presence: Presence,
        sender: PushSender,
        on_attempt: Callable[[str], None],
    ) -> None:
        """`on_attempt(outcome)` is called after each attempt."""
        self.deliveries = deliveries
        self.news = news
        self.subscription_store = subscription_store
        self.subscriptions = subscriptions
        self.keys = keys
        self.composer = composer
        self.presence = presence
        self.sender = sender
        self.on_attempt = on_attempt
        # A news becomes deliveries in two steps. None of these is attempted in between, or if the process is killed
        # then, the news, which is still stored, would let it be pushed again.
        self.lock = asyncio.Lock()


class _Push(NamedTuple):
    """A delivery, and the subscription that it is posted to; None: it is not to be pushed any more."""

    delivery: Delivery
    subscription: Subscription | None

    @property
    def id(self) -> str:
        return self.delivery.id


class PushQueue:
    """The deliveries to one push service: a dead one delays only its own queue."""

    def __init__(self, host: str, shared: PushDependencies) -> None:
        self._host = host
        self._shared = shared
        self._queue = DeliveryQueue(self, concurrency=CONCURRENCY, batch=BATCH, max_pause=MAX_PAUSE)
        self.waiting = 0
        """How many deliveries wait, as of the last count and what has changed since."""

    def added(self) -> None:
        """Note that a delivery has been stored."""
        self.waiting += 1
        self._queue.wake()

    async def is_full(self) -> bool:
        """Return whether MAX_WAITING deliveries wait. Raises Unavailable."""
        if self.waiting >= MAX_WAITING:
            # Some may have replaced others: then fewer wait than have been stored.
            self.waiting = await self._shared.deliveries.count(self._host)
        return self.waiting >= MAX_WAITING

    async def run(self) -> None:
        """Push what is due, until nothing has waited for IDLE_INTERVAL. Raises Unavailable, or one of REDIS_ERRORS."""
        self.waiting = await self._shared.deliveries.count(self._host)
        await self._queue.run()
        while self.waiting:
            # Something was stored while it ended.
            await self._queue.run()

    async def until_next(self, rested: bool, without: Collection[str]) -> float | None:
        """See `Deliveries`."""
        # What was stored during the last count may be missing in it.
        self.waiting = await self._shared.deliveries.count(self._host) if self.waiting or rested else 0
        if not self.waiting:
            return None if rested else IDLE_INTERVAL
        next_due = await self._shared.deliveries.next_due(self._host, without)
        return min(IDLE_INTERVAL, max(MIN_WAIT, (next_due - now()).total_seconds())) if next_due else IDLE_INTERVAL

    async def due(self, limit: int, without: Collection[str]) -> list[_Push]:
        """See `Deliveries`. Those whose subscription has ended, or whose user is there, are due without one."""
        async with self._shared.lock:
            due = await self._shared.deliveries.due(self._host, limit, without)
        if not due:
            return []
        found = await self._shared.subscription_store.get({each.subscription_id for each in due})
        active = {each.id: each for each in await self._shared.subscriptions.active(list(found.values()))}
        online = await self._shared.presence.online_globally(list({each.user_id for each in due}))
        pushes = []
        for each in due:
            subscription = active.get(each.subscription_id)
            # The endpoint may belong to somebody else now.
            owned = subscription is not None and subscription.user_id == each.user_id
            wanted = owned and each.user_id not in online and each.expires_at >= now()
            pushes.append(_Push(each, subscription if wanted else None))
        return pushes

    async def attempt(self, push: _Push) -> Attempt | None:
        """See `Deliveries`. None: there is nothing to push, or not now."""
        delivery, subscription = push
        if subscription is None:
            return None
        composed = await self._shared.composer.compose(delivery, subscription.language)
        if composed.quiet_until:
            await self._shared.news.hold(delivery.user_id, composed.quiet_until, delivery.as_held())
        if composed.payload is None:
            return None
        attempt = await self._shared.sender.send(
            await self._shared.keys.key(),
            subscription,
            composed.payload.encode(),
            topic_of(delivery),
            URGENCY[delivery.kind],
        )
        self._shared.on_attempt(attempt.outcome.value)
        return attempt

    async def settle(self, push: _Push, attempt: Attempt | None) -> bool | None:
        """See `Deliveries`."""
        delivery, subscription = push
        if subscription is None or attempt is None:
            await self._remove(delivery)
            return None
        outcome = attempt.outcome
        if outcome is not Outcome.SENT:
            log.warning("push_failed", host=self._host, outcome=outcome.value, attempt=delivery.attempts + 1)
        if outcome is Outcome.GONE:
            await self._shared.subscription_store.delete_ended(subscription)
            await self._shared.deliveries.remove_of(subscription.id)
        if outcome in AGAIN:
            await self._shared.deliveries.reschedule(delivery, attempt.retry_after)
        else:
            await self._remove(delivery)
        return outcome not in SERVICE_FAILED

    async def _remove(self, delivery: Delivery) -> None:
        await self._shared.deliveries.remove(delivery)
        self.waiting = max(0, self.waiting - 1)
