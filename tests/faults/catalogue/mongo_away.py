"""MongoDB is away (killed, stopped, silent, reset) and returns: 503, no ack without a write, connections stay."""

import asyncio
import time

from tests.faults.environment import FaultEnvironment
from tests.faults.outage import outage
from tests.faults.workload import Workload
from tests.proxy import Proxy

QUICK = [{"how": "killed", "clients": 8, "seconds": 5}]
SETTLE_TIME = 3.5
"""Seconds after which everything stored before the outage has been acknowledged: a message also waits for the second
read of its conversation's participants, which fails after the driver's server selection."""
REFUSAL_TIMEOUTS = {"killed": 5.0, "stopped": 25.0, "silent": 25.0}
"""Seconds until the first 503: the driver waits for a silent connection and retries once."""
WRITER_REFUSAL_TIMEOUT = 8.0
"""Seconds until a sender gets `unavailable`, for every kind of outage."""
RECOVERY_TIMEOUT = 15.0
"""Seconds until messages are stored again after the outage."""


async def run(env: FaultEnvironment, *, how: str = "stopped", clients: int = 40, seconds: int = 30) -> None:
    """`seconds`: the length of the outage."""
    proxy = await env.enter(Proxy(env.datastores.mongodb_uri))
    server = await env.start_server(MONGODB_URI=proxy.url, WEB_CONCURRENCY="2")
    workload = await Workload.start(env, clients)
    async with workload.traffic(pause=0.05):
        await asyncio.sleep(1)
        async with outage(env, "mongo", how, proxy):
            began = time.monotonic()
            if how in REFUSAL_TIMEOUTS:
                await assert_nothing_acknowledged(env, began, how, seconds)
                assert 200 == await asyncio.to_thread(server.status, "/healthz")
                assert 503 == await asyncio.to_thread(server.status, "/readyz")
        restored_at = time.monotonic()
        before = count_acknowledged(env)
        await workload.sockets[0].changes.wait_until(
            lambda: count_acknowledged(env) > before, "a message is stored again", RECOVERY_TIMEOUT
        )
        env.ledger.note("stored again after", f"{time.monotonic() - restored_at:.1f} s")
        await asyncio.sleep(max(1, seconds / 10))
    assert not env.ledger.closes, env.ledger.closes
    await workload.verify()


async def assert_nothing_acknowledged(env: FaultEnvironment, began: float, how: str, seconds: int) -> None:
    """Check that nothing is acknowledged while MongoDB is away, and that errors come in time."""
    settled: int | None = None
    limits = {"unavailable": WRITER_REFUSAL_TIMEOUT, "503": REFUSAL_TIMEOUTS[how]}
    first_refusals: dict[str, float] = {}
    while time.monotonic() < began + seconds:
        for refusal in limits.keys() - first_refusals.keys():
            if env.ledger.refusals[refusal]:
                first_refusals[refusal] = time.monotonic() - began
        if time.monotonic() > began + SETTLE_TIME:
            acknowledged = count_acknowledged(env)
            settled = acknowledged if settled is None else settled
            more = acknowledged - settled
            assert not more, f"{more} acknowledged after {time.monotonic() - began:.1f} s without a database"
        await asyncio.sleep(0.05)
    for refusal, limit in limits.items():
        if refusal in first_refusals:
            env.ledger.note(f"the first {refusal} after", f"{first_refusals[refusal]:.1f} s")
        assert first_refusals.get(refusal, seconds) < limit, f"no {refusal} in time"
    assert settled is not None, "the outage was too short to check"


def count_acknowledged(env: FaultEnvironment) -> int:
    return len(env.ledger.messages.acknowledged) + len(env.ledger.notifications.acknowledged)
