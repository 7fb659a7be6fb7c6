"""One of four workers is killed by SIGKILL: it is replaced, other clients notice nothing, presence is corrected."""

import asyncio
import os
import signal
import time

from tests.faults.environment import FaultEnvironment
from tests.faults.traffic import message_traffic
from tests.faults.workers import worker_of
from tests.running import eventually

QUICK: list[dict[str, object]] = []
SEND_INTERVAL = 0.5
"""Seconds. The load is light, because this run measures the machine's own time."""
OFFLINE_TIMEOUT = 30.0
"""Seconds after which no user of the dead worker is shown as online."""


async def run(env: FaultEnvironment, *, clients: int = 60, workers: int = 4, back: float = 5.0) -> None:
    """`back`: seconds within which the worker must serve again; a machine that is busy with other work takes longer."""
    server = await env.start_server(WEB_CONCURRENCY=str(workers))
    users = await env.create_users(clients + 1)
    group = await env.create_group(users)
    await env.record_baseline()
    watcher, *sockets = await env.connect_sockets(users)
    worker_by_client = {client: worker_of(server, client) for client in sockets}
    victim = env.random.choice(
        [pid for pid in server.workers if pid != worker_of(server, watcher) and pid in worker_by_client.values()]
    )
    victim_clients = [client for client in sockets if worker_by_client[client] == victim]
    other_clients = [client for client in sockets if worker_by_client[client] != victim]
    leaving_clients = victim_clients[: len(victim_clients) // 2]
    await watcher.watch_presence([client.user for client in leaving_clients])
    await watcher.changes.wait_until(
        lambda: len(watcher.presence) == len(leaving_clients), "the presence snapshot arrived"
    )
    async with message_traffic(other_clients, group, SEND_INTERVAL):
        for client in leaving_clients:
            # They lose their connection like the others, and do not reconnect.
            client.terminal_reason = "stopped by the test"
        os.kill(victim, signal.SIGKILL)
        began = time.monotonic()
        await asyncio.to_thread(
            eventually, lambda: "runs again" in server.text and len(server.workers) == workers, back
        )
        env.ledger.note("the worker was replaced after", f"{time.monotonic() - began:.2f} s")
        all_offline = {client.user.id: False for client in leaving_clients}
        await watcher.changes.wait_until(lambda: watcher.presence == all_offline, "all are offline", OFFLINE_TIMEOUT)
        env.ledger.note("the last user was offline after", f"{time.monotonic() - began:.2f} s")
    assert [1] * len(other_clients) == [client.connections for client in other_clients], (
        "a client of another worker was disconnected"
    )
    env.ledger.note("clients of the dead worker", len(victim_clients))
    await env.check_messages(group, [watcher, *other_clients, *victim_clients[len(leaving_clients) :]])
    await env.verify()
