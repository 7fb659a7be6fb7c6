"""MongoDB writes, and its answer is lost: 503 or an ack, and who says it again with the nonce has said it once."""

import asyncio

from tests.faults.crowd import Crowd
from tests.faults.stage import Stage
from tests.proxy import Proxy

QUICK = [{"clients": 8, "bursts": 4}]
INSERTS = b"\x02insert\x00"
UPDATES = b"\x02update\x00"
"""How such a command begins, in BSON: an element of type string with that name."""
LONGEST = 0.4


async def run(stage: Stage, *, clients: int = 40, bursts: int = 60) -> None:
    """`bursts`: times that all answers of one kind are lost, for less than half a second each."""
    proxy = await stage.enter(Proxy(stage.datastores.mongodb_uri))
    await stage.serve(MONGODB_URI=proxy.url, WEB_CONCURRENCY="2")
    crowd = await Crowd.gather(stage, clients)
    async with crowd.talking(pause=0.05):
        for _ in range(bursts):
            await asyncio.sleep(stage.random.uniform(0.1, LONGEST))
            before = proxy.lost
            proxy.loses = stage.random.choice((INSERTS, INSERTS, UPDATES))
            async with asyncio.timeout(10):
                while proxy.lost == before:
                    await asyncio.sleep(0.01)
            await asyncio.sleep(stage.random.uniform(0, LONGEST))
            proxy.loses = b""
        await asyncio.sleep(1)
    stage.account.note("answers lost", proxy.lost)
    assert not stage.account.ended, stage.account.ended
    await crowd.verify()
