"""Work that one process of the deployment does for all of them."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from service.common.tasks import cancel_and_wait, run_forever
from service.datastores.lease import Lease

log = structlog.get_logger()

RENEW_INTERVAL = 1.0
"""Seconds between two attempts to take or renew the lease: a fraction of its TTL, so that a slow Redis does not end
the work, and short enough to take over soon after the lease of a killed process has expired."""
LEASE_TTL = 5.0
"""Seconds after which another process takes over the lease of one that was killed."""


class LeasedTask:
    """Runs `work` while this process holds the lease, and cancels it once it does not.

    Two processes may run it for a moment, so the work has to be harmless if they do. An outage of Redis that is shorter
    than the lease does not stop the work. A longer one does, when the lease expires, until Redis answers again. If
    `work` fails, it runs again, with backoff.
    """

    def __init__(self, lease: Lease, work: Callable[[], Awaitable[None]], name: str) -> None:
        """`lease` has the TTL `LEASE_TTL`. `name`: see `tasks.count_failure`."""
        self._lease = lease
        self._work = work
        self._name = name
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(run_forever(self._step, self._name, max_backoff=LEASE_TTL))

    async def close(self) -> None:
        """Stop the work and release the lease: another process takes over at once."""
        await cancel_and_wait(self._task)
        await self._lease.release()

    async def _step(self) -> None:
        if not await self._lease.hold():
            await asyncio.sleep(RENEW_INTERVAL)
            return
        log.info("lease_held", task=self._name)
        work = asyncio.ensure_future(self._work())
        try:
            while not work.done():
                # No longer than the lease: if Redis is only unavailable here, another process then takes over.
                await asyncio.wait([work], timeout=min(RENEW_INTERVAL, self._lease.seconds_left))
                if not await self._lease.keep():
                    log.warning("lease_lost", task=self._name)
                    return
            work.result()
        finally:
            await cancel_and_wait(work)
