"""The whole server is killed -9 at any moment while clients write, read, and follow their notifications."""

import asyncio

from tests.faults.catalogue.crash_points import gone
from tests.faults.crowd import Crowd
from tests.faults.stage import Stage

QUICK = [{"clients": 10, "kills": 2, "pause": 0.1}]
LONGEST_LIFE = 2.0


async def run(stage: Stage, *, clients: int = 50, kills: int = 20, commenters: int = 3, pause: float = 0.05) -> None:
    """`pause`: seconds that each client takes between an ack and what it says next."""
    server = await stage.serve(WEB_CONCURRENCY="2")
    crowd = await Crowd.gather(stage, clients, streams=3)
    async with crowd.talking(pause, commenters):
        for _ in range(kills):
            await asyncio.sleep(stage.random.uniform(0, LONGEST_LIFE))
            workers = server.workers
            server.process.kill()
            await asyncio.to_thread(server.process.wait)
            await asyncio.to_thread(gone, server, workers)
            server = await stage.restart(server, WEB_CONCURRENCY="2")
    await crowd.verify()
