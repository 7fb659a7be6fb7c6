"""Presence across several processes."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import AsyncExitStack
from datetime import datetime
from typing import Any

import pytest
from redis.asyncio import Redis

from service.chat import events
from service.chat.last_seen import LastSeenStore
from service.common.encoding import loads
from service.common.errors import Unavailable
from service.common.tasks import cancel_and_wait
from service.datastores.mongo import Mongo
from service.datastores.redis import REDIS_ERRORS, TAG, connect
from service.realtime.addresses import presence_address
from service.realtime.event_stream import EventStream
from service.realtime.presence_service import PresenceService
from service.realtime.presence_store import PresenceStore
from service.realtime.redis_bus import RedisBus
from service.realtime.registry import Registry
from service.realtime.timer_wheel import TimerWheel
from tests.conftest import Datastores
from tests.proxy import Proxy
from tests.realtime.wire import identity, queued


class AllVisible:
    """Everybody sees everybody's presence."""

    async def visible(self, viewer: str, user_ids: Collection[str]) -> set[str]:
        return set(user_ids)

    async def viewers(self, user_id: str, viewers: Collection[str]) -> set[str]:
        return set(viewers)


class Process:
    """One process: a bus, a registry, and the changes that it is notified of: those of ADA, BOB, its own users, and
    those whom its connections watch."""

    def __init__(self, url: str, redis: Redis, mongo: Mongo, clock: Callable[[], float] = time.monotonic) -> None:
        """`redis`: a client for `url`."""
        self.bus = RedisBus(url)
        self.registry = Registry(TimerWheel())
        last_seen = LastSeenStore(mongo.database)
        self.store = PresenceStore(self.registry, self.bus, redis, last_seen, clock)
        self.presence = PresenceService(self.store, self.bus, last_seen, events.presence, AllVisible())
        self.changes: asyncio.Queue[tuple[str, bool]] = asyncio.Queue()
        self.messages = 0
        self.bus.on("presence", self._on_presence)

    async def start(self) -> None:
        await self.bus.start()
        for user_id in (ADA, BOB):
            self.bus.subscribe(presence_address(user_id))
        async with asyncio.timeout(5):
            while not all(self.bus.is_subscribed(presence_address(user_id)) for user_id in (ADA, BOB)):
                await asyncio.sleep(0.005)
        await self.store.start()
        await self.presence.start()

    async def close(self) -> None:
        await self.presence.close()
        await self.store.close()
        await self.bus.close()

    def connect(self, user_id: str) -> EventStream:
        stream = EventStream(self.registry, identity(user_id), "chat")
        self.registry.register(stream)
        return stream

    def _on_presence(self, head: dict[str, Any], body: bytes) -> None:
        self.messages += 1
        for user_id in head["joined"]:
            self.changes.put_nowait((user_id, True))
        for user_id in head["left"]:
            self.changes.put_nowait((user_id, False))

    async def expect_change(self, user_id: str, online: bool) -> None:
        assert await asyncio.wait_for(self.changes.get(), 10) == (user_id, online)

    async def kill(self) -> None:
        """Stop as by kill -9: without leaving, so that its key expires."""
        await self.presence.close()
        for task in self.store.tasks:
            await cancel_and_wait(task)


ADA, BOB, EVE = "aaaaaaaaaaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbbbbbbbbbb", "eeeeeeeeeeeeeeeeeeeeeeee"


@pytest.fixture
async def processes(datastores: Datastores, redis: Redis, mongo: Mongo) -> AsyncIterator[Callable[[], Any]]:
    async with AsyncExitStack() as stack:

        async def start() -> Process:
            process = Process(datastores.redis_url, redis, mongo)
            await process.start()
            stack.push_async_callback(process.close)
            return process

        yield start


async def are_online(process: Process, *user_ids: str) -> list[bool]:
    states = await process.presence.states(user_ids)
    return [states[user_id]["online"] for user_id in user_ids]


async def test_a_user_is_online_everywhere_while_any_process_has_a_connection(processes: Callable[[], Any]) -> None:
    """Every process is notified of the first and the last connection, and of none in between."""
    one, two = await processes(), await processes()
    here, there = one.connect(ADA), two.connect(ADA)
    for process in (one, two):
        await process.expect_change(ADA, True)
    assert await are_online(one, ADA, BOB) == [True, False]
    here.close(1000, "bye")
    second = one.connect(ADA)
    second.close(1000, "bye")
    there.close(1000, "bye")
    for process in (one, two):
        await process.expect_change(ADA, False)
        assert process.changes.empty()
    state = (await one.presence.states([ADA]))[ADA]
    assert state["online"] is False
    assert state["last_seen"].endswith("Z")


async def test_changes_of_many_users_at_once_reach_those_who_watch_one_of_them(
    processes: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One message for each watched user, although the users come and go in batches."""
    monkeypatch.setattr("service.realtime.presence_store.MAX_BATCH", 100)
    one, two = await processes(), await processes()
    subscriber = one.connect(ADA)
    await one.expect_change(ADA, True)
    await two.expect_change(ADA, True)
    crowd = [f"{number:024x}" for number in range(250)]
    watched = {crowd[0], crowd[-1]}
    await one.presence.subscribe_with_snapshot(subscriber, list(watched))
    queued(subscriber)
    before = one.messages
    streams = [two.connect(user_id) for user_id in crowd]
    assert {(user_id, True) for user_id in watched} == {await asyncio.wait_for(one.changes.get(), 10) for _ in watched}
    for stream in streams:
        stream.close(1012, "restart")
    assert {(user_id, False) for user_id in watched} == {await asyncio.wait_for(one.changes.get(), 10) for _ in watched}
    assert 4 == one.messages - before
    sent = {data.pop("user_id"): data for data in (loads(event.body)["data"] for event in queued(subscriber))}
    assert [False, False] == [state["online"] for state in sent.values()]
    assert await one.presence.states(list(watched)) == sent


async def test_users_who_come_in_a_rush_share_a_request(
    processes: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One who comes while a request is under way, and another soon afterwards: the change has one number for both."""
    monkeypatch.setattr("service.realtime.presence_store.BATCH_INTERVAL", 0.3)
    process = await processes()
    process.bus.subscribe(presence_address(EVE))
    async with asyncio.timeout(5):
        while not process.bus.is_subscribed(presence_address(EVE)):
            await asyncio.sleep(0.005)
    numbers: dict[str, int] = {}
    process.bus.on("presence", lambda head, body: numbers.update(dict.fromkeys(head["joined"], head["number"])))
    process.connect(ADA)
    while process.store._changed:
        await asyncio.sleep(0)
    process.connect(BOB)
    await process.expect_change(ADA, True)
    process.connect(EVE)
    assert {(BOB, True), (EVE, True)} == {await asyncio.wait_for(process.changes.get(), 10) for _ in range(2)}
    assert numbers[ADA] < numbers[BOB] == numbers[EVE]


async def test_the_users_of_a_dead_process_go_offline(
    processes: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process finds its key expired and removes its users."""
    # A process whose heartbeat is late by half an interval does not reap for a while: with shorter intervals, that
    # would happen on a busy machine.
    monkeypatch.setattr("service.realtime.presence_store.ALIVE_SECONDS", 2)
    monkeypatch.setattr("service.realtime.presence_store.HEARTBEAT_INTERVAL", 1.0)
    one, two = await processes(), await processes()
    two.connect(ADA)
    two.connect(BOB)
    one.connect(BOB)
    changes = {await asyncio.wait_for(one.changes.get(), 10) for _ in range(2)}
    assert changes == {(ADA, True), (BOB, True)}
    await two.kill()
    await one.expect_change(ADA, False)
    assert await are_online(one, ADA, BOB) == [False, True]


async def test_a_process_adds_no_users_before_it_is_registered(
    processes: Callable[[], Any], redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If it were killed then, no process would reap its users."""
    proceed, heartbeat = asyncio.Event(), PresenceStore._heartbeat

    async def late_heartbeat(store: PresenceStore) -> None:
        await proceed.wait()
        await heartbeat(store)

    monkeypatch.setattr(PresenceStore, "_heartbeat", late_heartbeat)
    process = await processes()
    process.connect(ADA)
    for _ in range(50):
        assert not await redis.exists(f"{TAG}:presence:user:{ADA}")
    proceed.set()
    await process.expect_change(ADA, True)
    assert await redis.sismember(f"{TAG}:presence:processes", process.bus.process_id)


async def test_a_redis_that_lost_its_data_is_filled_again(
    processes: Callable[[], Any], redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Connected users are online again within one heartbeat."""
    monkeypatch.setattr("service.realtime.presence_store.HEARTBEAT_INTERVAL", 0.2)
    one, two = await processes(), await processes()
    one.connect(ADA)
    await two.expect_change(ADA, True)
    await redis.flushdb()
    await two.expect_change(ADA, True)
    assert await are_online(two, ADA) == [True]
    assert await redis.scard(f"{TAG}:presence:processes") >= 1


async def test_a_change_is_published_even_if_the_reply_of_redis_is_lost(
    processes: Callable[[], Any], datastores: Datastores, mongo: Mongo
) -> None:
    """The command succeeded, so its repetition is answered with 'nothing changed'."""
    other = await processes()
    async with Proxy(datastores.redis_url) as proxy:
        far = connect(proxy.url)
        process = Process(proxy.url, far, mongo)
        await process.start()
        for step in ("joins", "leaves", "joins again", "leaves again"):
            # A command of the script: that of the bus does not have it.
            lost, proxy.drop_reply_to = proxy.dropped_replies, b"SCARD"
            if step.startswith("joins"):
                stream = process.connect(ADA)
            else:
                stream.close(1000, "bye")
            async with asyncio.timeout(10):
                while proxy.dropped_replies < lost + 1 + step.endswith(
                    "again"
                ):  # twice if redis-py repeats the command itself
                    await asyncio.sleep(0.005)
            proxy.drop_reply_to = b""
            await other.expect_change(ADA, step.startswith("joins"))
        await process.close()
        await far.aclose()


async def test_reaping_is_repeated_if_the_reply_of_redis_is_lost(
    processes: Callable[[], Any], datastores: Datastores, mongo: Mongo, redis: Redis
) -> None:
    """The users are published as offline although the first attempt removed them."""
    other, dead = await processes(), await processes()
    dead.connect(ADA)
    await other.expect_change(ADA, True)
    await dead.kill()
    async with Proxy(datastores.redis_url) as proxy:
        far = connect(proxy.url)
        process = Process(proxy.url, far, mongo)
        await process.bus.start()
        proxy.drop_reply_to = b"SREM"
        with pytest.raises(REDIS_ERRORS):
            await process.store._reap(dead.bus.process_id)
        assert not await redis.exists(f"{TAG}:presence:user:{ADA}")
        proxy.drop_reply_to = b""
        await process.store._reap(dead.bus.process_id)
        await other.expect_change(ADA, False)
        await process.bus.close()
        await far.aclose()


async def test_a_process_that_could_not_send_heartbeats_is_not_reaped(
    processes: Callable[[], Any],
    datastores: Datastores,
    mongo: Mongo,
    redis: Redis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After an outage of Redis, the first process to return gives the others time to return."""
    monkeypatch.setattr("service.realtime.presence_store.HEARTBEAT_INTERVAL", 0.02)
    monkeypatch.setattr("service.realtime.presence_store.RETRY_INTERVAL", 0.1)
    seconds = 0.0
    late = await processes()
    async with Proxy(datastores.redis_url) as proxy:
        far = connect(proxy.url)
        first = Process(proxy.url, far, mongo, lambda: seconds)
        await first.start()
        late.connect(ADA)
        await first.expect_change(ADA, True)
        proxy.cut()
        await late.kill()
        await redis.delete(*(f"{TAG}:presence:alive:{process.bus.process_id}" for process in (first, late)))
        seconds += 60
        await proxy.restore()
        await wait_for_key(redis, f"{TAG}:presence:alive:{first.bus.process_id}")
        await wait_for_heartbeats(redis, first, 5)
        await late.store.start()
        await wait_for_key(redis, f"{TAG}:presence:alive:{late.bus.process_id}")
        await wait_for_heartbeats(redis, first, 5)
        assert first.changes.empty()
        assert [True] == await are_online(first, ADA)
        await first.close()
        await far.aclose()


async def wait_for_heartbeats(redis: Redis, process: Process, count: int) -> None:
    """Wait until the process has sent `count` heartbeats."""
    key = f"{TAG}:presence:alive:{process.bus.process_id}"
    async with asyncio.timeout(10):
        for _ in range(count):
            await redis.set(key, "waiting")
            while await redis.get(key) == b"waiting":
                await asyncio.sleep(0.01)


async def wait_for_key(redis: Redis, key: str) -> None:
    """Wait until the key exists."""
    async with asyncio.timeout(5):
        while not await redis.exists(key):
            await asyncio.sleep(0.01)


async def test_a_subscriber_gets_changes_of_its_users_only(processes: Callable[[], Any]) -> None:
    """A new subscription replaces the former one, and closing the connection ends it."""
    one, two = await processes(), await processes()
    subscriber = one.connect(BOB)
    await one.expect_change(BOB, True)
    one.presence.subscribe(subscriber, ["cccccccccccccccccccccccc"])
    one.presence.subscribe(subscriber, [ADA])
    two.connect("cccccccccccccccccccccccc")
    two.connect(ADA)
    await one.expect_change(ADA, True)
    assert one.changes.empty()
    assert [event.key for event in queued(subscriber)] == [f"presence:{ADA}"]
    subscriber.close(1000, "bye")
    assert one.presence.subscriber_count == 0


async def test_a_process_hears_of_a_user_until_nobody_here_watches_them_any_more(processes: Callable[[], Any]) -> None:
    process, user_id = await processes(), "cccccccccccccccccccccccc"
    watching = [process.connect(ADA), process.connect(BOB)]
    for subscriber in watching:
        await process.presence.subscribe_with_snapshot(subscriber, [user_id])
    for subscriber in watching:
        assert process.bus.is_subscribed(presence_address(user_id))
        subscriber.close(1000, "bye")
    assert not process.bus.is_subscribed(presence_address(user_id))


async def test_a_snapshot_does_not_overwrite_a_change_during_its_read(
    processes: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The user joins after the snapshot was read and before it is sent."""
    process = await processes()
    store = process.presence._last_seen
    reading, proceed, look_up = asyncio.Event(), asyncio.Event(), store.look_up

    async def look_up_slowly(user_ids: Collection[str]) -> dict[str, datetime]:
        reading.set()
        await proceed.wait()
        return await look_up(user_ids)

    monkeypatch.setattr(store, "look_up", look_up_slowly)
    subscriber = process.connect(BOB)
    await process.expect_change(BOB, True)
    subscribing = asyncio.create_task(
        process.presence.subscribe_with_snapshot(subscriber, [ADA, "cccccccccccccccccccccccc"])
    )
    await asyncio.wait_for(reading.wait(), 5)
    process.connect(ADA)
    await process.expect_change(ADA, True)
    proceed.set()
    await asyncio.wait_for(subscribing, 5)
    states = {event.key: loads(event.body)["data"]["online"] for event in queued(subscriber)}
    assert {f"presence:{ADA}": True, "presence:cccccccccccccccccccccccc": False} == states


async def test_after_a_gap_of_the_bus_subscribers_get_the_current_states(processes: Callable[[], Any]) -> None:
    """The notifications published meanwhile are lost."""
    process = await processes()
    subscriber = process.connect(BOB)
    await process.expect_change(BOB, True)
    await process.presence.subscribe_with_snapshot(subscriber, [ADA])
    process.bus._handlers._by_kind["presence"].remove(process.presence._on_presence)
    process.connect(ADA)
    await process.expect_change(ADA, True)

    def last_state() -> bool:
        return [loads(event.body)["data"]["online"] for event in queued(subscriber) if event.key][-1]

    assert not last_state()
    process.bus.on_missed(process.bus._control)
    async with asyncio.timeout(5):
        while not last_state():
            await asyncio.sleep(0.01)


async def test_without_redis_a_process_knows_its_own_users(mongo: Mongo) -> None:
    """An unavailable Redis is no error for the client."""
    unavailable = Redis(host="127.0.0.1", port=1, socket_connect_timeout=0.2)
    process = Process("redis://127.0.0.1:1", unavailable, mongo)
    process.connect(ADA)
    assert await are_online(process, ADA, BOB) == [True, False]
    await unavailable.aclose()


def delay_recording(process: Process) -> asyncio.Event:
    """Make `process` wait for the returned event before it records when a user was last seen."""
    store = process.store._last_seen
    proceed, record = asyncio.Event(), store.record

    async def record_later(user_ids: Collection[str], moment: datetime) -> None:
        await proceed.wait()
        await record(user_ids, moment)

    store.record = record_later  # type: ignore[method-assign]
    return proceed


async def wait_until_removed(redis: Redis, user_id: str) -> None:
    """Wait until Redis has no process with a connection of this user."""
    async with asyncio.timeout(5):
        while await redis.exists(f"{TAG}:presence:user:{user_id}"):
            await asyncio.sleep(0.01)


async def test_a_user_who_moves_to_another_process_is_online_in_the_end(
    processes: Callable[[], Any], redis: Redis
) -> None:
    """Even if the message that they left one process arrives after the one that they joined another: it has a lower
    number."""
    one, two = await processes(), await processes()
    subscriber = two.connect(BOB)
    await one.expect_change(BOB, True)
    await two.expect_change(BOB, True)
    await two.presence.subscribe_with_snapshot(subscriber, [ADA])
    stream = one.connect(ADA)
    await two.expect_change(ADA, True)
    proceed = delay_recording(one)
    stream.close(1012, "restart")
    await wait_until_removed(redis, ADA)
    two.connect(ADA)
    await two.expect_change(ADA, True)
    proceed.set()
    await two.expect_change(ADA, False)
    assert [True] == [loads(event.body)["data"]["online"] for event in queued(subscriber)]


async def test_a_closing_process_publishes_all_users_who_left(processes: Callable[[], Any], redis: Redis) -> None:
    """Including those whom Redis has removed, but who have not been published yet."""
    one, two = await processes(), await processes()
    stream = one.connect(ADA)
    await two.expect_change(ADA, True)
    proceed = delay_recording(one)
    stream.close(1012, "restart")
    await wait_until_removed(redis, ADA)
    closing = asyncio.create_task(one.store.close())
    await asyncio.sleep(0)
    proceed.set()
    await closing
    await two.expect_change(ADA, False)
    assert (await two.presence.states([ADA]))[ADA]["last_seen"]


@pytest.mark.parametrize("noticed", [True, False])
async def test_a_failover_that_takes_back_a_departure_leaves_nobody_online(
    processes: Callable[[], Any], redis: Redis, monkeypatch: pytest.MonkeyPatch, noticed: bool
) -> None:
    """The replica that takes over has not seen the last commands; the bus notices a gap, or it does not."""
    if not noticed:
        monkeypatch.setattr("service.realtime.presence_store.COMPARE_INTERVAL", 0.05)
    process, other = await processes(), await processes()
    connection = process.connect(ADA)
    await other.expect_change(ADA, True)
    connection.close(1000, "bye")
    await other.expect_change(ADA, False)
    store, process_id = process.store, process.bus.process_id
    async with asyncio.timeout(5):
        # A comparison may have marked the user while the departure was under way: that removal, too, comes before.
        while await redis.exists(store._users_of(process_id)) or not store._synced.is_set():
            await asyncio.sleep(0.01)
    pipeline = redis.pipeline(transaction=True)
    pipeline.sadd(store._processes_of(ADA), process_id)
    pipeline.sadd(store._users_of(process_id), ADA)
    await pipeline.execute()
    assert await are_online(other, ADA) == [True]
    if noticed:
        process.bus.on_missed(process.bus._control)
    await other.expect_change(ADA, False)
    assert await are_online(other, ADA) == [False]


async def test_a_failover_that_takes_back_an_arrival_leaves_nobody_offline(
    processes: Callable[[], Any], redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The periodic comparison finds it, although the bus has noticed nothing."""
    monkeypatch.setattr("service.realtime.presence_store.COMPARE_INTERVAL", 0.05)
    process, other = await processes(), await processes()
    process.connect(ADA)
    await other.expect_change(ADA, True)
    store, process_id = process.store, process.bus.process_id
    pipeline = redis.pipeline(transaction=True)
    pipeline.srem(store._users_of(process_id), ADA)
    pipeline.srem(store._processes_of(ADA), process_id)
    await pipeline.execute()
    await other.expect_change(ADA, True)
    assert await are_online(other, ADA) == [True]


@pytest.mark.parametrize(("changed", "reads"), [(ADA, 2), (BOB, 2), ("c" * 24, 1)])
async def test_visibility_is_read_again_if_it_changed_meanwhile(
    processes: Callable[[], Any], changed: str, reads: int
) -> None:
    """That of the viewer or of a user whom they watch. If the changes of all users counted, a few hundred a second
    would keep every viewer reading."""
    process = await processes()
    arrived = asyncio.Event()
    process.bus.on("visibility", lambda head, body: arrived.set())
    done = 0

    class Changing(AllVisible):
        async def visible(self, viewer: str, user_ids: Collection[str]) -> set[str]:
            nonlocal done
            done += 1
            if done == 1 or changed not in (ADA, BOB):
                arrived.clear()
                process.presence.announce_visibility([changed])
                await asyncio.wait_for(arrived.wait(), 10)
            assert done <= reads
            return set(user_ids)

    process.presence._visibility = Changing()
    await process.presence.subscribe_with_snapshot(process.connect(ADA), [BOB])
    assert done >= reads


async def test_visibility_that_changes_while_it_cannot_be_read_is_checked_later(processes: Callable[[], Any]) -> None:
    """ADA is watched, and after a gap of the bus only that is checked. Meanwhile she loses sight of BOB."""
    process = await processes()
    viewing = process.connect(ADA)
    await process.presence.subscribe_with_snapshot(viewing, [BOB])
    await process.presence.subscribe_with_snapshot(process.connect(BOB), [ADA])
    failed = False

    class Failing(AllVisible):
        async def visible(self, viewer: str, user_ids: Collection[str]) -> set[str]:
            return set()

        async def viewers(self, user_id: str, viewers: Collection[str]) -> set[str]:
            nonlocal failed
            if user_id == ADA and not failed:
                failed = True
                process.presence.check_visibility([ADA])
                raise Unavailable
            return set(viewers)

    process.presence._visibility = Failing()
    process.bus.on_missed(process.bus._control)
    async with asyncio.timeout(10):
        while process.presence._subscriptions[viewing]:
            await asyncio.sleep(0.01)
    assert failed
