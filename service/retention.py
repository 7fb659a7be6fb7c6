"""Retention: deletes expired documents, in batches."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping

import structlog

from service.common.tasks import cancel_and_wait, run_forever

log = structlog.get_logger()

Deletion = Callable[[], Awaitable[int]]
"""Deletes one batch of expired documents; returns their number."""

INTERVAL = 3600.0
"""Seconds between rounds. Deletion is not urgent, and little accumulates in an hour."""
BATCH_PAUSE = 0.1
"""Seconds between batches, so that other writes come in between."""


class Retention:
    """Runs all deletions at the start and about every hour. Several processes may do so at the same time."""

    def __init__(self, deletions: Mapping[str, Deletion], interval: float = INTERVAL) -> None:
        self._deletions = deletions
        self._interval = interval
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(run_forever(self._run_round, "retention"))

    async def close(self) -> None:
        await cancel_and_wait(self._task)

    async def _run_round(self) -> None:
        for kind, delete_batch in self._deletions.items():
            total = 0
            while deleted := await delete_batch():
                total += deleted
                await asyncio.sleep(BATCH_PAUSE)
            if total:
                log.info("expired_deleted", kind=kind, documents=total)
        # Jitter spreads the rounds of several processes.
        await asyncio.sleep(random.uniform(0.75, 1.25) * self._interval)  # noqa: S311
