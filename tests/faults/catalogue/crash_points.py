"""A worker, or the whole server, dies at a named point: around the insert, the publish, the ack, in a drain."""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Sequence

from tests.faults.client import Client
from tests.faults.crowd import Crowd
from tests.faults.spread import worker_of
from tests.faults.stage import Stage
from tests.faults.trap import POINTS, Trap
from tests.running import Server, alive, eventually

QUICK = [{"clients": 4, "points": 3, "servers": 0}]
BACK = 30.0


async def run(stage: Stage, *, clients: int = 20, workers: int = 2, points: int = 7, servers: int = 7) -> None:
    """At as many as `points` of them a worker dies, and at as many as `servers` of them the whole server."""
    trap = Trap(stage.directory)
    environment = {"WEB_CONCURRENCY": str(workers), **trap.environment}
    server = await stage.serve(**environment)
    crowd = await Crowd.gather(stage, clients, streams=3)
    everybody = [*crowd.sockets, *crowd.streams]
    deaths = [(point, "worker") for point in stage.random.sample(POINTS, points)]
    deaths += [(point, "server") for point in stage.random.sample(POINTS, servers)]
    async with crowd.talking(commenters=3):
        for point, victim in stage.random.sample(deaths, len(deaths)):
            before = server.workers
            trap.arm(point, victim, passes=2 if point == "in-drain" else stage.random.randrange(4))
            if point == "in-drain":
                await everybody_connected(everybody)
                # The one that has the most to say goodbye to, so that there is a middle.
                at = Counter(worker_of(server, client) for client in everybody)
                os.kill(server.pid if victim == "server" else at.most_common(1)[0][0], signal.SIGTERM)
            await asyncio.to_thread(trap.wait)
            if victim == "server":
                await asyncio.to_thread(server.process.wait)
                await asyncio.to_thread(gone, server, before)
                server = await stage.restart(server, **environment)
            else:
                await asyncio.to_thread(replaced, server, before)
            stage.account.note(f"{victim} killed", point)
    await crowd.verify()


async def everybody_connected(clients: Sequence[Client]) -> None:
    for client in clients:
        await client.changes.until(lambda client=client: client.online, "everybody is connected")


def replaced(server: Server, before: list[int]) -> None:
    """One of the workers has gone, and as many as before serve."""

    def back() -> bool:
        text, now = server.text, server.workers
        return now != before and len(now) == len(before) and text.count("runs again") >= text.count("ended (")

    eventually(back, BACK)


def gone(server: Server, workers: list[int]) -> None:
    eventually(lambda: not any(alive(pid) for pid in workers), BACK)
