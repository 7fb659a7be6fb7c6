"""MongoDB goes (killed, stopped, silent, reset) and comes back: 503, no ack that is not stored, connections stay."""

import asyncio
import time

from tests.faults.crowd import Crowd
from tests.faults.outage import outage
from tests.faults.stage import Stage
from tests.proxy import Proxy

QUICK = [{"how": "killed", "clients": 8, "seconds": 4}]
STEADY = 1.5
"""Seconds after which whatever was stored before has been acknowledged: a comment waits for its post's count, too, but
not for as long as the driver looks for a server."""
TOLD = {"killed": 5.0, "stopped": 25.0, "silent": 25.0}
"""Seconds until it is answered with a 503: a connection that is silent is waited for, and tried once more."""
WRITERS_TOLD = 8.0
"""Seconds until who says something is answered with `unavailable`, however the database is away."""
BACK = 15.0
"""Seconds until it is stored again, whatever had to be waited for."""


async def run(stage: Stage, *, how: str = "stopped", clients: int = 40, seconds: int = 30) -> None:
    """`seconds` that it is away; in between, whether it is stored is known to nobody but MongoDB."""
    proxy = await stage.enter(Proxy(stage.datastores.mongodb_uri))
    server = await stage.serve(MONGODB_URI=proxy.url, WEB_CONCURRENCY="2")
    crowd = await Crowd.gather(stage, clients)
    async with crowd.talking(pause=0.05):
        await asyncio.sleep(1)
        async with outage(stage, "mongo", how, proxy):
            began = time.monotonic()
            if how in TOLD:
                await nothing_is_stored(stage, began, how, seconds)
                assert 200 == await asyncio.to_thread(server.status, "/healthz")
                assert 503 == await asyncio.to_thread(server.status, "/readyz")
        back = time.monotonic()
        before = acknowledged(stage)
        await crowd.sockets[0].changes.until(lambda: acknowledged(stage) > before, "it is stored again", BACK)
        stage.account.note("stored again after", f"{time.monotonic() - back:.1f} s")
        await asyncio.sleep(max(1, seconds / 10))
    assert not stage.account.ended, stage.account.ended
    await crowd.verify()


async def nothing_is_stored(stage: Stage, began: float, how: str, seconds: int) -> None:
    """Nothing is acknowledged while MongoDB is away; whoever has been refused was told when to come back."""
    await asyncio.sleep(STEADY)
    before = acknowledged(stage)
    limits = {"unavailable": WRITERS_TOLD, "503": TOLD[how]}
    told: dict[str, float] = {}
    while time.monotonic() < began + seconds:
        for refusal in limits.keys() - told.keys():
            if stage.account.refused[refusal]:
                told[refusal] = time.monotonic() - began
        more = acknowledged(stage) - before
        assert not more, f"{more} acknowledged after {time.monotonic() - began:.1f} s of nothing that could be stored"
        await asyncio.sleep(0.05)
    for refusal, limit in limits.items():
        if refusal in told:
            stage.account.note(f"the first {refusal} after", f"{told[refusal]:.1f} s")
        assert told.get(refusal, seconds) < limit, f"nobody has been told {refusal}"


def acknowledged(stage: Stage) -> int:
    return len(stage.account.messages.acknowledged) + len(stage.account.notifications.acknowledged)
