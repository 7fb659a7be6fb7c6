"""What waits for one push service: attempted a few at a time, and more slowly while the service does not answer."""

import asyncio
from collections.abc import Callable, Collection
from contextlib import suppress

import structlog

from service.common.times import now
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


class PushQueue:
    """A dead push service delays only its own queue."""

    def __init__(self, host: str, shared: PushDependencies) -> None:
        self._host = host
        self._shared = shared
        self._wake = asyncio.Event()
        self._failures = 0
        self.waiting = 0
        """How many deliveries wait, as of the last count and what has changed since."""

    def wake(self) -> None:
        self._wake.set()

    async def is_full(self) -> bool:
        """Return whether MAX_WAITING deliveries wait. Raises Unavailable."""
        if self.waiting >= MAX_WAITING:
            # Some may have replaced others: then fewer wait than have been put.
            self.waiting = await self._shared.deliveries.count(self._host)
        return self.waiting >= MAX_WAITING

    async def run(self) -> None:
        """Push what is due, until nothing has waited for IDLE_INTERVAL. Raises Unavailable, or one of REDIS_ERRORS."""
        self.waiting = await self._shared.deliveries.count(self._host)
        while True:
            self._wake.clear()
            async with self._shared.lock:
                due = await self._shared.deliveries.due(self._host, 1 if self._failures else BATCH)
            if not due:
                self.waiting = await self._shared.deliveries.count(self._host) if self.waiting else 0
                await self._wait(await self._until_next())
                if await self._is_unused():
                    return
                continue
            await self._attempt_all(due)
            if self._failures:
                await asyncio.sleep(min(MAX_PAUSE, 2.0 ** (self._failures - 1)))

    async def _is_unused(self) -> bool:
        """Return whether nothing waits, nor has been put since the last look."""
        if self.waiting or self._wake.is_set():
            return False
        # What was put during the last count may be missing in it.
        self.waiting = await self._shared.deliveries.count(self._host)
        return not (self.waiting or self._wake.is_set())

    async def _until_next(self) -> float:
        """Return the seconds until the next look."""
        next_due = await self._shared.deliveries.next_due(self._host) if self.waiting else None
        if next_due is None:
            return IDLE_INTERVAL
        return min(IDLE_INTERVAL, max(0.02, (next_due - now()).total_seconds()))

    async def _wait(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()

    async def _attempt_all(self, due: Collection[Delivery]) -> None:
        found = await self._shared.subscription_store.get({each.subscription_id for each in due})
        active = {each.id: each for each in await self._shared.subscriptions.active(list(found.values()))}
        users = list({each.user_id for each in due})
        online = await self._shared.presence.online_globally(users)
        slots = asyncio.Semaphore(CONCURRENCY)

        async def attempt(delivery: Delivery) -> None:
            async with slots:
                subscription = active.get(delivery.subscription_id)
                # The endpoint may belong to somebody else now.
                owned = subscription is not None and subscription.user_id == delivery.user_id
                if subscription is None or not owned or delivery.user_id in online or delivery.expires_at < now():
                    await self._remove(delivery)
                else:
                    await self._attempt(delivery, subscription)

        attempts = [asyncio.ensure_future(attempt(each)) for each in due]
        try:
            await asyncio.gather(*attempts)
        finally:
            for each in attempts:
                each.cancel()
            await asyncio.wait(attempts)

    async def _attempt(self, delivery: Delivery, subscription: Subscription) -> None:
        composed = await self._shared.composer.compose(delivery, subscription.language)
        if composed.quiet_until:
            await self._shared.news.hold(delivery.user_id, composed.quiet_until, delivery.as_held())
        if composed.payload is None:
            await self._remove(delivery)
            return
        attempt = await self._shared.sender.send(
            await self._shared.keys.key(),
            subscription,
            composed.payload.encode(),
            topic_of(delivery),
            URGENCY[delivery.kind],
        )
        self._shared.on_attempt(attempt.outcome.value)
        await self._settle(delivery, subscription, attempt)

    async def _settle(self, delivery: Delivery, subscription: Subscription, attempt: Attempt) -> None:
        outcome = attempt.outcome
        self._failures = self._failures + 1 if outcome in SERVICE_FAILED else 0
        if outcome is not Outcome.SENT:
            log.warning("push_failed", host=self._host, outcome=outcome.value, attempt=delivery.attempts + 1)
        if outcome is Outcome.GONE:
            await self._shared.subscription_store.delete_ended(subscription)
            await self._shared.deliveries.remove_of(subscription.id)
        elif outcome in AGAIN:
            await self._shared.deliveries.reschedule(delivery, attempt.retry_after)
            return
        await self._remove(delivery)

    async def _remove(self, delivery: Delivery) -> None:
        await self._shared.deliveries.remove(delivery)
        self.waiting = max(0, self.waiting - 1)
