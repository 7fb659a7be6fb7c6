"""The denylist: revoked tokens and sessions in Redis, and whether Redis can be trusted to have all of them."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, cast

import structlog
from redis.asyncio import Redis

from service.datastores.redis import REDIS_ERRORS, TAG, ping

log = structlog.get_logger()

MARKER_TTL = 30
"""Seconds that the completeness marker outlives its last renewal. A Redis that was restored from an older snapshot
does not have it."""
REDIS_TIMEOUT = 1.0
"""Seconds that Redis has to reply. MongoDB can answer the same questions, so there is no reason to wait longer."""


class Denylist:
    """Fast revocation lookups. A negative answer is only given while the list is known to be complete.

    The list is complete if every session revoked, and every token ended, within the lifetime of an access token has an
    entry. The marker in Redis states this for all processes, and is lost together with Redis's data. `is_complete` adds
    that this process knows of no missing entry: the first failure clears it, and only `mark_complete` sets it again.
    While it is False, Redis is not queried, so a Redis that hangs delays nobody.
    """

    def __init__(self, redis: "Redis", tag: str = TAG) -> None:
        """`tag`: the prefix of the keys, as in `connect`."""
        self._redis = redis
        self._tag = tag
        self._prefix = f"{tag}:revoked:"
        self._marker = self._prefix + "complete"
        self._failures = 0
        self.is_complete = False

    @property
    def failures(self) -> int:
        """How many times an entry may have been missed. An input of `mark_complete`."""
        return self._failures

    async def contains(self, ids: Sequence[str]) -> list[bool] | None:
        """For each session or token id, whether it is revoked. None if the denylist is not complete."""
        if not self.is_complete:
            return None
        try:
            async with asyncio.timeout(REDIS_TIMEOUT):
                marker, *entries = await cast(Any, self._redis.mget([self._marker, *(self._prefix + id for id in ids)]))
        except REDIS_ERRORS as error:
            self._record_failure(error)
            return None
        if marker is None:
            self._record_failure(None)
            return None
        return [entry is not None for entry in entries]

    async def add(self, ids: Mapping[str, float]) -> None:
        """Add each id for the given number of seconds. If Redis fails, the denylist becomes incomplete."""
        pipeline = self._redis.pipeline(transaction=False)
        for id, seconds in ids.items():
            if (milliseconds := int(seconds * 1000)) > 0:
                pipeline.set(self._prefix + id, 1, px=milliseconds)
        try:
            async with asyncio.timeout(REDIS_TIMEOUT):
                await pipeline.execute()
        except REDIS_ERRORS as error:
            self._record_failure(error)

    async def add_missing(self, ids: Mapping[str, float]) -> None:
        """Like `add`, but only those that have no entry: usually all have one, and asking costs less than writing."""
        try:
            async with asyncio.timeout(REDIS_TIMEOUT):
                entries = await cast(Any, self._redis.mget([self._prefix + id for id in ids])) if ids else []
        except REDIS_ERRORS as error:
            self._record_failure(error)
            return
        missing = {id: ids[id] for id, entry in zip(ids, entries, strict=True) if entry is None}
        if missing:
            await self.add(missing)

    async def is_reachable(self) -> bool:
        """Whether Redis replies."""
        try:
            async with asyncio.timeout(REDIS_TIMEOUT):
                await ping(self._redis, self._tag)
        except REDIS_ERRORS:
            return False
        return True

    async def renew_marker(self) -> None:
        """Extend the marker's TTL. A missing marker is not created: the denylist becomes incomplete instead."""
        if self.is_complete:
            try:
                async with asyncio.timeout(REDIS_TIMEOUT):
                    renewed = await self._redis.set(self._marker, 1, ex=MARKER_TTL, xx=True)
            except REDIS_ERRORS as error:
                self._record_failure(error)
            else:
                if not renewed:
                    self._record_failure(None)

    async def mark_complete(self, failures: int) -> None:
        """Declare the denylist complete, unless a failure was recorded since the caller read `failures`.

        Called once every entry has been added after `failures` was read.
        """
        if failures != self._failures:
            return
        try:
            async with asyncio.timeout(REDIS_TIMEOUT):
                await self._redis.set(self._marker, 1, ex=MARKER_TTL)
        except REDIS_ERRORS as error:
            self._record_failure(error)
            return
        self.is_complete = failures == self._failures
        if self.is_complete:
            log.info("denylist_complete")

    def _record_failure(self, error: BaseException | None) -> None:
        self._failures += 1
        if self.is_complete:
            self.is_complete = False
            log.warning("denylist_incomplete", error=type(error).__name__ if error else "marker_missing")
