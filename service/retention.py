"""Retention: what has served its time is deleted, a batch at a time."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping

import structlog

from service.common.tasks import cancel_and_wait, run_forever

log = structlog.get_logger()

Sweep = Callable[[], Awaitable[int]]
"""Deletes one batch; how many documents that were."""

INTERVAL = 3600.0
"""Seconds between two rounds: nothing here is urgent, and nothing grows much in an hour."""
PAUSE = 0.1
"""Seconds between two batches, so that people's writes come in between."""


class Retention:
    """Goes through its sweeps at the start and every hour or so. Several processes that do so at once do no harm."""

    def __init__(self, sweeps: Mapping[str, Sweep], interval: float = INTERVAL) -> None:
        self._sweeps = sweeps
        self._interval = interval
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(run_forever(self._round, "retention"))

    async def close(self) -> None:
        await cancel_and_wait(self._task)

    async def _round(self) -> None:
        for name, sweep in self._sweeps.items():
            total = 0
            while deleted := await sweep():
                total += deleted
                await asyncio.sleep(PAUSE)
            if total:
                log.info("swept", what=name, documents=total)
        # Between processes the rounds spread out.
        await asyncio.sleep(random.uniform(0.75, 1.25) * self._interval)  # noqa: S311
