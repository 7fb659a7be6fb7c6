"""Resets for users who may have missed events, spread over some seconds: each client then reads what it lacks."""

import asyncio
import math
from collections.abc import Iterable

from service.realtime.registry import Registry

DELAY = 0.05
"""Seconds between two steps. The first comes after one, so that doubts that arise together are one `reset`."""
STEPS = 100
"""Steps in which all are sent: together five seconds."""
MIN_STEP = 10
"""Users in one step, at least."""


class Resets:
    """Sends a `reset` to the connections of users."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._reasons: dict[str, str] = {}
        """The users who are still to get one, with the reason, in the order in which they get it."""
        self._step_size = MIN_STEP
        self._timer: asyncio.TimerHandle | None = None

    def add(self, user_ids: Iterable[str], reason: str) -> None:
        """Send a `reset` to all connections of these users, as far as they have any, once in the next seconds."""
        for user_id in user_ids:
            self._reasons.setdefault(user_id, reason)
        self._step_size = max(self._step_size, math.ceil(len(self._reasons) / STEPS))
        if self._timer is None and self._reasons:
            self._timer = asyncio.get_running_loop().call_later(DELAY, self._step)

    def close(self) -> None:
        if self._timer:
            self._timer.cancel()

    def _step(self) -> None:
        self._timer = None
        for user_id in list(self._reasons)[: self._step_size]:
            self._registry.send_notice([user_id], None, "reset", {"reason": self._reasons.pop(user_id)})
        if self._reasons:
            self._timer = asyncio.get_running_loop().call_later(DELAY, self._step)
        else:
            self._step_size = MIN_STEP
