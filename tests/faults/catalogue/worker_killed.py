"""One of four workers is killed -9: back within 5 s, the others' clients notice nothing, no presence ghost."""

import asyncio
import os
import signal
import time

from tests.faults.stage import Stage
from tests.faults.writers import talk
from tests.running import eventually

QUICK = [{"clients": 12, "seconds": 1}]
BACK_WITHIN = 5.0
GHOST_LIMIT = 30.0


async def run(stage: Stage, *, clients: int = 60, seconds: int = 5) -> None:
    server = await stage.serve(WEB_CONCURRENCY="4")
    people = await stage.people(clients)
    group = await stage.group(people)
    sockets = await stage.sockets(people)
    await stage.watch_leaks()
    async with talk(sockets, group):
        await asyncio.sleep(seconds)
        victim = stage.random.choice(server.workers)
        os.kill(victim, signal.SIGKILL)
        began = time.monotonic()
        await asyncio.to_thread(
            eventually, lambda: len(server.workers) == 4 and "runs again" in server.text, BACK_WITHIN * 4
        )
        stage.account.note("worker back", f"{time.monotonic() - began:.2f} s")
        await asyncio.sleep(seconds)
    await stage.audit_messages(group, sockets)
    await stage.verify()
