"""One of four workers is killed -9: it is back soon, the others' clients notice nothing, and no ghost stays online."""

import asyncio
import os
import signal
import time

from tests.faults.spread import worker_of
from tests.faults.stage import Stage
from tests.faults.writers import talk
from tests.running import eventually

QUICK: list[dict[str, object]] = []
PAUSE = 0.5
"""Seconds: the load is a light one, for here the machine's own time counts."""
GHOST_LIMIT = 30.0
"""Seconds after which nobody is online who was so through the dead worker alone."""


async def run(stage: Stage, *, clients: int = 60, workers: int = 4, back: float = 5.0) -> None:
    """`back`: seconds in which the worker has to serve again; a machine that is busy with other things takes longer."""
    server = await stage.serve(WEB_CONCURRENCY=str(workers))
    people = await stage.people(clients + 1)
    group = await stage.group(people)
    await stage.watch_leaks()
    watcher, *sockets = await stage.sockets(people)
    at = {client: worker_of(server, client) for client in sockets}
    victim = stage.random.choice(
        [pid for pid in server.workers if pid != worker_of(server, watcher) and pid in at.values()]
    )
    there = [client for client in sockets if at[client] == victim]
    elsewhere = [client for client in sockets if at[client] != victim]
    ghosts = there[: len(there) // 2]
    await watcher.watch([client.person for client in ghosts])
    await watcher.changes.until(lambda: len(watcher.presence) == len(ghosts), "it knows who is online")
    async with talk(elsewhere, group, PAUSE):
        for client in ghosts:
            # They lose their connection like the others, and do not come back.
            client.barred = "gone for good"
        os.kill(victim, signal.SIGKILL)
        began = time.monotonic()
        await asyncio.to_thread(
            eventually, lambda: "runs again" in server.text and len(server.workers) == workers, back
        )
        stage.account.note("the worker was back after", f"{time.monotonic() - began:.2f} s")
        gone = {client.person.id: False for client in ghosts}
        await watcher.changes.until(lambda: watcher.presence == gone, "the ghosts are gone", GHOST_LIMIT)
        stage.account.note("the last ghost was gone after", f"{time.monotonic() - began:.2f} s")
    assert [1] * len(elsewhere) == [client.connections for client in elsewhere], "others noticed"
    stage.account.note("clients of the dead worker", len(there))
    await stage.audit_messages(group, [watcher, *elsewhere, *there[len(ghosts) :]])
    await stage.verify()
