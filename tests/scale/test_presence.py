"""What presence costs, counted: nothing in the processes where nobody watches the user."""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence

import pytest

from service.chat import events
from service.chat.last_seen import LastSeenStore
from service.common.encoding import loads
from service.datastores import redis_link
from service.datastores.mongo import Mongo
from service.realtime import followed_addresses, presence_store, redis_bus
from service.realtime.addresses import Addresses, presence_address
from service.realtime.presence_service import PresenceService
from service.realtime.presence_store import PresenceStore
from tests.cluster import Node
from tests.proxy import Proxy
from tests.realtime.test_presence import ADA, BOB, AllVisible
from tests.realtime.wire import queued
from tests.scale.bus_process import BusProcess, until
from tests.scale.test_simulation import all_received

VIEWER = "c" * 24
USERS = [f"{number:024x}" for number in range(3)]


class Process(BusProcess):
    """With presence."""

    def __init__(self, url: str, server: Node, mongo: Mongo) -> None:
        super().__init__(url)
        last_seen = LastSeenStore(mongo.database)
        self.store = PresenceStore(self.registry, self.bus, server.redis, last_seen)
        self.presence = PresenceService(self.store, self.bus, last_seen, events.presence, AllVisible())

    async def start(self) -> None:
        await self.bus.start()
        await self.store.start()
        await self.presence.start()

    async def watch(self, viewer: str, user_ids: Collection[str]) -> None:
        await self.presence.subscribe_with_snapshot(self.streams[viewer], user_ids)

    def states(self, viewer: str) -> dict[str, bool]:
        """Return the last states that the viewer was sent."""
        return {
            event.key.removeprefix("presence:"): loads(event.body)["data"]["online"]
            for event in queued(self.streams[viewer])
            if event.key
        }

    async def close(self) -> None:
        await self.presence.close()
        await self.store.close()
        await super().close()


Start = Callable[..., Awaitable[Process]]


@pytest.fixture
async def start(server: Node, mongo: Mongo) -> AsyncIterator[Start]:
    started: list[Process] = []

    async def make(url: str = "") -> Process:
        process = Process(url or server.url, server, mongo)
        started.append(process)
        await process.start()
        return process

    yield make
    for process in started:
        await process.close()


async def test_a_process_without_a_watcher_hears_nothing_of_presence(start: Start) -> None:
    """A hundred users come and go; one process watches two of them, and one has users of its own who watch others."""
    changing, watching, foreign = await start(), await start(), await start()
    users = [f"{number:024x}" for number in range(100)]
    await watching.connect(ADA)
    await foreign.connect(BOB)
    await watching.watch(ADA, users[:2])
    await foreign.watch(BOB, [ADA])
    await until(lambda: foreign.states(BOB) == {ADA: True})
    await all_received([changing, watching, foreign])
    before = [process.bus.bytes_received.total() for process in (watching, foreign)]
    await changing.connect(*users)
    await until(lambda: watching.states(ADA) == dict.fromkeys(users[:2], True))
    changing.disconnect(*users)
    await until(lambda: watching.states(ADA) == dict.fromkeys(users[:2], False))
    await changing.sent()
    assert 4 == watching.bus.messages_received
    assert before[1] == foreign.bus.bytes_received.total()
    watching.presence.subscribe(watching.streams[ADA], users[1:2])
    await changing.connect(*users)
    await until(lambda: watching.states(ADA)[users[1]])
    await changing.sent()
    assert 5 == watching.bus.messages_received


async def test_hidden_presence_ends_the_subscriptions_on_other_processes(start: Start) -> None:
    """Of the user who is hidden, and of those from whom others are hidden: it is announced to where one of them is
    watched or connected. It cannot be missed by one who begins to watch meanwhile: the user is followed before."""
    hiding, watching, foreign = await start(), await start(), await start()
    await watching.connect(VIEWER)
    await foreign.connect(BOB)
    hidden: set[str] = set()

    class Visible(AllVisible):
        async def visible(self, viewer: str, user_ids: Collection[str]) -> set[str]:
            assert all(watching.bus.is_subscribed(presence_address(user_id)) for user_id in user_ids)
            return set(user_ids) - hidden

        async def viewers(self, user_id: str, viewers: Collection[str]) -> set[str]:
            return set() if user_id in hidden else set(viewers)

    watching.presence._visibility = Visible()
    await hiding.connect(ADA, *USERS)
    await watching.watch(VIEWER, [ADA, *USERS])
    await until(lambda: watching.states(VIEWER) == dict.fromkeys([ADA, *USERS], True))
    hidden.add(ADA)
    hiding.presence.announce_visibility([ADA])
    await until(lambda: watching.states(VIEWER) == {ADA: False} | dict.fromkeys(USERS, True))
    assert not watching.bus.is_subscribed(presence_address(ADA))
    hidden.update(USERS)
    hiding.presence.announce_visibility([VIEWER])
    await until(lambda: watching.states(VIEWER) == dict.fromkeys([ADA, *USERS], False))
    assert 0 == foreign.bus.bytes_received.total()


async def test_a_lost_change_is_noticed_within_one_comparison(
    start: Start, server: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The state of the user concerned is read, and of nobody else."""
    monkeypatch.setattr(redis_link, "COUNT_WAIT", 0.1)
    monkeypatch.setattr(redis_bus, "COMPARE_INTERVAL", 0.1)
    watching, changing = await start(), await start()
    await watching.connect(VIEWER)
    await watching.watch(VIEWER, [ADA, BOB])
    assert watching.states(VIEWER) == {ADA: False, BOB: False}
    reads: list[Collection[str]] = []
    read = watching.store.read

    async def recording(user_ids: Collection[str]) -> tuple[set[str], int]:
        reads.append(user_ids)
        return await read(user_ids)

    monkeypatch.setattr(watching.store, "read", recording)
    monkeypatch.setattr(changing.bus, "publish", lambda *_, **__: None)
    await changing.connect(ADA)
    await until(changing.store._synced.is_set)
    await server.redis.incr(Addresses("{loa}", 0).channel(presence_address(ADA)).decode() + ":count")
    await until(lambda: watching.states(VIEWER) == {ADA: True, BOB: False})
    assert {ADA} == {user_id for user_ids in reads for user_id in user_ids}


@pytest.fixture
async def proxy(server: Node) -> AsyncIterator[Proxy]:
    async with Proxy(server.url) as proxy:
        yield proxy


async def test_watching_without_redis_gets_the_states_once_it_is_back(
    proxy: Proxy, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who watches then is answered at once, with what this process knows."""
    watching, changing = await start(proxy.url), await start()
    await watching.connect(VIEWER)
    proxy.cut()
    await until(lambda: not watching.bus.connected)
    monkeypatch.setattr(followed_addresses, "CONFIRMATION_TIMEOUT", 1000)
    await watching.watch(VIEWER, [ADA])
    assert watching.states(VIEWER) == {ADA: False}
    await changing.connect(ADA)
    await changing.sent()
    await proxy.restore()
    await until(lambda: watching.states(VIEWER) == {ADA: True})


async def test_one_process_looks_for_dead_ones(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are; and another one once it has ended."""
    monkeypatch.setattr(presence_store, "HEARTBEAT_INTERVAL", 0.02)
    # The heartbeats would be late on a busy machine.
    monkeypatch.setattr(PresenceStore, "_postpone_reaping_after_outage", lambda *_: None)
    looking: list[PresenceStore] = []
    reap_dead = PresenceStore._reap_dead

    async def recording(store: PresenceStore, others: Sequence[str]) -> None:
        looking.append(store)
        assert len(others) <= 3
        await reap_dead(store, others)

    monkeypatch.setattr(PresenceStore, "_reap_dead", recording)
    processes = [await start() for _ in range(4)]
    await until(lambda: len(looking) >= 20)
    assert 1 == len(set(looking))
    await next(process for process in processes if process.store is looking[0]).store.close()
    looking.clear()
    await until(lambda: len(looking) >= 20)
    assert 1 == len(set(looking))
