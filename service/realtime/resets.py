"""Resets for users who may have missed events, spread over some seconds: each client then reads what it lacks."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Collection, Iterable

import structlog

from service.common.tasks import cancel_and_wait, count_failure
from service.realtime.connection import Connection
from service.realtime.registry import Registry

log = structlog.get_logger()

DELAY = 0.05
"""Seconds between two steps. The first comes after one, so that doubts that arise together are one `reset`."""
STEPS = 100
"""Steps in which all are sent: together five seconds."""
MIN_STEP = 10
"""Users in one step, at least."""
RETRY_INTERVAL = 1.0
"""Seconds until a step that failed is tried again. Without the database, clients could not read what they lack."""

Prepare = Callable[[Collection[Connection]], Awaitable[None]]


class Resets:
    """Sends a `reset` to the connections of users."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self.prepare: Prepare | None = None
        """Awaited with the connections of a step, before they get a `reset`."""
        self._reasons: dict[str, str] = {}
        """The users who are still to get one, with the reason, in the order in which they get it."""
        self._step_size = MIN_STEP
        self._task: asyncio.Task[None] | None = None

    def add(self, user_ids: Iterable[str], reason: str) -> None:
        """Send a `reset` to all connections of these users, as far as they have any, once in the next seconds."""
        for user_id in user_ids:
            self._reasons.setdefault(user_id, reason)
        self._step_size = max(self._step_size, math.ceil(len(self._reasons) / STEPS))
        if self._reasons and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._send_all())

    async def close(self) -> None:
        await cancel_and_wait(self._task)

    async def _send_all(self) -> None:
        while self._reasons:
            await asyncio.sleep(DELAY)
            # Removed before they are prepared: who misses more from then on gets another `reset`.
            reasons = {user_id: self._reasons.pop(user_id) for user_id in list(self._reasons)[: self._step_size]}
            connections = [each for user_id in reasons for each in self._registry.connections(user_id)]
            try:
                if self.prepare and connections:
                    await self.prepare(connections)
            except Exception as error:
                count_failure("reset")
                log.warning("resets_delayed", connections=len(connections), error=type(error).__name__)
                self._reasons = reasons | self._reasons
                await asyncio.sleep(RETRY_INTERVAL)
                continue
            for user_id, reason in reasons.items():
                self._registry.send_notice([user_id], None, "reset", {"reason": reason})
        self._step_size = MIN_STEP
