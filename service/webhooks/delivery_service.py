"""Delivering webhooks: at once while the receiver answers, else from the database, again and again."""

import asyncio
import time
from collections.abc import Callable, Collection, Sequence

import structlog

from service.common.tasks import run_together
from service.datastores.delivery_queue import DeliveryQueue
from service.webhooks.delivery_store import Delivery, DeliveryStore
from service.webhooks.sender import Outcome, WebhookSender

log = structlog.get_logger()

CONCURRENCY = 8
"""Attempts at the same time."""
DIRECT_TIME = 2.0
"""Seconds in which one of the new webhooks has to be delivered, else those that are left are stored, so that the
follower can go on."""
YIELD_FACTOR = 25
"""An attempt waits for this many times as long as the event loop takes for one iteration: hardly at all while there is
little else to do. A worker that is busy with its users gives webhooks a few percent of its time; they come later."""
MAX_YIELD = 0.25
POLL_INTERVAL = 1.0
"""Seconds between two looks for deliveries whose time has come."""
DUE_BATCH = 500
"""Deliveries that one look queues. On the embedded database a look takes longer the more of them wait, not the more of
them it returns: 0.2 s of processor time if 4,000 wait."""
MAX_WAITING = 50_000
"""Deliveries that wait in the database. At this limit no change is followed until some of them have been delivered or
parked; meanwhile the database's own history holds the changes."""
COUNT_INTERVAL = 30.0
"""Seconds between two counts of the stored deliveries; in between, their numbers are kept up to date here."""


class DeliveryService:
    """Delivers webhooks at least once, each with the same id every time.

    While the receiver answers, a webhook is not stored: `accept` returns once it is delivered, and the follower stores
    its position only then. One that fails, or takes longer than DIRECT_TIME, is stored and waits for its next attempt.
    So do all new ones while the last attempt has failed. At most CONCURRENCY attempts run: a slow receiver delays only
    its own webhooks. A process that is busy delays them, too (YIELD_FACTOR), and stores none of them for that.

    A receiver that answers 410 gets nothing more: what waits is parked, and so is what comes, until the operator
    resends it. `run` is for one process at a time; two would only repeat deliveries.
    """

    def __init__(
        self, store: DeliveryStore, sender: WebhookSender, url: str, on_attempt: Callable[[str], None]
    ) -> None:
        """`on_attempt(outcome)` is called after each attempt."""
        self._store = store
        self._sender = sender
        self._url = url
        self._on_attempt = on_attempt
        self._reset()

    def _reset(self) -> None:
        self.waiting = self.parked = 0
        self._queue = DeliveryQueue(self, concurrency=CONCURRENCY, batch=DUE_BATCH)
        self._gone = False

    async def prepare(self) -> None:
        """Forget what an earlier run was doing; for `run` and `accept`. Raises Unavailable."""
        self._reset()
        self._gone = await self._store.is_gone(self._url)

    async def run(self) -> None:
        """Deliver until cancelled. Raises Unavailable."""
        try:
            await run_together(self._count(), self._queue.run())
        finally:
            self.waiting = self.parked = 0

    async def accept(self, deliveries: Sequence[Delivery]) -> None:
        """Deliver or store all of these. Raises Unavailable."""
        new = {each.id: each for each in deliveries if each.id not in self._queue}
        attempts: dict[str, asyncio.Future[None]] = {}
        if new and not self._is_failing:
            attempts = {id: self._queue.submit(delivery) for id, delivery in new.items()}
            waiting = set(attempts.values())
            settled = waiting
            while waiting and settled and not self._is_failing:
                settled, waiting = await asyncio.wait(waiting, timeout=DIRECT_TIME)
        while self.waiting >= MAX_WAITING and not self._gone:
            log.warning("webhooks_full", waiting=self.waiting)
            await asyncio.sleep(POLL_INTERVAL)
        async with self._queue.lock:
            left = [each for id, each in new.items() if not (id in attempts and attempts[id].done())]
            if not left:
                return
            await self._store.add(left, gone=self._gone)
            self._queue.withdraw(each.id for each in left)
            if self._gone:
                self.parked += len(left)
            else:
                self.waiting += len(left)
        self._queue.wake()

    @property
    def _is_failing(self) -> bool:
        return self._gone or self._queue.is_failing

    async def due(self, limit: int, without: Collection[str]) -> list[Delivery]:
        """See `Deliveries`."""
        if self._gone:
            self._gone = await self._store.is_gone(self._url)
            return []
        return await self._store.due(limit, without)

    async def until_next(self, rested: bool, without: Collection[str]) -> float:
        """See `Deliveries`."""
        return POLL_INTERVAL

    async def attempt(self, delivery: Delivery) -> Outcome | None:
        """See `Deliveries`. None: the receiver is gone."""
        if self._gone:
            return None
        await _yield_to_others()
        outcome = await self._sender.send(delivery.id, delivery.body)
        self._on_attempt(outcome.value)
        return outcome

    async def settle(self, delivery: Delivery, outcome: Outcome | None) -> bool | None:
        """See `Deliveries`."""
        if outcome is None:
            await self._park(delivery)
            return None
        await self._settle(delivery, outcome)
        return outcome is Outcome.DELIVERED

    async def _settle(self, delivery: Delivery, outcome: Outcome) -> None:
        was_stored = delivery.stored
        if outcome is Outcome.DELIVERED:
            self.waiting -= was_stored
            await self._store.remove(delivery)
            return
        log.warning("webhook_failed", webhook_id=delivery.id, outcome=outcome.value, attempt=delivery.attempts + 1)
        if outcome is Outcome.GONE and self._gone:
            # An attempt that was under way beside the one that was answered first.
            await self._park(delivery)
        elif outcome is Outcome.GONE:
            await self._give_up(delivery)
        elif await self._store.reschedule(delivery, outcome.value):
            self.waiting += not was_stored
        else:
            log.error("webhook_parked", webhook_id=delivery.id, outcome=outcome.value)
            self.parked += 1
            self.waiting -= was_stored

    async def _park(self, delivery: Delivery) -> None:
        """Park a delivery after the receiver is gone; one that is stored has been parked with all."""
        if not delivery.stored:
            await self._store.add([delivery], gone=True)
            self.parked += 1

    async def _give_up(self, delivery: Delivery) -> None:
        """Park everything: the receiver wants no more webhooks."""
        log.error("webhook_receiver_gone", webhook_id=delivery.id, waiting=self.waiting)
        await self._store.mark_gone(self._url)
        # Not earlier: `due` compares it with what is stored.
        self._gone = True
        await self._store.add([delivery])
        await self._store.park_all()
        self.waiting, self.parked = await self._store.counts()

    async def _count(self) -> None:
        while True:
            async with self._queue.lock:
                self.waiting, self.parked = await self._store.counts()
            await asyncio.sleep(COUNT_INTERVAL)


async def _yield_to_others() -> None:
    """Wait for longer the busier the event loop is."""
    began = time.perf_counter()
    await asyncio.sleep(0)
    await asyncio.sleep(min(MAX_YIELD, YIELD_FACTOR * (time.perf_counter() - began)))
