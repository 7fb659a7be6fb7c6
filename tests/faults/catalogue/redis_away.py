"""Redis is away (killed, stopped, silent, reset, subscribers killed) and returns: local delivery, then a reset."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from service.datastores.redis import connect
from tests.faults.chat_client import ChatClient
from tests.faults.environment import FaultEnvironment
from tests.faults.outage import outage
from tests.faults.traffic import message_traffic
from tests.faults.users import User
from tests.faults.workers import connect_to_each_worker, worker_of
from tests.proxy import Proxy
from tests.running import Server

QUICK = [{"how": "killed", "clients": 8, "seconds": 1}]
LOCAL_TIMEOUT = 2.0
"""Seconds within which a message reaches the clients on the sender's worker, which does not need Redis."""
REVOCATION_TIMEOUT = 6.0
"""Seconds until the end of a session takes effect without Redis: each worker polls every two seconds."""
RESET_TIMEOUTS = {"killed": 6.0, "reset": 6.0, "subscribers": 6.0, "stopped": 20.0, "silent": 20.0}
"""Seconds after Redis returns within which every client gets a reset. Detecting a silent connection takes longer."""
INSTANT_OUTAGES = ("reset", "subscribers")
"""Outages that end at once: later messages may be delivered everywhere again."""
PRESENCE_TIMEOUT = 15.0


async def run(env: FaultEnvironment, *, how: str = "stopped", clients: int = 40, seconds: int = 10) -> None:
    """Send messages for `seconds` before, during and after the outage."""
    proxy = await env.enter(Proxy(env.datastores.redis_url))
    server = await env.start_server(REDIS_URL=proxy.url, WEB_CONCURRENCY="2")
    users = await env.create_users(clients)
    watching_user, leaving_user, arriving_user, revoked_before, revoked_during = await env.create_users(5)
    group = await env.create_group([*users, watching_user])
    # Those who share a conversation see each other's presence.
    await env.create_group([watching_user, leaving_user, arriving_user])
    sockets = [
        *await env.connect_sockets(users),
        *await connect_to_each_worker(env, server, [watching_user], env.connect_sockets),
    ]
    watchers = sockets[len(users) :]
    for client in watchers:
        await client.watch_presence([leaving_user, arriving_user])
    (leaving_socket,) = await env.connect_sockets([leaving_user])
    revoked_sockets = await connect_to_each_worker(env, server, [revoked_during], env.connect_sockets)
    await env.api.call("POST", "/auth/logout", revoked_before)
    await assert_revoked(env, revoked_before)
    await wait_for_presence(watchers, leaving_user, True)
    await env.record_baseline()
    async with message_traffic(sockets, group, pause=0.1):
        await asyncio.sleep(seconds)
        resets = env.ledger.resets["bus_interrupted"]
        async with redis_outage(env, how, proxy):
            began = time.monotonic()
            await env.stop_clients([leaving_socket])
            await env.connect_sockets([arriving_user])
            await assert_revoked(env, revoked_before)
            await env.api.call("POST", "/auth/logout", revoked_during)
            for client in revoked_sockets:
                await client.changes.wait_until(
                    lambda client=client: client.terminal_reason, "its session has ended", REVOCATION_TIMEOUT
                )
            await assert_revoked(env, revoked_during)
            slowest = 0.0
            while time.monotonic() < began + seconds:
                slowest = max(slowest, await local_delivery_time(server, sockets, group))
                await asyncio.sleep(0.2)
            env.ledger.note("slowest local delivery", f"{slowest * 1000:.0f} ms")
            if how in INSTANT_OUTAGES:
                await wait_for_resets(env, sockets, resets, began, how)
        restored_at = time.monotonic()
        if how not in INSTANT_OUTAGES:
            await wait_for_resets(env, sockets, resets, restored_at, how)
        await wait_for_presence(watchers, leaving_user, False)
        await wait_for_presence(watchers, arriving_user, True)
        env.ledger.note("presence is correct after", f"{time.monotonic() - restored_at:.1f} s")
        await assert_revoked(env, revoked_before, revoked_during)
        await asyncio.sleep(seconds)
    await env.check_messages(group, sockets)
    await env.verify()


@asynccontextmanager
async def redis_outage(env: FaultEnvironment, how: str, proxy: Proxy) -> AsyncIterator[None]:
    if how != "subscribers":
        async with outage(env, "redis", how, proxy):
            yield
        return
    redis = connect(env.datastores.redis_url)
    try:
        assert await redis.client_kill_filter(_type="pubsub") == 2, "one subscriber per worker"
    finally:
        await redis.aclose()
    yield


async def assert_revoked(env: FaultEnvironment, *users: User) -> None:
    """Check that the users' tokens are rejected, whichever worker answers."""
    for _ in range(4):
        for user in users:
            await env.api.close_idle_connections()  # the next connection may reach another worker
            answer = await env.api.request("GET", "/users/me", user)
            assert (401, "token_revoked") == (answer.status_code, answer.json()["code"])


async def local_delivery_time(server: Server, sockets: Sequence[ChatClient], group: str) -> float:
    """Return the seconds from an ack to the delivery to other clients on the same worker."""
    online = [client for client in sockets if client.online]
    worker = worker_of(server, online[0])
    local_clients = [client for client in online if worker_of(server, client) == worker]
    message = await local_clients[0].send(group, "to clients on the same worker")
    began = time.monotonic()
    for other in local_clients[1:]:
        await other.changes.wait_until(
            lambda other=other: other.rev(group) >= message["rev"], "local delivery", LOCAL_TIMEOUT
        )
    return time.monotonic() - began


async def wait_for_resets(
    env: FaultEnvironment, sockets: Sequence[ChatClient], resets_before: int, started_at: float, how: str
) -> None:
    """Wait until every client has got a `reset`, or its connection was closed."""
    resets = env.ledger.resets
    await sockets[0].changes.wait_until(
        lambda: resets["bus_interrupted"] >= resets_before + len(sockets),
        "every client gets a reset",
        RESET_TIMEOUTS[how],
    )
    env.ledger.note("all clients got a reset after", f"{time.monotonic() - started_at:.1f} s")


async def wait_for_presence(watchers: Sequence[ChatClient], user: User, online: bool) -> None:
    for client in watchers:
        await client.changes.wait_until(
            lambda client=client: client.presence.get(user.id) is online, f"online: {online}", PRESENCE_TIMEOUT
        )
