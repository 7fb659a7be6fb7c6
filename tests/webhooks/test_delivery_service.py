"""Deliveries: at once, or from the database; every kind of failing receiver; 410; limits; restarts."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from service.common.times import now
from service.datastores import due_documents
from service.datastores.mongo import Mongo
from service.webhooks import delivery_service, delivery_store
from service.webhooks import sender as sender_module
from service.webhooks.delivery_service import DeliveryService
from service.webhooks.delivery_store import Delivery, DeliveryStore
from service.webhooks.sender import WebhookSender
from tests.webhooks.conftest import SECRET
from tests.webhooks.receiver import OK, Receiver, answer

Services = Callable[[], AbstractAsyncContextManager[DeliveryService]]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery_service, "POLL_INTERVAL", 0.02)
    monkeypatch.setattr(delivery_service, "DIRECT_TIME", 0.5)
    monkeypatch.setattr(delivery_store, "RETRY_DELAYS", (0.05,) * 3)


@pytest.fixture
async def store(mongo: Mongo) -> DeliveryStore:
    store = DeliveryStore(mongo.database)
    await store.create_indexes()
    return store


@pytest.fixture
def outcomes() -> list[str]:
    return []


@pytest.fixture
async def services(store: DeliveryStore, receiver: Receiver, outcomes: list[str]) -> AsyncIterator[Services]:
    """`async with services() as service`: it runs, and is cancelled at the end as by kill -9: nothing is cleaned up."""
    sender = WebhookSender(receiver.url, [SECRET], allow_private=True, connections=delivery_service.CONCURRENCY)

    @asynccontextmanager
    async def run() -> AsyncIterator[DeliveryService]:
        service = DeliveryService(store, sender, receiver.url, outcomes.append)
        await service.prepare()
        task = asyncio.create_task(service.run())
        yield service
        task.cancel()
        await asyncio.wait([task])

    yield run
    await sender.close()


def delivery(id: str, age: float = 0) -> Delivery:
    return Delivery(id, "user.created", '{"type":"user.created"}', now() - timedelta(seconds=age))


async def stored(mongo: Mongo) -> dict[str, dict[str, Any]]:
    documents = await mongo.database["webhook_deliveries"].find().to_list(None)
    return {document["_id"]: document for document in documents}


async def until_stored(mongo: Mongo, condition: Callable[[dict[str, dict[str, Any]]], bool]) -> None:
    async with asyncio.timeout(15):
        while not condition(await stored(mongo)):
            await asyncio.sleep(0.01)


async def test_a_webhook_is_delivered_without_being_stored(
    mongo: Mongo, receiver: Receiver, services: Services, outcomes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`accept` returns once the receiver has all of them, so that the position can be stored."""
    monkeypatch.setattr(delivery_service, "DIRECT_TIME", 10.0)
    async with services() as service:
        await service.accept([delivery(str(number)) for number in range(50)])
        assert {str(number) for number in range(50)} == receiver.accepted.keys()
        assert ({}, 0) == (await stored(mongo), service.waiting)
    assert ["delivered"] * 50 == outcomes


@pytest.mark.parametrize(
    "response",
    [answer(500), answer(404), answer(302, "Location: http://127.0.0.1/"), b"garbage\r\n\r\n"],
    ids=["500", "404", "redirect", "garbage"],
)
async def test_a_failed_webhook_is_attempted_again_with_the_same_id(
    mongo: Mongo, receiver: Receiver, services: Services, response: bytes
) -> None:
    """And with the same body; only the time of the attempt differs."""
    receiver.behaviour = lambda request: response if len(receiver.of(request.id)) < 2 else OK
    async with services() as service:
        await service.accept([delivery("a")])
        await receiver.wait_for_accepted("a")
        await until_stored(mongo, lambda found: not found)
        assert 0 == service.waiting
    assert 3 == len(receiver.of("a"))
    assert 1 == len({request.body for request in receiver.requests})


async def test_a_webhook_that_always_fails_is_parked(
    mongo: Mongo, receiver: Receiver, services: Services, store: DeliveryStore
) -> None:
    """After the last attempt; resending it attempts it at once."""
    receiver.behaviour = lambda _: answer(500)
    async with services() as service:
        await service.accept([delivery("a")])
        await until_stored(mongo, lambda found: "parked_at" in found.get("a", {}))
        assert 4 == len(receiver.requests)
        assert (0, 1) == (service.waiting, service.parked)
        (parked,) = await store.parked(10)
        assert ("a", 4, "server_error") == (parked["_id"], parked["attempts"], parked["outcome"])
        assert "body" not in parked
        receiver.behaviour = lambda _: OK
        assert 1 == await store.resend("a")
        await receiver.wait_for_accepted("a")
    assert 0 == await store.resend("a")


async def test_a_receiver_that_is_down_gets_everything_when_it_is_back(
    mongo: Mongo, receiver: Receiver, services: Services
) -> None:
    async with services() as service:
        await receiver.stop()
        await service.accept([delivery("a")])
        await service.accept([delivery(str(number)) for number in range(30)])
        assert {"a", *map(str, range(30))} == (await stored(mongo)).keys()
        await receiver.start()
        await receiver.wait_for_accepted("a", *map(str, range(30)))
        await until_stored(mongo, lambda found: not found)


async def test_a_receiver_that_stalls_holds_up_no_change(
    mongo: Mongo, receiver: Receiver, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`accept` stores what is not answered soon. An attempt that is answered late is not repeated."""
    monkeypatch.setattr(delivery_service, "CONCURRENCY", 2)
    release = asyncio.Event()
    receiver.delay = release.wait
    async with services() as service:
        async with asyncio.timeout(5):
            await service.accept([delivery(str(number)) for number in range(20)])
        assert 20 == len(await stored(mongo)) == service.waiting
        release.set()
        await receiver.wait_for_accepted(*map(str, range(20)))
        await until_stored(mongo, lambda found: not found)
    assert {1} == set(receiver.accepted.values())


async def test_what_a_busy_process_delays_is_not_stored(
    mongo: Mongo, receiver: Receiver, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The receiver answers, and there is only little time for webhooks: each attempt waits for longer."""
    monkeypatch.setattr(delivery_service, "DIRECT_TIME", 2.0)
    monkeypatch.setattr(delivery_service, "CONCURRENCY", 1)

    async def be_busy() -> None:
        while True:
            time.sleep(0.005)
            await asyncio.sleep(0)

    async with services() as service:
        busy = asyncio.create_task(be_busy())
        began = time.monotonic()
        await service.accept([delivery(str(number)) for number in range(20)])
        assert time.monotonic() - began > 2.0
        assert ({}, 20) == (await stored(mongo), len(receiver.accepted))
        busy.cancel()


async def test_a_receiver_that_never_answers_is_timed_out(
    mongo: Mongo, receiver: Receiver, services: Services, outcomes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver.behaviour = lambda _: OK if outcomes else None
    async with services() as service:
        with monkeypatch.context() as patch:
            patch.setattr(sender_module, "ANSWER_TIMEOUT", 1.0)
            await service.accept([delivery("a")])
        # The first attempt is under way. Later ones have as long as they need, on a busy machine too.
        await receiver.wait_for_accepted("a")
        await until_stored(mongo, lambda found: not found)
    assert ["timeout", "delivered"] == outcomes


async def test_a_receiver_that_is_gone_gets_nothing_until_the_operator_resends(
    mongo: Mongo, receiver: Receiver, services: Services, store: DeliveryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits and what comes is parked, also after a restart; another URL is another receiver."""
    monkeypatch.setattr(delivery_service, "DIRECT_TIME", 10.0)
    receiver.behaviour = lambda _: answer(410)
    async with services() as service:
        await service.accept([delivery("a")])
        await service.accept([delivery("b")])
    async with services() as service:
        await service.accept([delivery("c")])
        found = await stored(mongo)
        assert {"a", "b", "c"} == {id for id, document in found.items() if "parked_at" in document}
        assert ["a"] == [request.id for request in receiver.requests]
        assert not await store.is_gone("https://elsewhere.example/")
        receiver.behaviour = lambda _: OK
        assert 3 == await store.resend(None)
        await receiver.wait_for_accepted("a", "b", "c")
        await service.accept([delivery("d")])
        await receiver.wait_for_accepted("d")
        await until_stored(mongo, lambda found: not found)


async def test_what_is_queued_when_the_receiver_is_gone_is_parked(
    mongo: Mongo, receiver: Receiver, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """New webhooks as well as those that waited in the database."""
    monkeypatch.setattr(delivery_service, "CONCURRENCY", 1)
    monkeypatch.setattr(delivery_service, "DIRECT_TIME", 10.0)
    receiver.behaviour = lambda _: answer(410)
    for first, arrived in ((0, 1), (20, 2)):
        async with services() as service:
            await service.accept([delivery(str(number)) for number in range(first, first + 20)])
            assert first + 20 == service.parked == len(await stored(mongo))
            assert arrived == len(receiver.requests)
        await DeliveryStore(mongo.database).resend(None)
    assert 40 == len(await stored(mongo))


async def test_another_process_delivers_what_a_killed_one_left(
    mongo: Mongo, receiver: Receiver, services: Services
) -> None:
    receiver.behaviour = lambda _: answer(500)
    async with services() as service:
        await service.accept([delivery("a")])
        await service.accept([delivery("b")])
    receiver.behaviour = lambda _: OK
    async with services():
        await receiver.wait_for_accepted("a", "b")
        await until_stored(mongo, lambda found: not found)


async def test_a_repeated_batch_changes_nothing_of_what_waits(
    mongo: Mongo, receiver: Receiver, services: Services
) -> None:
    """A killed process may have stored a batch, and not the position after it."""
    await receiver.stop()
    async with services() as service:
        await service.accept([delivery("a")])
        await until_stored(mongo, lambda found: found["a"]["attempts"] > 1)
        attempts = (await stored(mongo))["a"]["attempts"]
    async with services() as service:
        await service.accept([delivery("b")])
        await service.accept([delivery("a")])
        assert (await stored(mongo))["a"]["attempts"] >= attempts


async def test_changes_wait_while_too_many_deliveries_do(
    mongo: Mongo, receiver: Receiver, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The number in the database is limited; nothing is dropped."""
    monkeypatch.setattr(delivery_service, "MAX_WAITING", 3)
    monkeypatch.setattr(delivery_store, "RETRY_DELAYS", (0.05,) * 1000)
    receiver.behaviour = lambda _: answer(500)
    async with services() as service:
        await service.accept([delivery("a")])
        await service.accept([delivery("b"), delivery("c")])
        accepting = asyncio.create_task(service.accept([delivery("d")]))
        attempts = len(receiver.requests)
        await receiver.wait(lambda: len(receiver.requests) > attempts + 3)
        assert not accepting.done()
        assert {"a", "b", "c"} == (await stored(mongo)).keys()
        receiver.behaviour = lambda _: OK
        async with asyncio.timeout(15):
            await accepting
        await receiver.wait_for_accepted("a", "b", "c", "d")


async def test_a_delivery_that_is_too_old_is_parked(mongo: Mongo, receiver: Receiver, services: Services) -> None:
    """The receiver answers more slowly than things happen: it is attempted once more, and then no longer."""
    receiver.behaviour = lambda _: answer(500)
    async with services() as service:
        await service.accept([delivery("a", delivery_store.MAX_AGE.total_seconds())])
        await until_stored(mongo, lambda found: "parked_at" in found.get("a", {}))
    assert 1 == len(receiver.requests)


async def test_parked_deliveries_are_limited_in_age_and_number(
    mongo: Mongo, store: DeliveryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Retention deletes the oldest."""
    await store.add([delivery(str(number)) for number in range(5)], gone=True)
    deliveries = mongo.database["webhook_deliveries"]
    await deliveries.update_one({"_id": "0"}, {"$set": {"parked_at": now() - timedelta(days=31)}})
    await deliveries.update_one({"_id": "1"}, {"$set": {"parked_at": now() - timedelta(days=29)}})
    assert (1, 0) == (await store.delete_expired(), await store.delete_expired())
    monkeypatch.setattr(delivery_store, "MAX_PARKED", 3)
    assert (1, 0) == (await store.delete_expired(), await store.delete_expired())
    assert {"2", "3", "4"} == (await stored(mongo)).keys()


def test_the_delays_are_those_of_the_contract(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    hours = 3600
    expected = (5, 300, 1800, 2 * hours, 5 * hours, 10 * hours, 14 * hours, 20 * hours, 24 * hours)
    assert expected == delivery_store.RETRY_DELAYS
    assert (0.2, 15.0) == (due_documents.JITTER, sender_module.ANSWER_TIMEOUT)
