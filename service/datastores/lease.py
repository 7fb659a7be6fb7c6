"""A lease in Redis: of all processes that would do the same work, one does it for all of them."""

import asyncio
import math
import time
import uuid
from contextlib import suppress

from redis.asyncio import Redis

from service.datastores.redis import REDIS_ERRORS

REDIS_TIMEOUT = 1.0
"""Seconds that Redis has to reply. Without an answer the caller does without the lease."""


class Lease:
    """Held by at most one process at a time, apart from moments: the work has to be harmless if two processes do it.

    It expires `ttl` seconds after it was last renewed, so a process that is killed need not release it.
    """

    def __init__(self, redis: "Redis", key: str, ttl: float) -> None:
        self._redis = redis
        self._key = key
        self._milliseconds = int(ttl * 1000)
        self._owner = uuid.uuid4().hex.encode()
        self._held_until = -math.inf
        """When the lease expires that this process has taken, by the monotonic clock."""

    @property
    def seconds_left(self) -> float:
        """Seconds until the lease that this process has taken expires; 0 if it holds none."""
        return max(0.0, self._held_until - time.monotonic())

    async def hold(self, timeout: float = REDIS_TIMEOUT) -> bool:
        """Take or renew the lease. Return whether this process holds it; False if Redis is unavailable.

        `timeout`: seconds that Redis has to reply."""
        began = time.monotonic()
        try:
            async with asyncio.timeout(timeout):
                held = await self._take()
        except REDIS_ERRORS:
            return False
        self._held_until = began + self._milliseconds / 1000 if held else -math.inf
        return held

    async def keep(self) -> bool:
        """Renew the lease. Return whether this process still holds it: if Redis is unavailable, until it expires, which
        this does not outlast."""
        return await self.hold(min(REDIS_TIMEOUT, self.seconds_left)) or self.seconds_left > 0

    async def _take(self) -> bool:
        if await self._redis.set(self._key, self._owner, nx=True, px=self._milliseconds):
            return True
        if await self._redis.get(self._key) != self._owner:
            return False
        # It may have expired and been taken in between: two processes then hold it for a moment.
        return bool(await self._redis.pexpire(self._key, self._milliseconds))

    async def release(self) -> None:
        """Give the lease up, if this process holds it. Without Redis it expires."""
        with suppress(*REDIS_ERRORS):
            async with asyncio.timeout(REDIS_TIMEOUT):
                if await self._redis.get(self._key) == self._owner:
                    # It may expire and be taken in between: nobody then holds it until the next attempt to take it.
                    await self._redis.delete(self._key)
