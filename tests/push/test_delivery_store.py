"""Deliveries that replace each other, and the queue that counts them."""

import asyncio
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from bson import ObjectId

from service.common.times import now
from service.datastores.mongo import Mongo
from service.push import push_queue
from service.push.delivery_store import TTL, Delivery, DeliveryStore
from service.push.news_store import Kind
from service.push.push_queue import PushQueue

HOST = "push.example.org"
USER = ObjectId()


def delivery(id: str, first: int, number: int) -> Delivery:
    due_at = now() - timedelta(seconds=1)
    group, kind = "NEW_COMMENT:1", Kind.NOTIFICATION
    return Delivery(id, "s", str(USER), HOST, kind, USER, group, number, first, number, {}, due_at + TTL, due_at)


async def test_a_delivery_is_also_about_what_it_has_replaced(mongo: Mongo) -> None:
    """A summary counts all of them, and not only the last."""
    store = DeliveryStore(mongo.database)
    await store.put([delivery("a", 2, 3)])
    await store.put([delivery("a", 4, 5)])
    (stored,) = await store.due(HOST, 10)
    assert (2, 5) == (stored.first, stored.number)
    held = stored.as_held()
    assert (2, 5) == (held.first, held.last)


async def test_a_queue_ends_when_nothing_waits(mongo: Mongo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(push_queue, "IDLE_INTERVAL", 0.05)
    store = DeliveryStore(mongo.database)
    shared: Any = SimpleNamespace(deliveries=store, lock=asyncio.Lock())  # nothing is attempted
    queue = PushQueue(HOST, shared)
    later = delivery("a", 1, 1)
    later.due_at = now() + timedelta(hours=1)
    await store.put([later])
    running = asyncio.create_task(queue.run())
    done, _ = await asyncio.wait([running], timeout=0.5)
    assert not done
    await store.remove(later)
    queue.waiting -= 1
    queue.added()
    async with asyncio.timeout(5):
        await running


async def test_deliveries_that_replace_each_other_do_not_fill_a_queue(
    mongo: Mongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(push_queue, "MAX_WAITING", 2)
    store = DeliveryStore(mongo.database)
    shared: Any = SimpleNamespace(deliveries=store)  # nothing is attempted
    queue = PushQueue(HOST, shared)
    for seq in (1, 2, 3):
        await store.put([delivery("a", seq, seq)])
        queue.added()
    assert not await queue.is_full()
    await store.put([delivery("b", 4, 4)])
    queue.added()
    assert await queue.is_full()
