"""A client's network disappears silently: within 45 s its connection is closed and its user is offline."""

import asyncio
import time

from service.realtime.connection import IDLE_TIMEOUT
from tests.faults import leaks
from tests.faults.environment import FaultEnvironment
from tests.faults.network import NamespaceProxy, network_namespace
from tests.faults.traffic import message_traffic

QUICK: list[dict[str, int]] = []
"""It takes 45 seconds."""
TOLERANCE = 3.0
"""Seconds of tolerance: a timer runs once a second, and the presence event takes time to arrive."""


async def run(env: FaultEnvironment, *, clients: int = 20) -> None:
    namespace = await env.enter(network_namespace())
    server = await env.start_server(HOST=namespace.host, WEB_CONCURRENCY="2")
    users = await env.create_users(clients)
    watcher, talker = await env.create_users(2)
    group = await env.create_group([watcher, talker, *users])
    server_clients = await env.connect_sockets([watcher, talker])
    await server_clients[0].watch_presence(users)
    await env.record_baseline()
    baseline = leaks.open_connections(server)
    proxy = await env.enter(NamespaceProxy(server.url, namespace))
    near_url, env.api.url = server.url, proxy.url
    sockets, streams = await env.connect_sockets(users), await env.connect_streams(users)
    online = server_clients[0].presence
    await server_clients[0].changes.wait_until(lambda: all(online.get(user.id) for user in users), "all are online")
    async with message_traffic(server_clients[1:], group, pause=0.5):
        await asyncio.sleep(1)
        for client in (*sockets, *streams):
            client.may_reconnect.clear()
        namespace.disconnect()
        env.api.url = near_url
        began = time.monotonic()
        gone_after: dict[str, float] = {}
        while time.monotonic() < began + IDLE_TIMEOUT + 30 and (len(gone_after) < 2):
            if "connections" not in gone_after and leaks.open_connections(server) <= baseline:
                gone_after["connections"] = time.monotonic() - began
            if "presence" not in gone_after and not any(online.get(user.id) for user in users):
                gone_after["presence"] = time.monotonic() - began
            await asyncio.sleep(0.25)
        for what, seconds in gone_after.items():
            env.ledger.note(f"{what} gone after", f"{seconds:.1f} s")
        assert gone_after.keys() == {"connections", "presence"}, (gone_after, leaks.open_connections(server), baseline)
        assert max(gone_after.values()) <= IDLE_TIMEOUT + TOLERANCE, gone_after
        await env.stop_clients([*sockets, *streams])
    await env.check_messages(group, server_clients)
    await env.verify()
