"""`/healthz` and `/readyz`."""

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from sanic import Sanic

from service.datastores.mongo import Mongo
from service.datastores.redis import connect, ping
from service.http import error_handler, health
from tests.cluster import Node, cluster, is_healthy, wait_until
from tests.rest import RestClient, free_port, serving


class Hanging:
    async def ping(self) -> None:
        await asyncio.Event().wait()


async def ask(
    path: str, mongo: Mongo | Hanging, redis: Redis | Hanging, *, bus: bool = True, draining: bool = False
) -> tuple[int, dict[str, object]]:
    Sanic.test_mode = True
    app: Sanic[Any, Any] = Sanic("health-test", configure_logging=False)
    error_handler.install(app)
    app.blueprint(
        health.blueprint(
            mongo.ping,
            redis.ping if isinstance(redis, Hanging) else partial(ping, redis),
            lambda: bus,
            lambda: draining,
        )
    )
    async with serving(app) as client:
        return await answer(client, path)


async def answer(client: RestClient, path: str) -> tuple[int, dict[str, object]]:
    response = await client.get(path)
    if response.status_code == 503:
        assert int(response.headers["retry-after"]) >= 1
        assert "unavailable" == response.json()["code"]
    return response.status_code, response.json()


async def is_failing(node: Node) -> bool:
    return not await is_healthy(node)


class TestHealthz:
    async def test_does_not_depend_on_the_datastores(self) -> None:
        """Restarting the process would not bring a database back."""
        assert (200, {"status": "ok"}) == await ask("/healthz", Hanging(), Hanging(), draining=True)


class TestReadyz:
    async def test_is_ready_if_both_datastores_answer(self, mongo: Mongo, redis: Redis) -> None:
        assert (200, {"status": "ok"}) == await ask("/readyz", mongo, redis)

    async def test_is_not_ready_while_draining(self, mongo: Mongo, redis: Redis) -> None:
        """A router stops sending requests before the sockets close."""
        assert 503 == (await ask("/readyz", mongo, redis, draining=True))[0]

    async def test_is_not_ready_without_redis(self, mongo: Mongo) -> None:
        """The detail names the datastore, but not its address."""
        redis = Redis(port=free_port(), retry=None)
        status, body = await ask("/readyz", mongo, redis)
        await redis.aclose()
        assert (503, "Unavailable: Redis.") == (status, body["detail"])

    async def test_is_not_ready_while_a_cluster_lacks_a_node(self, mongo: Mongo, tmp_path: Path) -> None:
        """The remaining nodes run, but serve no commands until the node is back."""
        async with cluster(tmp_path / "cluster") as nodes:
            first, *_, other = nodes.nodes
            redis = connect(first.url)
            assert (200, {"status": "ok"}) == await ask("/readyz", mongo, redis)
            await other.kill()
            await wait_until(lambda: is_failing(first))
            assert 503 == (await ask("/readyz", mongo, redis))[0]
            await other.start()
            await nodes.wait_until_healthy()
            assert (200, {"status": "ok"}) == await ask("/readyz", mongo, redis)
            await redis.aclose()

    async def test_is_not_ready_while_its_own_messages_do_not_return(self, mongo: Mongo, redis: Redis) -> None:
        status, body = await ask("/readyz", mongo, redis, bus=False)
        assert (503, "Unavailable: Redis pub/sub.") == (status, body["detail"])

    async def test_is_not_ready_without_mongodb(self, redis: Redis) -> None:
        mongo = Mongo(f"mongodb://127.0.0.1:{free_port()}/loa")
        status, body = await ask("/readyz", mongo, redis)
        mongo.close()
        assert (503, "Unavailable: MongoDB.") == (status, body["detail"])

    async def test_concurrent_requests_share_one_check(self) -> None:
        """Anybody may send them, and each check asks both datastores."""
        answer, pings = asyncio.Event(), 0

        async def ping() -> None:
            nonlocal pings
            pings += 1
            await answer.wait()

        app: Sanic[Any, Any] = Sanic("health-test", configure_logging=False)
        app.blueprint(health.blueprint(ping, ping, lambda: True, lambda: False))
        async with serving(app) as client, asyncio.timeout(10):
            asking = [asyncio.create_task(client.get("/readyz")) for _ in range(20)]
            while pings < 2:
                await asyncio.sleep(0)
            answer.set()
            assert {200} == {(await each).status_code for each in asking}
            assert pings < 20
            before = pings
            assert 200 == (await client.get("/readyz")).status_code
            assert before + 2 == pings

    async def test_does_not_wait_for_a_hanging_datastore(self, redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
        """The response comes before a load balancer gives up."""
        monkeypatch.setattr(health, "PING_TIMEOUT", 0.05)
        async with asyncio.timeout(2):
            assert 503 == (await ask("/readyz", Hanging(), redis))[0]
