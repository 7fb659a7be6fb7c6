"""The whole server is killed by SIGKILL at random moments while clients write, read and follow notifications."""

import asyncio

from tests.faults.catalogue.crash_points import wait_until_gone
from tests.faults.environment import FaultEnvironment
from tests.faults.workload import Workload

QUICK = [{"clients": 10, "kills": 2, "pause": 0.1}]
MAX_UPTIME = 2.0


async def run(
    env: FaultEnvironment, *, clients: int = 50, kills: int = 20, commenters: int = 3, pause: float = 0.05
) -> None:
    """`pause`: seconds between an ack and the client's next message."""
    server = await env.start_server(WEB_CONCURRENCY="2")
    workload = await Workload.start(env, clients, streams=3)
    async with workload.traffic(pause, commenters):
        for _ in range(kills):
            await asyncio.sleep(env.random.uniform(0, MAX_UPTIME))
            workers = server.workers
            server.process.kill()
            await asyncio.to_thread(server.process.wait)
            await asyncio.to_thread(wait_until_gone, server, workers)
            server = await env.restart_server(server, WEB_CONCURRENCY="2")
    await workload.verify()
