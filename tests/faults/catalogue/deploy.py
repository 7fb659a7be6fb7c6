"""SIGTERM under load with a second process to go to: clients reconnect, spread out, and nothing is lost."""

import asyncio
import signal
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack

from tests.faults.client import Client
from tests.faults.environment import FaultEnvironment
from tests.faults.traffic import comment_traffic, message_traffic

QUICK = [{"sockets": 60, "streams": 60, "seconds": 1}]
GROUP = 50
EXIT_TIMEOUT = 20.0
MAX_RECONNECTS_PER_SECOND = 300
"""Reconnects that one process may schedule within one second: 200 plus random variation (see `service.app.drain`)."""


async def run(
    env: FaultEnvironment, *, sockets: int = 1000, streams: int = 1000, workers: int = 2, seconds: int = 3
) -> None:
    """Run for `seconds` of load before the signal, and again after the change."""
    old = await env.start_server(WEB_CONCURRENCY=str(workers))
    users = await env.create_users(sockets)
    groups = [users[first : first + GROUP] for first in range(0, sockets, GROUP)]
    ids = [await env.create_group(group) for group in groups]
    authors = [group[0] for group in groups]
    posts = [await env.create_post(author) for author in authors]
    chat_clients = await env.connect_sockets(users)
    streams_per_author = -(-streams // len(authors))
    stream_clients = await env.connect_streams(
        [author for author in authors for _ in range(streams_per_author)][:streams]
    )
    async with AsyncExitStack() as load:
        for index, (id, post) in enumerate(zip(ids, posts, strict=True)):
            await load.enter_async_context(message_traffic([chat_clients[index * GROUP + 1]], id, pause=0.2))
            await load.enter_async_context(comment_traffic(env.api, [groups[index][1]], post, pause=0.4))
        new = await env.start_server(WEB_CONCURRENCY=str(workers))
        await env.record_baseline()
        await asyncio.sleep(seconds)
        began = time.monotonic()
        old.process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(old.wait, EXIT_TIMEOUT) == 0, "the exit code"
        env.ledger.note("the old process exited after", f"{time.monotonic() - began:.1f} s")
        for client in env.clients:
            await client.changes.wait_until(
                lambda client=client: client.connections == 2 and client.online, "the client reconnects"
            )
        env.ledger.note("all clients reconnected after", f"{time.monotonic() - began:.1f} s")
        await asyncio.sleep(seconds)
    assert {"1012 restart": sockets, "stream": streams} == dict(env.ledger.closes)
    check_reconnect_delays(env, env.clients, workers)
    for index, id in enumerate(ids):
        await env.check_messages(id, chat_clients[index * GROUP : (index + 1) * GROUP])
        await env.check_notifications(
            authors[index],
            [posts[index]],
            stream_clients[index * streams_per_author : (index + 1) * streams_per_author],
        )
    assert new.process.poll() is None
    await env.verify(leases_taken_over=True)


def check_reconnect_delays(env: FaultEnvironment, clients: Sequence[Client], workers: int) -> None:
    """Check that each client got one reconnect time, and that no second has too many of these."""
    assert all(len(client.reconnect_delays) == 1 for client in clients), "each client is told exactly once"
    delays = sorted(client.reconnect_delays[0] for client in clients)
    seconds = Counter(delay // 1000 for delay in delays)
    most = max(seconds.values())
    env.ledger.note("told to reconnect after", f"{delays[0]} to {delays[-1]} ms, at most {most} within one second")
    assert most <= MAX_RECONNECTS_PER_SECOND * workers
    assert len(set(delays)) > len(delays) / 4, "the delays must be spread out"
