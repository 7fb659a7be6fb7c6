"""The contract of the bus, held by both of its implementations, and on either kind of Redis."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, suppress
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from service.common import tasks
from service.datastores.redis import connect, is_cluster
from service.realtime import redis_bus
from service.realtime.bus import Bus, LocalBus
from service.realtime.redis_bus import RedisBus
from tests.conftest import Datastores
from tests.proxy import Proxy

Made = Callable[[], Bus]


class Heard:
    """What one process hears of a kind."""

    def __init__(self, bus: Bus, kind: str = "greeting") -> None:
        self.messages: list[tuple[dict[str, Any], bytes]] = []
        self._changed = asyncio.Event()
        bus.on(kind, self._hear)

    def _hear(self, head: dict[str, Any], body: bytes) -> None:
        self.messages.append((head, body))
        self._changed.set()

    async def reaches(self, count: int) -> None:
        async with asyncio.timeout(10):
            while len(self.messages) < count:
                self._changed.clear()
                await self._changed.wait()


@pytest.fixture
async def cluster(cluster_url: str) -> AsyncIterator[Redis]:
    redis = connect(cluster_url)
    await redis.flushdb()
    yield redis
    await redis.aclose()


@pytest.fixture(params=["local", "redis", "cluster"])
async def bus(request: pytest.FixtureRequest, redis: Redis, cluster: Redis) -> AsyncIterator[Bus]:
    made: dict[str, Callable[[], Bus]] = {
        "local": LocalBus,
        "redis": lambda: RedisBus(redis),
        "cluster": lambda: RedisBus(cluster),
    }
    bus = made[request.param]()
    yield bus
    await bus.close()


async def test_a_publisher_hears_itself_at_once(bus: Bus) -> None:
    """Before it does anything else, and once."""
    heard = Heard(bus)
    await bus.start()
    bus.publish("greeting", {"n": 1}, b"hello")
    assert heard.messages == [({"n": 1}, b"hello")]
    bus.publish("greeting", {"n": 2})
    await heard.reaches(2)
    assert [head["n"] for head, _ in heard.messages] == [1, 2]


async def test_kinds_are_kept_apart(bus: Bus) -> None:
    """Nobody hears what they have not asked for."""
    heard, other = Heard(bus), Heard(bus, "other")
    await bus.start()
    bus.publish("greeting", {})
    assert (len(heard.messages), len(other.messages)) == (1, 0)


async def test_a_listener_that_fails_does_not_harm_the_others_nor_the_publisher(bus: Bus) -> None:
    """Its message is stored already; it must not look as if it were not."""

    def fail(head: dict[str, Any], body: bytes) -> None:
        raise RuntimeError

    bus.on("greeting", fail)
    heard = Heard(bus)
    await bus.start()
    bus.publish("greeting", {})
    assert len(heard.messages) == 1


async def test_a_bus_says_whether_it_hears(bus: Bus) -> None:
    """From its start on."""
    await bus.start()
    assert bus.connected


# What it takes two processes to see.


@pytest.fixture(params=["redis", "cluster"])
def server(request: pytest.FixtureRequest) -> Redis:
    """One server, and a cluster."""
    found: Redis = request.getfixturevalue(request.param)
    return found


@pytest.fixture
async def processes(server: Redis) -> AsyncIterator[Callable[[], RedisBus]]:
    async with AsyncExitStack() as stack:

        def make() -> RedisBus:
            bus = RedisBus(server)
            stack.push_async_callback(bus.close)
            return bus

        yield make


async def test_every_process_hears_every_other_in_the_order_of_speaking(processes: Callable[[], RedisBus]) -> None:
    """Heads, bodies with line breaks in them, thousands at once."""
    one, two, three = processes(), processes(), processes()
    hearers = [Heard(two), Heard(three)]
    for bus in (one, two, three):
        await bus.start()
    for n in range(3000):
        one.publish("greeting", {"n": n}, b"line\nbreak")
    for heard in hearers:
        await heard.reaches(3000)
        assert [head["n"] for head, _ in heard.messages] == list(range(3000))
        assert heard.messages[0][1] == b"line\nbreak"


async def test_what_was_said_to_a_redis_that_was_away_is_said_when_it_is_back(
    processes: Callable[[], RedisBus], server: Redis
) -> None:
    """The connections of both are killed on the server; both find back, and are told that they may have missed some."""
    one, two = processes(), processes()
    heard, gaps = Heard(two), asyncio.Event()
    two.on_gap(gaps.set)
    await one.start()
    await two.start()
    one.publish("greeting", {"n": 1})
    await heard.reaches(1)
    await server.client_kill_filter(_type="pubsub", skipme=True)
    await asyncio.wait_for(gaps.wait(), 10)
    one.publish("greeting", {"n": 2})
    await heard.reaches(2)
    assert [head["n"] for head, _ in heard.messages] == [1, 2]


@pytest.mark.parametrize("server", ["redis"], indirect=True)
async def test_a_redis_that_is_back_is_found_within_a_second(
    datastores: Datastores, processes: Callable[[], RedisBus], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long it was away: what was said meanwhile is said, and what was missed is told of."""
    monkeypatch.setattr(tasks, "FIRST_PAUSE", 60.0)
    async with Proxy(datastores.redis_url) as proxy:
        redis = connect(proxy.url)
        here, there, gaps = RedisBus(redis), processes(), asyncio.Event()
        here.on_gap(gaps.set)
        heard = Heard(there)
        await there.start()
        await here.start()
        proxy.cut()
        async with asyncio.timeout(10):
            while here.connected:
                await asyncio.sleep(0.01)
        here.publish("greeting", {"n": 1})
        await asyncio.sleep(0.5)
        await proxy.mend()
        async with asyncio.timeout(redis_bus.RECONNECT_INTERVAL + 2):
            await gaps.wait()
            await heard.reaches(1)
        await here.close()
        await redis.aclose()


async def test_whoever_hears_nothing_any_more_looks_for_another_connection(
    datastores: Datastores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pulled cable sends no word; what others ask of Redis meanwhile is answered."""
    monkeypatch.setattr(redis_bus, "SUBSCRIPTION_TIMEOUT", 0.4)
    monkeypatch.setattr(redis_bus, "HEARTBEAT_INTERVAL", 0.1)
    async with Proxy(datastores.redis_url) as proxy:
        redis = connect(proxy.url)
        bus, gaps = RedisBus(redis), asyncio.Event()
        bus.on_gap(gaps.set)
        await bus.start()
        proxy.silence()
        await proxy.mend()
        async with asyncio.timeout(10):
            while not gaps.is_set():
                with suppress(RedisError):
                    said = [str(n).encode() for n in range(20)]
                    assert said == await asyncio.gather(*(redis.echo(one) for one in said))
        await bus.close()
        await redis.aclose()


async def test_publishing_never_blocks_and_is_bounded_while_redis_is_away() -> None:
    """Local listeners go on hearing; what waits for the others stays within its bound."""
    nowhere = Redis(host="127.0.0.1", port=1, socket_connect_timeout=0.2)
    bus = RedisBus(nowhere)
    heard = Heard(bus)
    task = asyncio.create_task(bus.start())
    for n in range(redis_bus.MAX_OUTBOX_MESSAGES + 500):
        bus.publish("greeting", {"n": n})
    assert len(heard.messages) == redis_bus.MAX_OUTBOX_MESSAGES + 500
    assert bus.outbox_size <= redis_bus.MAX_OUTBOX_MESSAGES
    assert not bus.connected
    await task
    await bus.close()
    await nowhere.aclose()


async def test_whoever_drops_messages_tells_the_others_of_the_gap(
    processes: Callable[[], RedisBus], monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than the outbox holds were said before Redis could be told."""
    monkeypatch.setattr("service.realtime.redis_bus.MAX_OUTBOX_MESSAGES", 100)
    one, two = processes(), processes()
    heard, gaps = Heard(two), asyncio.Event()
    two.on_gap(gaps.set)
    await two.start()
    for n in range(300):
        one.publish("greeting", {"n": n})
    await one.start()
    await asyncio.wait_for(gaps.wait(), 10)
    await heard.reaches(1)
    assert heard.messages[-1][0]["n"] == 299


async def test_a_process_measures_its_own_way_through_redis(
    processes: Callable[[], RedisBus], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of what comes back to it, that is all it looks at."""
    monkeypatch.setattr(redis_bus, "HEARTBEAT_INTERVAL", 0.05)
    bus = processes()
    heard = Heard(bus)
    await bus.start()
    bus.publish("greeting", {"n": 1})
    async with asyncio.timeout(5):
        while not bus.lag:
            await asyncio.sleep(0.01)
    assert 0 < bus.lag < 5
    assert len(heard.messages) == 1


async def test_a_message_is_one_command_however_many_it_is_for(speaking: "Speaking") -> None:
    """A thousand recipients, three processes, one PUBLISH."""
    assert 1 == await speaking.commands([({"to": [f"{n:024x}" for n in range(1000)]}, b"x" * 200)])


async def test_what_is_said_together_is_one_command(speaking: "Speaking") -> None:
    """Up to a number of messages; and up to a number of bytes, for whoever hears it reads all of it at once."""
    assert 1 == await speaking.commands([({"n": n}, b"line\nbreak") for n in range(redis_bus.MAX_BATCH_MESSAGES)])
    assert 2 == await speaking.commands([({"n": n}, b"") for n in range(redis_bus.MAX_BATCH_MESSAGES + 1)])
    assert 2 == await speaking.commands([({"n": n}, b"x" * (redis_bus.MAX_BATCH_BYTES // 3)) for n in range(4)])
    assert 1 == await speaking.commands([({}, b"x" * 2 * redis_bus.MAX_BATCH_BYTES)])


class Speaking:
    """Three processes, of which the first speaks and nobody says anything else."""

    def __init__(self, server: Redis, buses: list[RedisBus]) -> None:
        self._server = server
        self._buses = buses
        self._hearers = [Heard(bus) for bus in buses]

    async def start(self) -> None:
        """A round of greetings, so that everything that starting says has been said."""
        for bus in self._buses:
            await bus.start()
        for bus in self._buses:
            bus.publish("greeting", {})
            await self._all_heard()
            async with asyncio.timeout(5):
                while not bus.lag:
                    await asyncio.sleep(0.01)

    async def commands(self, messages: list[tuple[dict[str, Any], bytes]]) -> int:
        """In how many PUBLISHes these messages came to all, each as it was said."""
        before = await published(self._server)
        for message in messages:
            self._buses[0].publish("greeting", *message)
        await self._all_heard()
        for heard in self._hearers:
            assert messages == heard.messages[-len(messages) :]
        return await published(self._server) - before

    async def _all_heard(self) -> None:
        for heard in self._hearers:
            await heard.reaches(len(self._hearers[0].messages))


@pytest.fixture
async def speaking(processes: Callable[[], RedisBus], server: Redis, monkeypatch: pytest.MonkeyPatch) -> Speaking:
    monkeypatch.setattr(redis_bus, "HEARTBEAT_INTERVAL", 1000)
    speaking = Speaking(server, [processes() for _ in range(3)])
    await speaking.start()
    return speaking


async def published(server: Redis) -> int:
    """How many messages the server has been given, in whichever way, all of them in the right one for its kind."""
    stats = await server.info("commandstats")
    right, wrong = ("spublish", "publish") if await is_cluster(server) else ("publish", "spublish")
    assert f"cmdstat_{wrong}" not in stats
    return int(stats[f"cmdstat_{right}"]["calls"])
