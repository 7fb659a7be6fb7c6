"""Presence over several processes."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import AsyncExitStack
from datetime import datetime
from typing import Any

import pytest
from redis.asyncio import Redis

from service.chat import events
from service.chat.last_seen import LastSeenStore
from service.common.encoding import loads
from service.common.tasks import cancel_and_wait
from service.datastores.mongo import Mongo
from service.datastores.redis import REDIS_ERRORS, TAG, connect
from service.realtime.event_stream import EventStream
from service.realtime.presence_service import PresenceService
from service.realtime.presence_store import PROCESSES, PresenceStore
from service.realtime.redis_bus import RedisBus
from service.realtime.registry import Registry
from service.realtime.timer_wheel import TimerWheel
from tests.conftest import Datastores
from tests.proxy import Proxy
from tests.realtime.wire import identity, queued


class Process:
    """One process's share: a bus, a registry, and who is told what."""

    def __init__(self, redis: Redis, mongo: Mongo) -> None:
        self.bus = RedisBus(redis)
        self.registry = Registry(TimerWheel())
        last_seen = LastSeenStore(mongo.database)
        self.online = PresenceStore(self.registry, self.bus, redis, last_seen)
        self.presence = PresenceService(self.online, self.bus, last_seen, events.presence)
        self.told: asyncio.Queue[tuple[str, bool]] = asyncio.Queue()
        self.messages = 0
        self.bus.on("presence", self._on_presence)

    async def start(self) -> None:
        await self.bus.start()
        await self.online.start()
        await self.presence.start()

    async def close(self) -> None:
        await self.presence.close()
        await self.online.close()
        await self.bus.close()

    def connect(self, user_id: str) -> EventStream:
        stream = EventStream(self.registry, identity(user_id), "chat")
        self.registry.register(stream)
        return stream

    def _on_presence(self, head: dict[str, Any], body: bytes) -> None:
        self.messages += 1
        for user_id in head["joined"]:
            self.told.put_nowait((user_id, True))
        for user_id in head["left"]:
            self.told.put_nowait((user_id, False))

    async def hears(self, user_id: str, online: bool) -> None:
        assert await asyncio.wait_for(self.told.get(), 10) == (user_id, online)

    async def die(self) -> None:
        """As by kill -9: it says nothing, and its sign of life runs out."""
        await self.presence.close()
        for task in self.online.tasks:
            await cancel_and_wait(task)


ADA, BOB = "aaaaaaaaaaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbbbbbbbbbb"


@pytest.fixture
async def processes(redis: Redis, mongo: Mongo) -> AsyncIterator[Callable[[], Any]]:
    async with AsyncExitStack() as stack:

        async def start() -> Process:
            process = Process(redis, mongo)
            await process.start()
            stack.push_async_callback(process.close)
            return process

        yield start


async def online(process: Process, *user_ids: str) -> list[bool]:
    states = await process.presence.states(user_ids)
    return [states[user_id]["online"] for user_id in user_ids]


async def test_a_user_is_online_everywhere_while_any_process_has_a_connection(processes: Callable[[], Any]) -> None:
    """Every process hears of the first and of the last, and of none between."""
    one, two = await processes(), await processes()
    here, there = one.connect(ADA), two.connect(ADA)
    for process in (one, two):
        await process.hears(ADA, True)
    assert await online(one, ADA, BOB) == [True, False]
    here.close(1000, "bye")
    second = one.connect(ADA)
    second.close(1000, "bye")
    there.close(1000, "bye")
    for process in (one, two):
        await process.hears(ADA, False)
        assert process.told.empty()
    state = (await one.presence.states([ADA]))[ADA]
    assert state["online"] is False
    assert state["last_seen"].endswith("Z")


async def test_many_who_come_or_go_at_once_are_few_messages(
    processes: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One for each batch, of which a process picks out whom it watches."""
    monkeypatch.setattr("service.realtime.presence_store.MAX_BATCH", 100)
    one, two = await processes(), await processes()
    watcher = one.connect(ADA)
    await one.hears(ADA, True)
    await two.hears(ADA, True)
    crowd = [f"{number:024x}" for number in range(250)]
    one.presence.subscribe(watcher, [crowd[0], crowd[-1]])
    said = one.messages
    streams = [two.connect(user_id) for user_id in crowd]
    assert {(user_id, True) for user_id in crowd} == {await asyncio.wait_for(one.told.get(), 10) for _ in crowd}
    for stream in streams:
        stream.close(1012, "restart")
    assert {(user_id, False) for user_id in crowd} == {await asyncio.wait_for(one.told.get(), 10) for _ in crowd}
    assert 6 == one.messages - said
    states = [loads(event.body)["data"] for event in queued(watcher)]
    assert {crowd[0], crowd[-1]} == {state["user_id"] for state in states}
    assert [False, False] == [state["online"] for state in states]
    assert (await one.presence.states([crowd[0]]))[crowd[0]]["last_seen"] == states[0]["last_seen"]


async def test_a_process_that_dies_leaves_no_ghosts(
    processes: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another one finds it listed and not alive, and takes its users out."""
    # Who was late by half a beat buries nobody for a while: on a busy machine that is soon the case with short ones.
    monkeypatch.setattr("service.realtime.presence_store.ALIVE_SECONDS", 2)
    monkeypatch.setattr("service.realtime.presence_store.HEARTBEAT_INTERVAL", 1.0)
    one, two = await processes(), await processes()
    two.connect(ADA)
    two.connect(BOB)
    one.connect(BOB)
    heard = {await asyncio.wait_for(one.told.get(), 10) for _ in range(2)}
    assert heard == {(ADA, True), (BOB, True)}
    await two.die()
    await one.hears(ADA, False)
    assert await online(one, ADA, BOB) == [False, True]


async def test_nobody_is_entered_by_a_process_that_is_not_listed_yet(
    processes: Callable[[], Any], redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody would look for its ghosts if it died then."""
    go, beat = asyncio.Event(), PresenceStore._heartbeat

    async def late(online: PresenceStore) -> None:
        await go.wait()
        await beat(online)

    monkeypatch.setattr(PresenceStore, "_heartbeat", late)
    process = await processes()
    process.connect(ADA)
    for _ in range(50):
        assert not await redis.exists(f"{TAG}:presence:user:{ADA}")
    go.set()
    await process.hears(ADA, True)
    assert await redis.sismember(PROCESSES, process.bus.process_id)


async def test_a_redis_that_comes_back_empty_is_filled_again(
    processes: Callable[[], Any], redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is connected is online again within a beat."""
    monkeypatch.setattr("service.realtime.presence_store.HEARTBEAT_INTERVAL", 0.2)
    one, two = await processes(), await processes()
    one.connect(ADA)
    await two.hears(ADA, True)
    await redis.flushdb()
    await two.hears(ADA, True)
    assert await online(two, ADA) == [True]
    assert await redis.scard(PROCESSES) >= 1


async def test_a_change_is_told_though_redis_could_not_say_that_it_was_made(
    processes: Callable[[], Any], datastores: Datastores, mongo: Mongo
) -> None:
    """It was made, and the answer got lost: whoever asks again is told that nothing has changed."""
    other = await processes()
    async with Proxy(datastores.redis_url) as proxy:
        far = connect(proxy.url)
        process = Process(far, mongo)
        await process.start()
        for step in ("comes", "goes", "comes again", "goes again"):
            lost, proxy.loses = proxy.lost, b"EXEC"
            if step.startswith("comes"):
                stream = process.connect(ADA)
            else:
                stream.close(1000, "bye")
            async with asyncio.timeout(10):
                while proxy.lost < lost + 1 + step.endswith("again"):  # once, and again when the client itself repeats
                    await asyncio.sleep(0.005)
            proxy.loses = b""
            await other.hears(ADA, step.startswith("comes"))
        await process.close()
        await far.aclose()


async def test_who_went_with_a_process_is_told_though_the_one_that_found_it_dead_is_cut_off(
    processes: Callable[[], Any], datastores: Datastores, mongo: Mongo, redis: Redis
) -> None:
    """It has taken them out, and could not be told so; it does it again."""
    other, dead = await processes(), await processes()
    dead.connect(ADA)
    await other.hears(ADA, True)
    await dead.die()
    async with Proxy(datastores.redis_url) as proxy:
        far = connect(proxy.url)
        process = Process(far, mongo)
        await process.bus.start()
        proxy.loses = b"SREM"
        with pytest.raises(REDIS_ERRORS):
            await process.online._reap(dead.bus.process_id)
        assert not await redis.exists(f"{TAG}:presence:user:{ADA}")
        proxy.loses = b""
        await process.online._reap(dead.bus.process_id)
        await other.hears(ADA, False)
        await process.bus.close()
        await far.aclose()


async def test_nobody_is_taken_for_dead_who_could_not_say_that_they_live(
    processes: Callable[[], Any],
    datastores: Datastores,
    mongo: Mongo,
    redis: Redis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After an outage the first to come back gives the others time to do so."""
    monkeypatch.setattr("service.realtime.presence_store.HEARTBEAT_INTERVAL", 0.2)
    monkeypatch.setattr("service.realtime.presence_store.ALIVE_SECONDS", 2)
    late = await processes()
    async with Proxy(datastores.redis_url) as proxy:
        far = connect(proxy.url)
        first = Process(far, mongo)
        await first.start()
        late.connect(ADA)
        await first.hears(ADA, True)
        proxy.cut()
        await late.die()
        await redis.delete(*(f"{TAG}:presence:alive:{process.bus.process_id}" for process in (first, late)))
        await asyncio.sleep(0.5)
        await proxy.mend()
        await exists(redis, f"{TAG}:presence:alive:{first.bus.process_id}")
        await asyncio.sleep(1)
        await late.online.start()
        await exists(redis, f"{TAG}:presence:alive:{late.bus.process_id}")
        await asyncio.sleep(1.5)
        assert first.told.empty()
        assert [True] == await online(first, ADA)
        await first.close()
        await far.aclose()


async def exists(redis: Redis, key: str) -> None:
    """Wait until it does."""
    async with asyncio.timeout(5):
        while not await redis.exists(key):
            await asyncio.sleep(0.01)


async def test_a_watcher_is_told_of_those_it_watches_and_of_no_others(processes: Callable[[], Any]) -> None:
    """The last set counts, and a watcher that has gone is forgotten."""
    one, two = await processes(), await processes()
    watcher = one.connect(BOB)
    await one.hears(BOB, True)
    one.presence.subscribe(watcher, ["cccccccccccccccccccccccc"])
    one.presence.subscribe(watcher, [ADA])
    two.connect("cccccccccccccccccccccccc")
    two.connect(ADA)
    heard = {await asyncio.wait_for(one.told.get(), 10) for _ in range(2)}
    assert len(heard) == 2
    assert [event.key for event in queued(watcher)] == [f"presence:{ADA}"]
    watcher.close(1000, "bye")
    assert one.presence.subscriber_count == 0


async def test_a_change_is_not_followed_by_what_was_before_it(
    processes: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who comes while it is asked whether they are there has come: the answer is older than that."""
    process = await processes()
    store = process.presence._last_seen
    asked, go, look_up = asyncio.Event(), asyncio.Event(), store.look_up

    async def look_up_slowly(user_ids: Collection[str]) -> dict[str, datetime]:
        asked.set()
        await go.wait()
        return await look_up(user_ids)

    monkeypatch.setattr(store, "look_up", look_up_slowly)
    watcher = process.connect(BOB)
    await process.hears(BOB, True)
    following = asyncio.create_task(
        process.presence.subscribe_with_snapshot(watcher, [ADA, "cccccccccccccccccccccccc"])
    )
    await asyncio.wait_for(asked.wait(), 5)
    process.connect(ADA)
    await process.hears(ADA, True)
    go.set()
    await asyncio.wait_for(following, 5)
    states = {event.key: loads(event.body)["data"]["online"] for event in queued(watcher)}
    assert {f"presence:{ADA}": True, "presence:cccccccccccccccccccccccc": False} == states


async def test_after_a_gap_watchers_are_told_how_it_is(processes: Callable[[], Any]) -> None:
    """The words of who came and who went meanwhile are lost."""
    process = await processes()
    watcher = process.connect(BOB)
    await process.hears(BOB, True)
    await process.presence.subscribe_with_snapshot(watcher, [ADA])
    process.bus._handlers._by_kind["presence"].remove(process.presence._on_presence)
    process.connect(ADA)
    await process.hears(ADA, True)

    def last() -> bool:
        return [loads(event.body)["data"]["online"] for event in queued(watcher) if event.key][-1]

    assert not last()
    process.bus._notify_gap()
    async with asyncio.timeout(5):
        while not last():
            await asyncio.sleep(0.01)


async def test_without_redis_a_process_knows_its_own(mongo: Mongo) -> None:
    """Asking is not worth an error."""
    nowhere = Redis(host="127.0.0.1", port=1, socket_connect_timeout=0.2)
    process = Process(nowhere, mongo)
    process.connect(ADA)
    assert await online(process, ADA, BOB) == [True, False]
    await nowhere.aclose()


def slow_to_record(process: Process) -> asyncio.Event:
    """Let `process` wait for the event before the time of someone's going is recorded."""
    store = process.online._last_seen
    go, record = asyncio.Event(), store.record

    async def wait_and_record(user_ids: Collection[str], moment: datetime) -> None:
        await go.wait()
        await record(user_ids, moment)

    store.record = wait_and_record  # type: ignore[method-assign]
    return go


async def left(redis: Redis, user_id: str) -> None:
    """Wait until Redis knows of no process with a connection of theirs."""
    async with asyncio.timeout(5):
        while await redis.exists(f"{TAG}:presence:user:{user_id}"):
            await asyncio.sleep(0.01)


async def test_who_goes_and_comes_elsewhere_at_once_is_online_in_the_end(
    processes: Callable[[], Any], redis: Redis
) -> None:
    """The word of their going is held up until after that of their coming."""
    one, two = await processes(), await processes()
    stream = one.connect(ADA)
    await two.hears(ADA, True)
    go = slow_to_record(one)
    stream.close(1012, "restart")
    await left(redis, ADA)
    two.connect(ADA)
    await two.hears(ADA, True)
    go.set()
    for process in (one, two):
        async with asyncio.timeout(10):
            while await process.told.get() != (ADA, False):
                pass
        await process.hears(ADA, True)
        assert process.told.empty()


async def test_a_process_that_ends_tells_of_everyone_who_went(processes: Callable[[], Any], redis: Redis) -> None:
    """Those included of whom Redis knows already, and nobody else yet."""
    one, two = await processes(), await processes()
    stream = one.connect(ADA)
    await two.hears(ADA, True)
    go = slow_to_record(one)
    stream.close(1012, "restart")
    await left(redis, ADA)
    closing = asyncio.create_task(one.online.close())
    await asyncio.sleep(0)
    go.set()
    await closing
    await two.hears(ADA, False)
    assert (await two.presence.states([ADA]))[ADA]["last_seen"]
