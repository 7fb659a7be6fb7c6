"""The denylist: the tokens and sessions in Redis that must not open anything, and whether Redis can be believed."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, cast

import structlog
from redis.asyncio import Redis

from service.datastores.redis import OUTAGE, TAG, ping

log = structlog.get_logger()

PREFIX = f"{TAG}:revoked:"
MARKER = PREFIX + "complete"

LEASE = 30
"""Seconds that the mark outlives its last renewal. A Redis that comes back from an older snapshot comes without it."""
REDIS_TIMEOUT = 1.0
"""Seconds that Redis has to answer. MongoDB can be asked in its place, so nobody need wait longer."""


class Denylist:
    """The fast half of revocation: it can say *revoked*, and *not revoked* only while it is known to be complete.

    It is complete when every session that ended within the life of an access token has its entry. The mark in Redis
    says so to all processes, and goes with Redis's data if those go. `is_complete` says that this process, too,
    knows of no entry that is missing; the first failure ends that, and only `mark_complete` brings it back. While it is not
    whole, Redis is not asked, so that one that hangs holds up nobody.
    """

    def __init__(self, redis: "Redis") -> None:
        self._redis = redis
        self._failures = 0
        self.is_complete = False

    @property
    def failures(self) -> int:
        """How many times an entry may have been missed: for `mark_complete`."""
        return self._failures

    async def contains(self, ids: Sequence[str]) -> list[bool] | None:
        """Whether each of these sessions and tokens is on it. None: it cannot say."""
        if not self.is_complete:
            return None
        try:
            async with asyncio.timeout(REDIS_TIMEOUT):
                mark, *entries = await cast(Any, self._redis.mget([MARKER, *(PREFIX + one for one in ids)]))
        except OUTAGE as error:
            self._failed(error)
            return None
        if mark is None:
            self._failed(None)
            return None
        return [entry is not None for entry in entries]

    async def add(self, ids: Mapping[str, float]) -> None:
        """Enter each of these ids for so many seconds. Where Redis does not take them, the denylist is not whole."""
        pipeline = self._redis.pipeline(transaction=False)
        for one, seconds in ids.items():
            if (milliseconds := int(seconds * 1000)) > 0:
                pipeline.set(PREFIX + one, 1, px=milliseconds)
        try:
            async with asyncio.timeout(REDIS_TIMEOUT):
                await pipeline.execute()
        except OUTAGE as error:
            self._failed(error)

    async def is_reachable(self) -> bool:
        """Whether Redis is there."""
        try:
            async with asyncio.timeout(REDIS_TIMEOUT):
                await ping(self._redis)
        except OUTAGE:
            return False
        return True

    async def renew_marker(self) -> None:
        """Keep the mark for another while, if it is there."""
        if self.is_complete:
            try:
                async with asyncio.timeout(REDIS_TIMEOUT):
                    marked = await self._redis.set(MARKER, 1, ex=LEASE, xx=True)
            except OUTAGE as error:
                self._failed(error)
            else:
                if not marked:
                    self._failed(None)

    async def mark_complete(self, failures: int) -> None:
        """Every entry has been added since `failures` was read: believe Redis again, unless one failed meanwhile."""
        if failures != self._failures:
            return
        try:
            async with asyncio.timeout(REDIS_TIMEOUT):
                await self._redis.set(MARKER, 1, ex=LEASE)
        except OUTAGE as error:
            self._failed(error)
            return
        self.is_complete = failures == self._failures
        if self.is_complete:
            log.info("denylist_complete")

    def _failed(self, error: BaseException | None) -> None:
        self._failures += 1
        if self.is_complete:
            self.is_complete = False
            log.warning("denylist_incomplete", error=type(error).__name__ if error else "marker_missing")
