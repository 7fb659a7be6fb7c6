"""Thousands of clients reconnect at once after a kill -9: all are served, with few reads each, or told when to try."""

import asyncio
import time

from service.datastores.mongo import Mongo
from tests.faults.catalogue.crash_points import gone
from tests.faults.stage import Stage

QUICK = [{"clients": 150}]
GROUP = 50
SAID_MEANWHILE = 5
"""Messages in each group that nobody but their writer hears live."""
READS_EACH = 6
"""Queries that one client's return may cost: where its conversations stand, who takes part, what it missed, its
session, and some to spare for what the server does for itself."""
SERVED_WITHIN = 60.0


async def run(stage: Stage, *, clients: int = 3000, workers: int = 2) -> None:
    server = await stage.serve(WEB_CONCURRENCY=str(workers))
    people = await stage.people(clients)
    firsts = range(0, clients, GROUP)
    groups = [await stage.group(people[first : first + GROUP]) for first in firsts]
    sockets = await stage.sockets(people)
    old = server.workers
    server.process.kill()
    await asyncio.to_thread(server.process.wait)
    await asyncio.to_thread(gone, server, old)
    for client in sockets:
        await client.changes.until(lambda client=client: not client.online, "it has noticed")
    # Nobody comes back before there is something to fetch: the storm is to be the worst there can be.
    for client in sockets:
        client.held_back.clear()
    server = await stage.restart(server, WEB_CONCURRENCY=str(workers))
    await stage.watch_leaks()
    writers = [sockets[first] for first in firsts]
    for client in writers:
        client.held_back.set()
    for _ in range(SAID_MEANWHILE):
        saying = [client.say(group, "while you were away") for client, group in zip(writers, groups, strict=True)]
        await asyncio.gather(*saying)
    mongo = Mongo(stage.datastores.mongodb_uri)
    before = await queries(mongo)
    began = time.monotonic()
    for client in sockets:
        client.held_back.set()
    for place, first in enumerate(firsts):
        for client in sockets[first : first + GROUP]:
            await client.changes.until(
                lambda client=client, place=place: client.rev(groups[place]) >= SAID_MEANWHILE, "served", SERVED_WITHIN
            )
    stage.account.note("all were served after", f"{time.monotonic() - began:.1f} s")
    reads = await queries(mongo) - before
    mongo.close()
    stage.account.note("queries for each client", f"{reads / clients:.1f}")
    assert reads <= READS_EACH * clients
    for place, first in enumerate(firsts):
        await stage.audit_messages(groups[place], sockets[first : first + GROUP])
    only_later(stage)
    await stage.verify()


async def queries(mongo: Mongo) -> int:
    """How many the database has answered since its start."""
    return int((await mongo.database.client.admin.command("serverStatus"))["opcounters"]["query"])


def only_later(stage: Stage) -> None:
    """Nobody was turned away but with a hint when to come back, or because there was no server."""
    allowed = {"503", "429", "ConnectionRefusedError", "ConnectError", "unavailable"}
    assert stage.account.refused.keys() <= allowed, stage.account.refused
    assert all(ended.split()[0] in ("1006", "1013") for ended in stage.account.ended), stage.account.ended
