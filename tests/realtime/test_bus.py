"""The contract of the bus, for both implementations and for both kinds of Redis servers."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from service.common.encoding import loads
from service.common.tasks import on_failure, remove_on_failure
from service.datastores import redis_link, resp_connection
from service.datastores.redis import TAG, connect, is_cluster
from service.realtime import heartbeats, outbox, redis_bus
from service.realtime.addresses import Addresses
from service.realtime.bus import Bus, LocalBus
from service.realtime.redis_bus import RedisBus
from tests.cluster import Node, running
from tests.conftest import Datastores
from tests.proxy import Proxy


@pytest.fixture
def failures() -> Iterator[list[str]]:
    """The names of the failures in the background that were counted."""
    names: list[str] = []
    on_failure(names.append)
    yield names
    remove_on_failure(names.append)


class Receiver:
    """Records the messages of one kind that a process receives."""

    def __init__(self, bus: Bus, kind: str = "greeting") -> None:
        self.messages: list[tuple[dict[str, Any], bytes]] = []
        self._changed = asyncio.Event()
        bus.on(kind, self._on_message)

    def _on_message(self, head: dict[str, Any], body: bytes) -> None:
        self.messages.append((head, body))
        self._changed.set()

    async def wait_for(self, count: int) -> None:
        async with asyncio.timeout(10):
            while len(self.messages) < count:
                self._changed.clear()
                await self._changed.wait()


@pytest.fixture(params=["local", "redis", "cluster"])
async def bus(request: pytest.FixtureRequest, datastores: Datastores, cluster_url: str) -> AsyncIterator[Bus]:
    factories: dict[str, Callable[[], Bus]] = {
        "local": LocalBus,
        "redis": lambda: RedisBus(datastores.redis_url),
        "cluster": lambda: RedisBus(cluster_url),
    }
    bus = factories[request.param]()
    yield bus
    await bus.close()


async def test_a_publisher_handles_its_own_message_at_once(bus: Bus) -> None:
    """Within `publish`, and only once."""
    received = Receiver(bus)
    await bus.start()
    bus.publish("greeting", {"n": 1}, b"hello")
    assert received.messages == [({"n": 1}, b"hello")]
    bus.publish("greeting", {"n": 2})
    await received.wait_for(2)
    assert [head["n"] for head, _ in received.messages] == [1, 2]


async def test_a_handler_only_gets_its_kind_of_messages(bus: Bus) -> None:
    received, other = Receiver(bus), Receiver(bus, "other")
    await bus.start()
    bus.publish("greeting", {})
    assert (len(received.messages), len(other.messages)) == (1, 0)


async def test_a_handler_that_fails_affects_neither_the_others_nor_the_publisher(bus: Bus) -> None:
    """The message is stored already: an exception would look as if it were not."""

    def fail(head: dict[str, Any], body: bytes) -> None:
        raise RuntimeError

    bus.on("greeting", fail)
    received = Receiver(bus)
    await bus.start()
    bus.publish("greeting", {})
    assert len(received.messages) == 1


async def test_a_bus_is_connected_after_its_start(bus: Bus) -> None:
    await bus.start()
    assert bus.connected


# Tests with several processes.


@pytest.fixture(scope="module")
def single_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A single server that nobody else uses: it counts commands for all its databases together."""
    with asyncio.Runner() as runner:
        node = Node(tmp_path_factory.mktemp("single") / "node", clustered=False)
        runner.run(node.start())
        yield node.url
        runner.run(node.close())


@pytest.fixture(params=["single", "cluster"])
def url(request: pytest.FixtureRequest) -> str:
    """A single server, and a cluster."""
    found: str = request.getfixturevalue(f"{request.param}_url")
    return found


@pytest.fixture
async def server(url: str) -> AsyncIterator[Redis]:
    redis = connect(url)
    yield redis
    await redis.aclose()


@pytest.fixture
async def processes(url: str) -> AsyncIterator[Callable[[], RedisBus]]:
    async with AsyncExitStack() as stack:

        def make() -> RedisBus:
            bus = RedisBus(url)
            stack.push_async_callback(bus.close)
            return bus

        yield make


async def test_every_process_receives_messages_in_the_order_of_publication(processes: Callable[[], RedisBus]) -> None:
    """Thousands at once, with line breaks in their bodies."""
    one, two, three = processes(), processes(), processes()
    receivers = [Receiver(two), Receiver(three)]
    for bus in (one, two, three):
        await bus.start()
    for n in range(3000):
        one.publish("greeting", {"n": n}, b"line\nbreak")
    for received in receivers:
        await received.wait_for(3000)
        assert [head["n"] for head, _ in received.messages] == list(range(3000))
        assert received.messages[0][1] == b"line\nbreak"


async def test_subscribers_recover_from_a_lost_connection_and_are_notified_of_the_gap(
    processes: Callable[[], RedisBus], server: Redis
) -> None:
    """The server kills the connections of both subscribers; both subscribe again."""
    one, two = processes(), processes()
    received, gaps = Receiver(two), asyncio.Event()
    two.on_gap(gaps.set)
    await one.start()
    await two.start()
    one.publish("greeting", {"n": 1})
    await received.wait_for(1)
    await server.client_kill_filter(_type="pubsub", skipme=True)
    await asyncio.wait_for(gaps.wait(), 10)
    one.publish("greeting", {"n": 2})
    await received.wait_for(2)
    assert [head["n"] for head, _ in received.messages] == [1, 2]


async def test_messages_do_not_reach_another_database_or_prefix(datastores: Datastores) -> None:
    """Redis shares channels between the databases of a server."""
    url = datastores.redis_url
    buses = {
        "same": RedisBus(url),
        "other database": RedisBus(datastores.redis_database(14)),
        "other prefix": RedisBus(url, "{b}"),
    }
    receivers = {name: Receiver(bus) for name, bus in buses.items()}
    publisher = RedisBus(url)
    for bus in (publisher, *buses.values()):
        await bus.start()
        assert bus.receives_own_messages
    assert 2 == await publisher.subscriber_count()
    publisher.publish("greeting", {"n": 1})
    await receivers["same"].wait_for(1)
    for bus in buses.values():
        # It returns through Redis once everything that was published before has been received.
        await wait_for_round_trip(bus)
    for bus in (publisher, *buses.values()):
        await bus.close()
    assert {"same": 1, "other database": 0, "other prefix": 0} == {
        name: len(received.messages) for name, received in receivers.items()
    }


async def wait_for_round_trip(bus: RedisBus) -> None:
    """Wait until `bus` has received a heartbeat that it sends after everything else."""
    async with asyncio.timeout(10):
        while bus.outbox_size:
            await asyncio.sleep(0.01)
        lag = bus.lag
        bus._heartbeats.send()
        while bus.lag == lag:
            await asyncio.sleep(0.01)


async def test_a_user_without_permission_for_the_channel_makes_no_round_trip(tmp_path: Path) -> None:
    """Its commands succeed. Once it has the permission, the bus recovers by itself, and reports no gap before."""
    async with running([Node(tmp_path / "node", clustered=False)]) as (node,):
        await node.redis.execute_command("ACL SETUSER loa on >secret ~* +@all resetchannels")
        bus = RedisBus(f"redis://loa:secret@127.0.0.1:{node.port}")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(redis_bus, "STARTUP_WAIT", 0.1)
            await bus.start()
        assert 0 == await bus.subscriber_count()
        assert not bus.receives_own_messages
        await node.redis.execute_command("ACL SETUSER loa allchannels")
        async with asyncio.timeout(10):
            while not bus.receives_own_messages:
                await asyncio.sleep(0.01)
        await bus.close()


async def test_own_messages_end_with_the_subscription(datastores: Datastores, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeats, "TIMEOUT", 0.4)
    monkeypatch.setattr(heartbeats, "INTERVAL", 0.1)
    async with Proxy(datastores.redis_url) as proxy:
        bus = RedisBus(proxy.url)
        await bus.start()
        assert bus.receives_own_messages
        proxy.cut()
        async with asyncio.timeout(10):
            while bus.receives_own_messages:
                await asyncio.sleep(0.01)
            await proxy.restore()
            while not bus.receives_own_messages:
                await asyncio.sleep(0.01)
        await bus.close()


async def test_a_recovered_redis_is_used_within_a_second(datastores: Datastores) -> None:
    """However long it was unavailable: messages from the outbox are sent, and the gap is reported."""
    async with Proxy(datastores.redis_url) as proxy:
        here, there, gaps = RedisBus(proxy.url), RedisBus(datastores.redis_url), asyncio.Event()
        here.on_gap(gaps.set)
        received = Receiver(there)
        await there.start()
        await here.start()
        proxy.cut()
        async with asyncio.timeout(10):
            while here.connected:
                await asyncio.sleep(0.01)
        here.publish("greeting", {"n": 1})
        await asyncio.sleep(2.5)
        assert not received.messages
        await proxy.restore()
        async with asyncio.timeout(redis_link.RETRY_INTERVAL + 2):
            await gaps.wait()
            await received.wait_for(1)
        await here.close()
        await there.close()


async def test_a_process_that_started_without_redis_reports_a_gap_once_it_has_it(
    datastores: Datastores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its connections were opened meanwhile, and have missed what the others published. One that starts with Redis has
    no gap."""
    async with Proxy(datastores.redis_url) as proxy:
        early, late = RedisBus(datastores.redis_url), RedisBus(proxy.url)
        gaps: list[str] = []
        late_gap = asyncio.Event()
        early.on_gap(lambda: gaps.append("early"))
        late.on_gap(late_gap.set)
        await early.start()
        proxy.cut()
        with monkeypatch.context() as patch:
            patch.setattr(redis_bus, "STARTUP_WAIT", 0.1)
            await late.start()
        assert not late_gap.is_set()
        early.publish("greeting", {})
        await wait_for_round_trip(early)
        await proxy.restore()
        await asyncio.wait_for(late_gap.wait(), 10)
        assert not gaps
        await late.close()
        await early.close()


async def test_a_silent_connection_is_replaced(datastores: Datastores, monkeypatch: pytest.MonkeyPatch) -> None:
    """TCP does not report a cut cable. New connections are served meanwhile."""
    monkeypatch.setattr(resp_connection, "REPLY_TIMEOUT", 0.3)
    monkeypatch.setattr(resp_connection, "PING_INTERVAL", 0.1)
    monkeypatch.setattr(resp_connection, "CHECK_INTERVAL", 0.05)
    async with Proxy(datastores.redis_url) as proxy:
        bus, gaps = RedisBus(proxy.url), asyncio.Event()
        bus.on_gap(gaps.set)
        await bus.start()
        proxy.blackhole()
        await proxy.restore()
        await asyncio.wait_for(gaps.wait(), 10)
        await bus.close()


async def test_a_subscription_on_which_nothing_arrives_is_renewed(
    datastores: Datastores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its connection is alive: it leads to a server on which nobody publishes any more. Here, no heartbeat is sent."""
    monkeypatch.setattr(heartbeats, "TIMEOUT", 0.4)
    bus, gaps = RedisBus(datastores.redis_url), asyncio.Event()
    bus.on_gap(gaps.set)
    await bus.start()
    monkeypatch.setattr(heartbeats, "INTERVAL", 0.5)
    await asyncio.wait_for(gaps.wait(), 10)
    await bus.close()


async def test_a_subscription_that_is_being_renewed_is_not_renewed_again(
    datastores: Datastores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many addresses it takes to confirm: otherwise it would never be."""
    bus = RedisBus(datastores.redis_url)
    await bus.start()
    monkeypatch.setattr(heartbeats, "TIMEOUT", 0.0)
    monkeypatch.setattr(heartbeats, "INTERVAL", 1000)
    renew, renewed = bus._link.renew, []

    def record(channel: bytes) -> None:
        renewed.append(channel)
        renew(channel)

    monkeypatch.setattr(bus._link, "renew", record)
    async with asyncio.timeout(10):
        while not renewed:
            bus._heartbeats.send()
            await asyncio.sleep(0)
        while not bus._link.all_confirmed:
            bus._heartbeats.send()
            await asyncio.sleep(0)
    assert len(renewed) == 1
    await bus.close()


async def test_a_subscription_is_kept_while_redis_refuses_publications(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failures: list[str]
) -> None:
    """Nothing can arrive then. Renewing it would send every client a `reset` again and again."""
    monkeypatch.setattr(heartbeats, "TIMEOUT", 0.4)
    monkeypatch.setattr(heartbeats, "INTERVAL", 0.1)
    async with running([Node(tmp_path / "node", clustered=False)]) as (node,):
        await node.redis.execute_command("ACL SETUSER loa on >secret ~* &* +@all")
        bus, gaps = RedisBus(f"redis://loa:secret@127.0.0.1:{node.port}"), asyncio.Event()
        bus.on_gap(gaps.set)
        await bus.start()
        assert bus.receives_own_messages
        await node.redis.execute_command("ACL SETUSER loa -eval")
        async with asyncio.timeout(10):
            while bus.receives_own_messages:
                await asyncio.sleep(0.01)
            # Most are heartbeats, and each heartbeat could renew the subscription.
            failures.clear()
            while failures.count("bus_send") < 10:
                await asyncio.sleep(0.01)
        assert bus.connected
        await node.redis.execute_command("ACL SETUSER loa +eval")
        async with asyncio.timeout(10):
            while not bus.receives_own_messages:
                await asyncio.sleep(0.01)
        assert not gaps.is_set()
        await bus.close()


async def test_publishing_never_blocks_and_the_outbox_is_bounded_while_redis_is_unavailable() -> None:
    """Local handlers still get every message."""
    bus = RedisBus("redis://127.0.0.1:1")
    received = Receiver(bus)
    task = asyncio.create_task(bus.start())
    for n in range(redis_bus.MAX_OUTBOX_MESSAGES + 500):
        bus.publish("greeting", {"n": n})
    assert len(received.messages) == redis_bus.MAX_OUTBOX_MESSAGES + 500
    assert bus.outbox_size <= redis_bus.MAX_OUTBOX_MESSAGES
    assert not bus.connected
    await task
    await bus.close()


async def test_the_message_that_waits_longest_is_dropped_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if earlier ones to its channel have been dropped: it is as new as any other."""
    monkeypatch.setattr(redis_bus, "MAX_OUTBOX_MESSAGES", 3)
    bus = RedisBus("redis://127.0.0.1:1")

    def waiting() -> list[str]:
        contents = [message.content for outbox in bus._outboxes.values() for message in outbox.messages]
        return sorted(loads(content)[2]["n"] for content in contents)

    for n, address in enumerate(["a", "b", "c", "d", "a", "e"]):
        bus.publish("greeting", {"n": f"{n} to {address}"}, to=[address])
    assert ["3 to d", "4 to a", "5 to e"] == waiting()
    await bus.close()


async def test_a_process_that_drops_messages_reports_the_gap_to_the_others(
    processes: Callable[[], RedisBus], monkeypatch: pytest.MonkeyPatch
) -> None:
    """More messages are published than the outbox holds, before the bus is started. The newest that it holds arrive."""
    monkeypatch.setattr("service.realtime.redis_bus.MAX_OUTBOX_MESSAGES", 100)
    one, two = processes(), processes()
    received, gaps = Receiver(two), asyncio.Event()
    two.on_gap(gaps.set)
    await two.start()
    for n in range(300):
        one.publish("greeting", {"n": n})
    await one.start()
    await asyncio.wait_for(gaps.wait(), 10)
    await received.wait_for(100)
    assert [head["n"] for head, _ in received.messages] == list(range(200, 300))


async def test_a_process_that_drops_messages_to_many_addresses_reports_that_to_all(
    processes: Callable[[], RedisBus], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it remembers of them is bounded. A process that hears one of the addresses may have missed something."""
    monkeypatch.setattr(redis_bus, "MAX_OUTBOX_MESSAGES", 10)
    monkeypatch.setattr(redis_bus, "MAX_GAPS", 20)
    one, two = processes(), processes()
    gaps, doubt = asyncio.Event(), asyncio.Event()
    two.on_gap(gaps.set)
    two.on_doubt(lambda address: doubt.set() if address == "a0" else None)
    two.subscribe("a0")
    await two.start()
    async with asyncio.timeout(10):
        while not two.is_subscribed("a0"):
            await asyncio.sleep(0.01)
    for n in range(100):
        one.publish("greeting", {"n": n}, to=[f"a{n}"])
        assert len(one._outboxes) <= 10 + 20 + 1
    assert not gaps.is_set()
    assert not doubt.is_set()
    await one.start()
    await asyncio.wait_for(gaps.wait(), 10)
    await asyncio.wait_for(doubt.wait(), 10)
    async with asyncio.timeout(10):
        while one._outboxes:
            await asyncio.sleep(0.01)


async def test_while_redis_does_not_answer_what_was_dropped_is_rarely_looked_at_as_a_whole(
    datastores: Datastores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Although channels with a publication in flight cannot be forgotten: it would take longer with each channel."""
    monkeypatch.setattr(redis_bus, "MAX_OUTBOX_MESSAGES", 10)
    monkeypatch.setattr(redis_bus, "MAX_GAPS", 20)
    async with Proxy(datastores.redis_url) as proxy:
        bus, reports = RedisBus(proxy.url), 0
        report = bus._report_gaps_to_all

        def counted() -> None:
            nonlocal reports
            reports += 1
            report()

        monkeypatch.setattr(bus, "_report_gaps_to_all", counted)
        await bus.start()
        assert bus.receives_own_messages
        proxy.blackhole()
        for n in range(200):
            bus.publish("greeting", {"n": n}, to=[f"a{n}"])
            channel = bus._addresses.channel(f"a{n}")
            async with asyncio.timeout(2):
                while not bus._outboxes[channel].in_flight:
                    await asyncio.sleep(0)
        assert 1 <= reports <= 200 / 20
        await bus.close()


async def test_a_lost_publication_to_all_is_noticed_without_another_one(
    processes: Callable[[], RedisBus], server: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis has counted it, and it has not arrived: the next comparison of the numbers shows that."""
    monkeypatch.setattr(redis_bus, "COMPARE_INTERVAL", 0.05)
    monkeypatch.setattr(redis_link, "COUNT_WAIT", 0.05)
    bus, gaps = processes(), asyncio.Event()
    bus.on_gap(gaps.set)
    await bus.start()
    await wait_for_round_trip(bus)
    assert not gaps.is_set()
    await server.incr(Addresses(TAG, 0).control + b":count")
    await asyncio.wait_for(gaps.wait(), 10)
    gaps.clear()
    await bus._link.check_counts()
    assert not gaps.is_set()


async def test_closing_a_bus_is_no_failure(
    processes: Callable[[], RedisBus], failures: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Although a heartbeat and a message are on their way, whose replies nobody waits for."""
    bus = processes()
    await bus.start()
    await wait_for_round_trip(bus)
    monkeypatch.setattr(redis_bus, "STARTUP_WAIT", 0)
    bus._heartbeats.send()
    bus.publish("greeting", {})
    bus._flush()
    assert bus._outboxes[bus._control].in_flight
    await bus.close()
    await asyncio.sleep(0.01)
    assert not failures


async def test_a_process_measures_the_lag_with_its_heartbeats(processes: Callable[[], RedisBus]) -> None:
    """It handles its own messages at once, and not a second time."""
    bus = processes()
    received = Receiver(bus)
    await bus.start()
    bus.publish("greeting", {"n": 1})
    await wait_for_round_trip(bus)
    assert 0 < bus.lag < 5
    assert len(received.messages) == 1


async def test_a_message_is_one_command_for_any_number_of_recipients(group: "Processes") -> None:
    """A thousand recipients on three processes: one PUBLISH."""
    assert 1 == await group.commands([({"to": [f"{n:024x}" for n in range(1000)]}, b"x" * 200)])


async def test_messages_published_together_are_one_command(group: "Processes") -> None:
    """Up to MAX_BATCH_MESSAGES messages and MAX_BATCH_BYTES bytes."""
    assert 1 == await group.commands([({"n": n}, b"line\nbreak") for n in range(outbox.MAX_BATCH_MESSAGES)])
    assert 2 == await group.commands([({"n": n}, b"") for n in range(outbox.MAX_BATCH_MESSAGES + 1)])
    assert 2 == await group.commands([({"n": n}, b"x" * (outbox.MAX_BATCH_BYTES // 3)) for n in range(4)])
    assert 1 == await group.commands([({}, b"x" * 2 * outbox.MAX_BATCH_BYTES)])


class Processes:
    """Three processes, of which only the first publishes."""

    def __init__(self, server: Redis, buses: list[RedisBus]) -> None:
        self._server = server
        self._buses = buses
        self._receivers = [Receiver(bus) for bus in buses]

    async def start(self) -> None:
        """Start all, and publish once from each, so that no message of the start is still on its way."""
        for bus in self._buses:
            await bus.start()
        for count, bus in enumerate(self._buses, 1):
            bus.publish("greeting", {})
            for received in self._receivers:
                await received.wait_for(count)

    async def commands(self, messages: list[tuple[dict[str, Any], bytes]]) -> int:
        """Publish the messages, check that all processes receive them, and return the number of PUBLISH commands."""
        before = await publish_count(self._server)
        for message in messages:
            self._buses[0].publish("greeting", *message)
        await self._all_received()
        for received in self._receivers:
            assert messages == received.messages[-len(messages) :]
        return await publish_count(self._server) - before

    async def _all_received(self) -> None:
        for received in self._receivers:
            await received.wait_for(len(self._receivers[0].messages))


@pytest.fixture
async def group(processes: Callable[[], RedisBus], server: Redis, monkeypatch: pytest.MonkeyPatch) -> Processes:
    monkeypatch.setattr(heartbeats, "INTERVAL", 1000)
    group = Processes(server, [processes() for _ in range(3)])
    await group.start()
    return group


async def publish_count(server: Redis) -> int:
    """Return the number of publications, and check that all used the command for this kind of server."""
    stats = await server.info("commandstats")
    expected, other = ("spublish", "publish") if await is_cluster(server) else ("publish", "spublish")
    assert f"cmdstat_{other}" not in stats
    return int(stats[f"cmdstat_{expected}"]["calls"])
