"""MongoDB writes, but its reply is lost: the client gets a 503 or an ack, and a retry with the nonce adds nothing."""

import asyncio

from tests.faults.environment import FaultEnvironment
from tests.faults.workload import Workload
from tests.proxy import Proxy

QUICK = [{"clients": 8, "bursts": 4}]
INSERTS = b"\x02insert\x00"
UPDATES = b"\x02update\x00"
"""The beginning of such a command in BSON: a string element with that name."""
MAX_INTERVAL = 0.4


async def run(env: FaultEnvironment, *, clients: int = 40, bursts: int = 60) -> None:
    """`bursts`: how often all replies of one kind are lost, for less than half a second each."""
    proxy = await env.enter(Proxy(env.datastores.mongodb_uri))
    await env.start_server(MONGODB_URI=proxy.url, WEB_CONCURRENCY="2")
    workload = await Workload.start(env, clients)
    async with workload.traffic(pause=0.05):
        for _ in range(bursts):
            await asyncio.sleep(env.random.uniform(0.1, MAX_INTERVAL))
            before = proxy.dropped_replies
            proxy.drop_reply_to = env.random.choice((INSERTS, INSERTS, UPDATES))
            async with asyncio.timeout(10):
                while proxy.dropped_replies == before:
                    await asyncio.sleep(0.01)
            await asyncio.sleep(env.random.uniform(0, MAX_INTERVAL))
            proxy.drop_reply_to = b""
        await asyncio.sleep(1)
    env.ledger.note("replies lost", proxy.dropped_replies)
    assert not env.ledger.closes, env.ledger.closes
    await workload.verify()
