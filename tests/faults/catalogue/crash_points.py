"""A worker, or the whole server, is killed at a named point: around the insert, the publish, the ack, in a drain."""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Mapping, Sequence

from tests.faults.client import Client
from tests.faults.environment import FaultEnvironment
from tests.faults.kill_point import POINTS, KillPoint
from tests.faults.workers import worker_of
from tests.faults.workload import Workload
from tests.running import Server, alive, eventually

QUICK = [{"clients": 4, "points": 3, "servers": 0}]
REPLACEMENT_TIMEOUT = 30.0


async def run(env: FaultEnvironment, *, clients: int = 20, workers: int = 2, points: int = 7, servers: int = 7) -> None:
    """Kill a worker at `points` of the points, and the whole server at `servers` of them."""
    kill_point = KillPoint(env.directory)
    environment = {"WEB_CONCURRENCY": str(workers), **kill_point.environment}
    server = await env.start_server(**environment)
    workload = await Workload.start(env, clients, streams=3)
    all_clients = [*workload.sockets, *workload.streams]
    deaths = [(point, "worker") for point in env.random.sample(POINTS, points)]
    deaths += [(point, "server") for point in env.random.sample(POINTS, servers)]
    async with workload.traffic(commenters=3):
        for point, victim in env.random.sample(deaths, len(deaths)):
            before = server.workers
            kill_point.arm(point, victim, skip=2 if point == "in-drain" else env.random.randrange(4))
            if point == "in-drain":
                await wait_until_connected(all_clients)
                # The worker with the most connections, so that it is killed in the middle of the drain.
                clients_by_worker = Counter(worker_of(server, client) for client in all_clients)
                os.kill(server.pid if victim == "server" else clients_by_worker.most_common(1)[0][0], signal.SIGTERM)
            await asyncio.to_thread(kill_point.wait_until_hit)
            server = await running_again(env, server, victim, before, environment)
            env.ledger.note(f"{victim} killed", point)
    await workload.verify()


async def running_again(
    env: FaultEnvironment, server: Server, victim: str, workers: list[int], environment: Mapping[str, str]
) -> Server:
    """Return the server that runs after `victim`, a worker or the whole server, has been killed. `workers`: the pids
    from before; `environment`: of the server."""
    if victim == "server":
        await asyncio.to_thread(server.process.wait)
        await asyncio.to_thread(wait_until_gone, server, workers)
        return await env.restart_server(server, **environment)
    await asyncio.to_thread(wait_until_replaced, server, workers)
    return server


async def wait_until_connected(clients: Sequence[Client]) -> None:
    for client in clients:
        await client.changes.wait_until(lambda client=client: client.online, "all clients are connected")


def wait_until_replaced(server: Server, before: list[int]) -> None:
    """Wait until the worker has been replaced."""

    def is_replaced() -> bool:
        text, now = server.text, server.workers
        return now != before and len(now) == len(before) and text.count("runs again") >= text.count("ended (")

    eventually(is_replaced, REPLACEMENT_TIMEOUT)


def wait_until_gone(server: Server, workers: list[int]) -> None:
    eventually(lambda: not any(alive(pid) for pid in workers), REPLACEMENT_TIMEOUT)
