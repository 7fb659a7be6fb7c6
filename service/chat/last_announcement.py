"""The operator's last announcement, for users who were away when it was made."""

import asyncio
from datetime import timedelta
from typing import NamedTuple

from bson import ObjectId
from redis.asyncio import Redis

from service.common.encoding import dumps, loads
from service.common.errors import Unavailable
from service.common.times import iso, now
from service.datastores.redis import REDIS_ERRORS, TAG

LIFETIME = timedelta(days=3)
"""How long an announcement is news to somebody who has been away."""
REDIS_TIMEOUT = 1.0
"""Seconds."""


class Announcement(NamedTuple):
    message: str
    created_at: str


class LastAnnouncement:
    """One value in Redis, which expires after LIFETIME. If Redis loses it, those who were away do not see it."""

    def __init__(self, redis: "Redis", tag: str = TAG) -> None:
        """`tag`: the prefix of the key, as in `connect`."""
        self._redis = redis
        self._key = f"{tag}:announcement"

    async def store(self, message: str) -> None:
        """Store an announcement that is made now, in place of the one before. Raises one of REDIS_ERRORS."""
        async with asyncio.timeout(REDIS_TIMEOUT):
            await self._redis.set(self._key, dumps([message, iso(now())]), ex=LIFETIME)

    async def get(self, user_id: str) -> Announcement | None:
        """Return the last announcement; None if there is none, or if it is older than the user. Raises Unavailable."""
        try:
            async with asyncio.timeout(REDIS_TIMEOUT):
                stored = await self._redis.get(self._key)
        except REDIS_ERRORS as error:
            raise Unavailable("Announcements are temporarily unavailable.") from error
        announcement = Announcement(*loads(stored)) if stored else None
        registered_at = iso(ObjectId(user_id).generation_time)
        return announcement if announcement and announcement.created_at >= registered_at else None
