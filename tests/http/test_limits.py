"""Rate limits and the limit of connections."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from redis.asyncio import Redis
from sanic import Request, Sanic
from sanic.compat import Header

from config.settings import Settings
from service.app import create_app
from service.common.errors import RateLimited
from service.http import limits, window_sync
from service.http.limits import ConnectionLimit, RateLimit, RateLimits
from tests.cluster import cluster
from tests.conftest import Datastores
from tests.monitored_redis import monitored
from tests.rest import free_port

SHARED = RateLimit("tests", "3/minute", exact=True)
SHORT = RateLimit("short", "2/second", exact=True)
LOCAL = RateLimit("local", "100/minute")
"""Of which a process counts 10 without the others' knowledge."""


async def count_passed(store: RateLimits, limit: RateLimit, *keys: str, times: int = 10) -> int:
    """Check the limit `times` times; return how often it passed."""
    passed = 0
    for _ in range(times):
        try:
            await store.check(limit, *keys)
        except RateLimited:
            continue
        passed += 1
    return passed


def relay_to(redis_url: str) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    """Return a connection handler that forwards everything to that Redis."""
    parts = urlsplit(redis_url)

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if parts.scheme == "unix":
            there_reader, there_writer = await asyncio.open_unix_connection(parts.path)
        else:
            there_reader, there_writer = await asyncio.open_connection(parts.hostname, parts.port)
        await asyncio.gather(copy(reader, there_writer), copy(there_reader, writer))

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    return relay


class HangingRedis:
    """Accepts connections, and answers nothing: each attempt to use it is a connection."""

    url = ""
    connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        await reader.read()
        writer.close()


@asynccontextmanager
async def hanging_redis() -> AsyncIterator[HangingRedis]:
    redis = HangingRedis()
    async with await asyncio.start_server(redis.serve, "127.0.0.1", 0) as server:
        redis.url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield redis


class TestRateLimits:
    @pytest.mark.parametrize("limit", [value for value in vars(limits).values() if isinstance(value, RateLimit)])
    def test_can_be_parsed(self, limit: RateLimit) -> None:
        assert limit.items

    def test_have_unique_names(self) -> None:
        """Two limits of one name would share their counters."""
        names = [value.name for value in vars(limits).values() if isinstance(value, RateLimit)]
        assert len(names) == len(set(names))


class TestRoutes:
    def test_every_route_that_changes_state_declares_its_limit(self) -> None:
        """A new route cannot be forgotten. `limit=None` is a declaration, too."""
        settings = Settings(mongodb_uri="mongodb://127.0.0.1:1", redis_url="redis://127.0.0.1:1", jwt_secret="x" * 32)
        undeclared = [
            (method, route.path)
            for route in create_app(settings=settings).router.routes
            for method in route.methods & {"POST", "PUT", "PATCH", "DELETE"}
            if getattr(route.handler, "limit", ...) is ...
        ]
        assert [] == undeclared


class TestShared:
    async def test_rejects_requests_beyond_the_limit(self, redis: Redis, datastores: Datastores) -> None:
        """With the seconds to wait."""
        store = RateLimits(datastores.redis_url, True)
        assert 3 == await count_passed(store, SHARED, "alice")
        with pytest.raises(RateLimited) as caught:
            await store.check(SHARED, "alice")
        assert caught.value.retry_after
        assert 50 < caught.value.retry_after <= 60
        await store.close()

    async def test_accepts_requests_after_retry_after(self, redis: Redis, datastores: Datastores) -> None:
        store = RateLimits(datastores.redis_url, True)
        assert 2 == await count_passed(store, SHORT, "alice", times=3)
        with pytest.raises(RateLimited) as caught:
            await store.check(SHORT, "alice")
        assert caught.value.retry_after
        await asyncio.sleep(caught.value.retry_after)
        await store.check(SHORT, "alice")
        await store.close()

    async def test_a_burst_beyond_the_connection_pool_waits(
        self, redis: Redis, datastores: Datastores, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """If a full pool counted as an outage, the counters would start afresh in the memory of the process."""
        monkeypatch.setattr(limits, "MAX_REDIS_CONNECTIONS", 2)
        store = RateLimits(datastores.redis_url, True)
        assert 3 == sum(await asyncio.gather(*(count_passed(store, SHARED, "alice", times=1) for _ in range(100))))
        assert 0 == await count_passed(store, SHARED, "alice", times=1)
        await store.close()

    async def test_processes_share_their_counters(self, redis: Redis, datastores: Datastores) -> None:
        """Two RateLimits are like two processes: they share only Redis."""
        one, two = RateLimits(datastores.redis_url, True), RateLimits(datastores.redis_url, True)
        assert 3 == await count_passed(one, SHARED, "alice") + await count_passed(two, SHARED, "alice")
        await one.close()
        await two.close()

    async def test_keys_and_limits_are_counted_separately(self, redis: Redis, datastores: Datastores) -> None:
        store = RateLimits(datastores.redis_url, True)
        assert 3 == await count_passed(store, SHARED, "alice")
        assert 3 == await count_passed(store, SHARED, "bob")
        assert 2 == await count_passed(store, SHORT, "alice", times=3)
        await store.close()

    async def test_a_cluster_shares_counters_until_its_node_fails(self, tmp_path: Path) -> None:
        """While the node is down, each process counts for itself."""
        async with cluster(tmp_path / "cluster") as nodes:
            one, two = (RateLimits(node.url, True) for node in nodes.nodes[:2])
            assert 2 == await count_passed(one, SHARED, "alice", times=2)
            assert 1 == await count_passed(two, SHARED, "alice")
            await (await nodes.owner(limits.TAG)).kill()
            assert 3 == await count_passed(one, SHARED, "alice")
            await one.close()
            await two.close()

    async def test_all_keys_have_the_prefix_and_expire(self, redis: Redis, datastores: Datastores) -> None:
        store = RateLimits(datastores.redis_url, True)
        await store.check(SHARED, "alice")
        keys = await redis.keys("*")
        assert keys
        assert all(key.startswith(b"{loa:limits}:") for key in keys)
        assert all([0 < await redis.ttl(key) <= 60 for key in keys])
        await store.close()


async def refused(store: RateLimits, limit: RateLimit, *keys: str) -> float:
    """Check the limit until it refuses; return the seconds to wait."""
    async with asyncio.timeout(10):
        while not (wait := await store.count(limit, *keys)):
            await asyncio.sleep(0.01)
    return wait


class TestLocalFirst:
    @pytest.fixture
    async def processes(
        self, redis: Redis, datastores: Datastores, monkeypatch: pytest.MonkeyPatch
    ) -> AsyncIterator[list[RateLimits]]:
        """Four that share only Redis, for which they wait as long as a busy machine takes."""
        monkeypatch.setattr(window_sync, "SYNC_INTERVAL", 0.05)
        for module in (limits, window_sync):
            monkeypatch.setattr(module, "REDIS_TIMEOUT", 10.0)
        stores = [RateLimits(datastores.redis_url, True) for _ in range(4)]
        yield stores
        for store in stores:
            await store.close()

    async def test_one_process_never_exceeds_the_limit(self, processes: list[RateLimits]) -> None:
        """One after the other, and at once."""
        assert 100 == await count_passed(processes[0], LOCAL, "alice", times=150)
        passed = await asyncio.gather(*(count_passed(processes[0], LOCAL, "bob", times=1) for _ in range(150)))
        assert 100 == sum(passed)

    @pytest.mark.parametrize("at_once", [False, True])
    async def test_several_processes_exceed_it_by_at_most_their_shares(
        self, processes: list[RateLimits], at_once: bool
    ) -> None:
        async def requests(store: RateLimits, times: int) -> int:
            if at_once:
                return sum(await asyncio.gather(*(count_passed(store, LOCAL, "alice", times=1) for _ in range(times))))
            return await count_passed(store, LOCAL, "alice", times=times)

        passed = await asyncio.gather(*(requests(store, 200) for store in processes))
        assert 100 <= sum(passed) <= 100 + 4 * 10

    async def test_a_process_learns_what_another_has_counted(self, processes: list[RateLimits]) -> None:
        """With its next comparison; other keys are not affected."""
        one, two, *_ = processes
        assert 1 == await count_passed(two, LOCAL, "alice", times=1)
        assert 99 <= await count_passed(one, LOCAL, "alice", times=150)
        assert 0 < await refused(two, LOCAL, "alice") <= 66
        assert 10 == await count_passed(two, LOCAL, "bob", times=10)

    async def test_a_thousand_requests_are_a_few_commands(self, processes: list[RateLimits], redis: Redis) -> None:
        """None for users who are far from the limit; of those who come near it, one for each share."""
        limit = RateLimit("busy", "1000/minute")
        store = processes[0]
        assert 1 == await count_passed(store, limit, "alice", times=1)
        async with monitored(redis) as commands:
            assert 1000 == sum([await count_passed(store, limit, f"{user}", times=99) for user in range(10)]) + 10
        assert [] == commands
        async with monitored(redis) as commands:
            assert 1000 == await count_passed(store, limit, "bob", times=1100)
        # After 100, 200 … 900 requests; more only if that took longer than SYNC_INTERVAL; and one to load the script.
        assert 9 <= commands.count("EVALSHA") <= 30

    async def test_windows_that_are_compared_share_a_command(
        self, processes: list[RateLimits], redis: Redis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """50 users whose counts come near the limit, each second."""
        monkeypatch.setattr(window_sync, "SYNC_INTERVAL", 1.0)
        store = processes[0]
        await count_passed(store, LOCAL, "warm", times=20)
        await asyncio.gather(*(count_passed(store, LOCAL, f"{user}", times=9) for user in range(50)))
        async with monitored(redis) as commands:
            await asyncio.gather(*(count_passed(store, LOCAL, f"{user}", times=1) for user in range(50)))
            async with asyncio.timeout(5):
                while not await redis.exists(*(f"{limits.TAG}:local:60:{user}" for user in range(50))):
                    await asyncio.sleep(0.01)
        assert 50 == await redis.exists(*(f"{limits.TAG}:local:60:{user}" for user in range(50)))
        assert 1 == commands.count("EVALSHA")

    async def test_accepts_requests_after_retry_after(self, processes: list[RateLimits]) -> None:
        short = RateLimit("short_local", "20/second")
        wait = await refused(processes[0], short, "alice")
        assert 0 < wait <= 1.1
        await asyncio.sleep(wait)
        await processes[0].check(short, "alice")

    async def test_keys_have_the_prefix_and_expire(self, processes: list[RateLimits], redis: Redis) -> None:
        assert 100 == await count_passed(processes[0], LOCAL, "alice", times=150)
        keys = await redis.keys("*")
        assert [b"{loa:limits}:local:60:alice"] == keys
        assert 0 < await redis.pttl(keys[0]) <= 66_001

    async def test_what_is_pending_is_told_when_a_process_ends(
        self, redis: Redis, datastores: Datastores, processes: list[RateLimits]
    ) -> None:
        ending = RateLimits(datastores.redis_url, True)
        assert 95 == await count_passed(ending, LOCAL, "alice", times=95)
        await ending.close()
        assert (
            5
            <= await count_passed(processes[0], LOCAL, "alice", times=10)
            + await count_passed(processes[0], LOCAL, "alice", times=100)
            <= 10
        )

    async def test_each_process_counts_for_itself_while_redis_is_away(
        self, redis: Redis, datastores: Datastores, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """And compares what it has counted when Redis is back."""
        monkeypatch.setattr(window_sync, "SYNC_INTERVAL", 0.05)
        monkeypatch.setattr(window_sync, "REDIS_COOLDOWN", 0.05)
        port = free_port()
        store = RateLimits(f"redis://127.0.0.1:{port}?{urlsplit(datastores.redis_url).query}", True)
        assert 100 == await count_passed(store, LOCAL, "alice", times=150)
        assert 60 == await count_passed(store, LOCAL, "bob", times=60)
        other = RateLimits(datastores.redis_url, True)
        async with await asyncio.start_server(relay_to(datastores.redis_url), "127.0.0.1", port):
            await refused(store, LOCAL, "bob")
            assert 0 < await refused(other, LOCAL, "bob")
            await store.close()
        await other.close()

    async def test_a_hanging_redis_is_waited_for_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """By those who have used up their share; then each counts alone."""
        monkeypatch.setattr(window_sync, "REDIS_COOLDOWN", 600.0)
        async with asyncio.timeout(10), hanging_redis() as redis:
            store = RateLimits(redis.url, True)
            passed = await asyncio.gather(*(count_passed(store, LOCAL, f"{n % 5}", times=1) for n in range(1000)))
            assert 500 == sum(passed)
            assert 1 == redis.connections
            await store.close()

    async def test_a_comparison_that_does_not_end_is_waited_for_once(
        self, processes: list[RateLimits], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Even if it cannot be cancelled."""
        never = asyncio.Event()

        async def hang(*_: object) -> None:
            await never.wait()

        store = processes[0]
        monkeypatch.setattr(window_sync, "REDIS_TIMEOUT", 0.5)
        monkeypatch.setattr(store._sync, "_sync_due", hang)
        async with asyncio.timeout(5):
            passed = await asyncio.gather(*(count_passed(store, LOCAL, f"{n % 5}", times=1) for n in range(1000)))
        assert 500 == sum(passed)
        never.set()

    async def test_a_cluster_has_the_keys_on_all_its_nodes(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """If one fails, the keys of the others are compared as before."""
        monkeypatch.setattr(window_sync, "SYNC_INTERVAL", 0.05)
        users = [f"{number:024x}" for number in range(100)]
        async with cluster(tmp_path / "cluster") as nodes:
            one, two = (RateLimits(node.url, True) for node in nodes.nodes[:2])
            assert [20] * 100 == [await count_passed(one, LOCAL, user, times=20) for user in users]
            owners = {user: await nodes.owner(window_sync.spread(limits.TAG)[window_sync.slot(user)]) for user in users}
            assert {node.url for node in nodes.nodes} == {node.url for node in owners.values()}
            lost = owners[users[0]]
            await lost.kill()
            left = next(user for user in users if owners[user] is not lost)
            assert 100 == await count_passed(one, LOCAL, users[0], times=90) + 20
            await count_passed(one, LOCAL, left, times=100)
            assert 0 < await refused(two, LOCAL, left)
            await one.close()
            await two.close()


class TestWithoutRedis:
    async def test_without_redis_url_each_process_counts_for_itself(self) -> None:
        store = RateLimits(None, True)
        assert 3 == await count_passed(store, SHARED, "alice")

    async def test_limits_apply_while_redis_is_down(self) -> None:
        store = RateLimits(f"redis://127.0.0.1:{free_port()}", True)
        assert 3 == await count_passed(store, SHARED, "alice")
        await store.close()

    async def test_only_one_request_waits_for_a_hanging_redis(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The next hundred do not."""
        monkeypatch.setattr(limits, "REDIS_COOLDOWN", 600.0)
        async with asyncio.timeout(10), hanging_redis() as redis:
            store = RateLimits(redis.url, True)
            for number in range(100):
                await store.check(SHARED, str(number))
            assert 1 == redis.connections
            await store.close()
        # Nor do requests that wait for a connection meanwhile.
        async with asyncio.timeout(10), hanging_redis() as redis:
            store = RateLimits(redis.url, True)
            requests = range(5 * limits.MAX_REDIS_CONNECTIONS)
            await asyncio.gather(*(store.check(SHARED, str(number)) for number in requests))
            assert limits.MAX_REDIS_CONNECTIONS == redis.connections
            await store.close()

    async def test_counters_are_shared_again_when_redis_is_back(
        self, redis: Redis, datastores: Datastores, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """After REDIS_COOLDOWN the next request tries Redis."""
        monkeypatch.setattr(limits, "REDIS_COOLDOWN", 0.05)
        elsewhere = RateLimits(datastores.redis_url, True)
        assert 3 == await count_passed(elsewhere, SHARED, "alice")
        port = free_port()
        store = RateLimits(f"redis://127.0.0.1:{port}?{urlsplit(datastores.redis_url).query}", True)
        assert 3 == await count_passed(store, SHARED, "alice")
        async with await asyncio.start_server(relay_to(datastores.redis_url), "127.0.0.1", port):
            await asyncio.sleep(0.06)
            assert 0 == await count_passed(store, SHARED, "alice")
            await store.close()
        await elsewhere.close()


class TestOff:
    async def test_nothing_is_limited(self) -> None:
        """RATE_LIMITS=off is for load tests."""
        store = RateLimits(None, False)
        assert 10 == await count_passed(store, SHARED, "alice")
        ConnectionLimit(lambda user_id: range(1000), False).check("alice")


class TestConnectionLimit:
    def test_limits_the_connections_of_one_user(self) -> None:
        """Other users are not affected."""
        open_connections = {"alice": range(2), "bob": range(1)}
        limit = ConnectionLimit(lambda user_id: open_connections.get(user_id, ()), True, limit=2)
        with pytest.raises(RateLimited):
            limit.check("alice")
        limit.check("bob")
        limit.check("carol")


class Peer:
    """The attributes of a connection that Sanic reads."""

    client_port = 1
    ssl = False

    def __init__(self, client_ip: str) -> None:
        self.client_ip = client_ip


class TestAddress:
    @pytest.fixture
    def app(self) -> Sanic[Any, Any]:
        Sanic.test_mode = True
        return Sanic("address-test", configure_logging=False)

    @staticmethod
    def address(app: Sanic[Any, Any], peer: str, forwarded: str | None = None) -> str:
        headers = Header([("x-forwarded-for", forwarded)] if forwarded else [])
        request = Request(b"/", headers, "1.1", "GET", None, app)  # type: ignore[arg-type]
        request.conn_info = Peer(peer)  # type: ignore[assignment]
        return limits.address(request)

    def test_is_the_peer_without_a_proxy(self, app: Sanic[Any, Any]) -> None:
        """Whatever X-Forwarded-For says."""
        assert "1.2.3.4" == self.address(app, "1.2.3.4")
        assert "1.2.3.4" == self.address(app, "1.2.3.4", "9.9.9.9")

    def test_is_the_last_forwarded_address_behind_a_proxy(self, app: Sanic[Any, Any]) -> None:
        """The client itself may have written the entries before it."""
        app.config.PROXIES_COUNT = 1
        assert "1.2.3.4" == self.address(app, "10.0.0.1", "1.2.3.4")
        assert "1.2.3.4" == self.address(app, "10.0.0.1", "9.9.9.9, 8.8.8.8, 1.2.3.4")

    def test_is_the_peer_if_the_proxy_sends_no_header(self, app: Sanic[Any, Any]) -> None:
        app.config.PROXIES_COUNT = 1
        assert "1.2.3.4" == self.address(app, "1.2.3.4")

    def test_is_the_64_bit_network_of_an_ipv6_address(self, app: Sanic[Any, Any]) -> None:
        """A client with IPv6 can choose among 2^64 addresses."""
        app.config.PROXIES_COUNT = 1
        first = self.address(app, "::1", "2001:db8:1:2::1")
        assert "2001:db8:1:2::/64" == first
        assert first == self.address(app, "::1", "2001:db8:1:2:ffff::9")
        assert first != self.address(app, "::1", "2001:db8:1:3::1")

    def test_is_ipv4_for_a_mapped_address(self, app: Sanic[Any, Any]) -> None:
        """A dual-stack socket shows an IPv4 peer as IPv6."""
        assert "1.2.3.4" == self.address(app, "::ffff:1.2.3.4")

    def test_is_truncated(self, app: Sanic[Any, Any]) -> None:
        """It becomes a key in Redis."""
        app.config.PROXIES_COUNT = 1
        assert 64 == len(self.address(app, "1.2.3.4", "x" * 1000))
