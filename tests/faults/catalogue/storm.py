"""Thousands of clients reconnect at once after a SIGKILL: all are served with few queries, or get a time to retry."""

import asyncio
import time

from service.datastores.mongo import Mongo
from tests.faults.catalogue.crash_points import wait_until_gone
from tests.faults.environment import FaultEnvironment

QUICK = [{"clients": 150}]
GROUP = 50
MESSAGES_MISSED = 5
"""Messages in each group that only their writer receives live."""
MAX_QUERIES_PER_CLIENT = 6
"""Queries that one client's reconnect may cost: the state of its conversations, their participants, what it missed, its
session, and some for the server's own work."""
CATCH_UP_TIMEOUT = 60.0


async def run(env: FaultEnvironment, *, clients: int = 3000, workers: int = 2) -> None:
    server = await env.start_server(WEB_CONCURRENCY=str(workers))
    users = await env.create_users(clients)
    firsts = range(0, clients, GROUP)
    groups = [await env.create_group(users[first : first + GROUP]) for first in firsts]
    sockets = await env.connect_sockets(users)
    old = server.workers
    server.process.kill()
    await asyncio.to_thread(server.process.wait)
    await asyncio.to_thread(wait_until_gone, server, old)
    for client in sockets:
        await client.changes.wait_until(lambda client=client: not client.online, "the client is disconnected")
    # No client reconnects before there is something to fetch, to make the storm as bad as possible.
    for client in sockets:
        client.may_reconnect.clear()
    server = await env.restart_server(server, WEB_CONCURRENCY=str(workers))
    await env.record_baseline()
    writers = [sockets[first] for first in firsts]
    for client in writers:
        client.may_reconnect.set()
    for _ in range(MESSAGES_MISSED):
        saying = [
            client.send(group, "sent while the others are away") for client, group in zip(writers, groups, strict=True)
        ]
        await asyncio.gather(*saying)
    mongo = Mongo(env.datastores.mongodb_uri)
    before = await count_queries(mongo)
    began = time.monotonic()
    for client in sockets:
        client.may_reconnect.set()
    for index, first in enumerate(firsts):
        for client in sockets[first : first + GROUP]:
            await client.changes.wait_until(
                lambda client=client, index=index: client.rev(groups[index]) >= MESSAGES_MISSED,
                "the client caught up",
                CATCH_UP_TIMEOUT,
            )
    env.ledger.note("all clients caught up after", f"{time.monotonic() - began:.1f} s")
    queries = await count_queries(mongo) - before
    mongo.close()
    env.ledger.note("queries for each client", f"{queries / clients:.1f}")
    assert queries <= MAX_QUERIES_PER_CLIENT * clients
    for index, first in enumerate(firsts):
        await env.check_messages(groups[index], sockets[first : first + GROUP])
    check_refusals(env)
    await env.verify()


async def count_queries(mongo: Mongo) -> int:
    """Return the number of queries that the database has answered since its start."""
    return int((await mongo.database.client.admin.command("serverStatus"))["opcounters"]["query"])


def check_refusals(env: FaultEnvironment) -> None:
    """Check that clients were refused only with a hint when to retry, or because there was no server."""
    allowed = {"503", "429", "ConnectionRefusedError", "ConnectError", "unavailable"}
    assert env.ledger.refusals.keys() <= allowed, env.ledger.refusals
    assert all(ended.split()[0] in ("1006", "1013") for ended in env.ledger.closes), env.ledger.closes
