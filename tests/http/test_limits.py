"""How much one may do in a while."""

import asyncio
import time
from collections.abc import Awaitable, Callable
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
from service.http import limits
from service.http.limits import ConnectionLimit, RateLimit, RateLimits
from tests.cluster import cluster
from tests.conftest import Datastores
from tests.rest import free_port

SHARED = RateLimit("tests", "3/minute")
SHORT = RateLimit("short", "2/second")


async def passing(store: RateLimits, limit: RateLimit, *keys: str, times: int = 10) -> int:
    """How many of `times` tries pass."""
    passed = 0
    for _ in range(times):
        try:
            await store.check(limit, *keys)
        except RateLimited:
            continue
        passed += 1
    return passed


def relay_to(redis_url: str) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    """What a server does that passes everything on to that Redis."""
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


class TestRules:
    @pytest.mark.parametrize("limit", [value for value in vars(limits).values() if isinstance(value, RateLimit)])
    def test_can_be_read(self, limit: RateLimit) -> None:
        """Each says at least one limit."""
        assert limit.items

    def test_have_names_of_their_own(self) -> None:
        """Two of one name would count together."""
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
    async def test_stops_after_the_amount(self, redis: Redis, datastores: Datastores) -> None:
        """And says when it goes on."""
        store = RateLimits(datastores.redis_url, True)
        assert 3 == await passing(store, SHARED, "alice")
        with pytest.raises(RateLimited) as caught:
            await store.check(SHARED, "alice")
        assert caught.value.retry_after
        assert 50 < caught.value.retry_after <= 60
        await store.close()

    async def test_goes_on_when_it_said(self, redis: Redis, datastores: Datastores) -> None:
        """Retry-After is kept."""
        store = RateLimits(datastores.redis_url, True)
        assert 2 == await passing(store, SHORT, "alice", times=3)
        with pytest.raises(RateLimited) as caught:
            await store.check(SHORT, "alice")
        assert caught.value.retry_after
        await asyncio.sleep(caught.value.retry_after)
        await store.check(SHORT, "alice")
        await store.close()

    async def test_counts_all_processes_together(self, redis: Redis, datastores: Datastores) -> None:
        """Two stores are two processes; they know of each other by Redis alone."""
        one, two = RateLimits(datastores.redis_url, True), RateLimits(datastores.redis_url, True)
        assert 3 == await passing(one, SHARED, "alice") + await passing(two, SHARED, "alice")
        await one.close()
        await two.close()

    async def test_counts_each_key_and_rule_for_itself(self, redis: Redis, datastores: Datastores) -> None:
        """Bob is not stopped by Alice, nor Alice's sign-in by her registration."""
        store = RateLimits(datastores.redis_url, True)
        assert 3 == await passing(store, SHARED, "alice")
        assert 3 == await passing(store, SHARED, "bob")
        assert 2 == await passing(store, SHORT, "alice", times=3)
        await store.close()

    async def test_counts_together_on_a_cluster_and_apart_while_its_node_is_away(self, tmp_path: Path) -> None:
        """Whichever node each process was told of; its own count takes over, as with any Redis that is away."""
        async with cluster(tmp_path / "cluster") as nodes:
            one, two = (RateLimits(node.url, True) for node in nodes.nodes[:2])
            assert 2 == await passing(one, SHARED, "alice", times=2)
            assert 1 == await passing(two, SHARED, "alice")
            await (await nodes.owner(limits.TAG)).kill()
            assert 3 == await passing(one, SHARED, "alice")
            await one.close()
            await two.close()

    async def test_keeps_its_keys_together(self, redis: Redis, datastores: Datastores) -> None:
        """All of Loa's keys begin alike, and these go away by themselves."""
        store = RateLimits(datastores.redis_url, True)
        await store.check(SHARED, "alice")
        keys = await redis.keys("*")
        assert keys
        assert all(key.startswith(b"{loa:limits}:") for key in keys)
        assert all([0 < await redis.ttl(key) <= 60 for key in keys])
        await store.close()


class TestWithoutRedis:
    async def test_each_process_counts_for_itself(self) -> None:
        """Nowhere to share: the limits hold all the same."""
        store = RateLimits(None, True)
        assert 3 == await passing(store, SHARED, "alice")

    async def test_holds_while_redis_is_away(self) -> None:
        """An outage is no time for unlimited guessing."""
        store = RateLimits(f"redis://127.0.0.1:{free_port()}", True)
        assert 3 == await passing(store, SHARED, "alice")
        await store.close()

    async def test_waits_once_for_a_redis_that_hangs(self) -> None:
        """One request pays the timeout, and the hundred after it do not."""

        async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()

        server = await asyncio.start_server(hang, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        store = RateLimits(f"redis://127.0.0.1:{port}", True)
        begun = time.monotonic()
        for number in range(100):
            await store.check(SHARED, str(number))
        assert time.monotonic() - begun < 3 * limits.TIMEOUT
        await store.close()
        server.close()

    async def test_shares_again_when_redis_is_back(
        self, redis: Redis, datastores: Datastores, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """After a pause the next request tries, and what was used up elsewhere counts again."""
        monkeypatch.setattr(limits, "REDIS_COOLDOWN", 0.05)
        elsewhere = RateLimits(datastores.redis_url, True)
        assert 3 == await passing(elsewhere, SHARED, "alice")
        port = free_port()
        store = RateLimits(f"redis://127.0.0.1:{port}?{urlsplit(datastores.redis_url).query}", True)
        assert 3 == await passing(store, SHARED, "alice")
        async with await asyncio.start_server(relay_to(datastores.redis_url), "127.0.0.1", port):
            await asyncio.sleep(0.06)
            assert 0 == await passing(store, SHARED, "alice")
            await store.close()
        await elsewhere.close()


class TestOff:
    async def test_stops_nobody(self) -> None:
        """RATE_LIMITS=off is for load tests."""
        store = RateLimits(None, False)
        assert 10 == await passing(store, SHARED, "alice")
        ConnectionLimit(lambda user_id: range(1000), False).check("alice")


class TestConnectionBound:
    def test_stops_one_user_at_the_bound(self) -> None:
        """The one that would be one too many, and nobody else."""
        open_ones = {"alice": range(2), "bob": range(1)}
        limit = ConnectionLimit(lambda user_id: open_ones.get(user_id, ()), True, limit=2)
        with pytest.raises(RateLimited):
            limit.check("alice")
        limit.check("bob")
        limit.check("carol")


class Peer:
    """What Sanic knows of a connection."""

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

    def test_is_the_peer(self, app: Sanic[Any, Any]) -> None:
        """Without a proxy, whatever the client says."""
        assert "1.2.3.4" == self.address(app, "1.2.3.4")
        assert "1.2.3.4" == self.address(app, "1.2.3.4", "9.9.9.9")

    def test_is_what_the_proxy_says(self, app: Sanic[Any, Any]) -> None:
        """Behind one, the last entry; what the client wrote in front of it is not read."""
        app.config.PROXIES_COUNT = 1
        assert "1.2.3.4" == self.address(app, "10.0.0.1", "1.2.3.4")
        assert "1.2.3.4" == self.address(app, "10.0.0.1", "9.9.9.9, 8.8.8.8, 1.2.3.4")

    def test_is_the_peer_where_the_proxy_says_nothing(self, app: Sanic[Any, Any]) -> None:
        """Whoever came past the proxy is not nobody."""
        app.config.PROXIES_COUNT = 1
        assert "1.2.3.4" == self.address(app, "1.2.3.4")

    def test_is_one_for_a_network_of_ipv6(self, app: Sanic[Any, Any]) -> None:
        """Everyone with IPv6 has 2^64 addresses to change between."""
        app.config.PROXIES_COUNT = 1
        first = self.address(app, "::1", "2001:db8:1:2::1")
        assert "2001:db8:1:2::/64" == first
        assert first == self.address(app, "::1", "2001:db8:1:2:ffff::9")
        assert first != self.address(app, "::1", "2001:db8:1:3::1")

    def test_is_one_for_both_spellings_of_ipv4(self, app: Sanic[Any, Any]) -> None:
        """A socket of both kinds shows an IPv4 peer as IPv6."""
        assert "1.2.3.4" == self.address(app, "::ffff:1.2.3.4")

    def test_is_bounded(self, app: Sanic[Any, Any]) -> None:
        """It becomes a key in Redis."""
        app.config.PROXIES_COUNT = 1
        assert 64 == len(self.address(app, "1.2.3.4", "x" * 1000))
