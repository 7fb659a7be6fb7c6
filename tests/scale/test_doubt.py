"""Connections whose user's address could not be subscribed to in time, and processes of the version before."""

import asyncio
import time
from collections.abc import Callable

import pytest
from redis.asyncio import Redis

from service.common.encoding import dumps, loads
from service.realtime import redis_bus, user_subscriptions
from service.realtime.addresses import Addresses, user_address
from tests.cluster import Node
from tests.proxy import Proxy
from tests.scale.bus_process import BusProcess, until

Make = Callable[[str], BusProcess]
OWN = b"e" * 32
CONTROL = Addresses("{loa}", 0).control


async def test_a_connection_that_opened_without_redis_gets_a_reset_once_its_address_is_confirmed(
    server: Node, start: Make
) -> None:
    """It is opened at once, and has missed what was published meanwhile. One that opens afterwards gets none."""
    async with Proxy(server.url) as proxy:
        process, publisher = start(proxy.url), start(server.url)
        await process.bus.start()
        await publisher.bus.start()
        proxy.cut()
        await until(lambda: not process.bus.connected)
        before = time.monotonic()
        await process.connect("ada")
        assert time.monotonic() - before < user_subscriptions.CONFIRMATION_TIMEOUT
        publisher.publish("c:1", [1], ["ada", "bob"])
        await publisher.sent()
        await proxy.restore()
        await until(lambda: "reset" in process.types("ada"))
        await process.connect("bob")
        publisher.publish("c:1", [2], ["ada", "bob"])
        await until(lambda: [2] == process.sequences("bob"))
        assert ["reset", "new_message"] == process.types("ada")
        assert ["new_message"] == process.types("bob")


async def test_a_connection_waits_a_second_for_its_address_and_then_is_in_doubt(
    server: Node, start: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here the user's address alone is refused."""
    monkeypatch.setattr(user_subscriptions, "CONFIRMATION_TIMEOUT", 0.1)
    await server.redis.execute_command("ACL SETUSER loa on >secret ~* &{loa}* +@all")
    process = start(f"redis://loa:secret@127.0.0.1:{server.port}")
    await process.bus.start()
    await process.connect("ada")
    assert not process.bus.is_subscribed(user_address("ada"))
    await server.redis.execute_command("ACL SETUSER loa &*")
    await until(lambda: process.bus.is_subscribed(user_address("ada")))
    await until(lambda: ["reset"] == process.types("ada"))


class EarlierProcess:
    """A process of the version before addresses, as far as others see it: its heartbeats, and what it understands."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._pubsub = redis.pubsub()
        self.messages: list[tuple[str, dict[str, object], bytes]] = []

    async def start(self) -> None:
        await self._pubsub.subscribe(CONTROL)
        assert await self._pubsub.get_message(timeout=5)

    async def publish(self, *messages: tuple[str, dict[str, object], bytes]) -> None:
        encoded = [dumps([kind, len(body), head]).encode() + b"\n" + body for kind, head, body in messages]
        await self._redis.publish(CONTROL, OWN + b" 12.5\n" + b"".join(encoded))

    async def receive(self) -> None:
        """Read what has arrived, as that version does."""
        while message := await self._pubsub.get_message(ignore_subscribe_messages=True, timeout=0.2):
            payload = message["data"]
            if not payload.startswith(OWN):
                # The number of the message comes first.
                payload = payload.partition(b" ")[2]
            start = payload.index(b"\n") + 1
            while start < len(payload):
                end = payload.index(b"\n", start)
                kind, size, head = loads(payload[start:end])
                start = end + 1 + size
                self.messages.append((kind, head, payload[end + 1 : start]))

    async def close(self) -> None:
        await self._pubsub.aclose()


async def test_processes_of_the_version_before_hear_everything_as_long_as_one_is_alive(
    server: Node, start: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the start, too: one may be alive that has not been heard yet. No process handles an event twice."""
    monkeypatch.setattr(redis_bus, "EARLIER_TIMEOUT", 0.4)
    one, two = start(server.url), start(server.url)
    earlier = EarlierProcess(server.redis)
    await earlier.start()
    await one.bus.start()
    await two.bus.start()
    await two.connect("ada", "bob")
    for sequence in (1, 2):
        one.publish("c:1", [sequence], ["ada", "bob"])
        await until(lambda: two.sequences("ada")[-1:] == [sequence])  # noqa: B023
        await earlier.receive()
        assert [("event", sequence)] == [(kind, head["sequence"]) for kind, head, _ in earlier.messages]
        assert sorted(["ada", "bob"]) == sorted(earlier.messages[0][2].split(b"\n")[0].decode().split(","))
        earlier.messages.clear()
        if sequence == 1:
            await asyncio.sleep(redis_bus.EARLIER_TIMEOUT)
            await earlier.publish()
            await until(lambda: time.monotonic() - one.bus._earlier_heard < redis_bus.EARLIER_TIMEOUT)
    await asyncio.sleep(redis_bus.EARLIER_TIMEOUT)
    one.publish("c:1", [3], ["ada", "bob"])
    await until(lambda: two.sequences("ada")[-1:] == [3])
    await earlier.receive()
    assert not earlier.messages
    assert [1, 2, 3] == two.sequences("ada") == two.sequences("bob")
    head = {
        "channel": "chat",
        "type": "typing",
        "policy": "latest",
        "topic": "c:1",
        "sequence": 0,
        "key": "",
        "all": False,
    }
    await earlier.publish(("event", head, b"ada\n{}"))
    await until(lambda: "typing" in two.types("ada"))
    await earlier.close()
