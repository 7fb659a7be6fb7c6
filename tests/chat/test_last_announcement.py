"""The last announcement, for users who were away."""

from datetime import timedelta

import pytest
from bson import ObjectId
from redis.asyncio import Redis

from service.chat.last_announcement import LIFETIME, LastAnnouncement
from service.common.errors import Unavailable
from service.common.times import now
from service.datastores.redis import connect
from tests.rest import free_port


def user(registered: timedelta) -> str:
    """Return the id of a user who registered that long ago."""
    return str(ObjectId.from_datetime(now() - registered))


async def test_the_last_announcement_is_for_users_who_registered_before_it(redis: Redis) -> None:
    """For a limited time."""
    announcements = LastAnnouncement(redis)
    earlier, later = user(timedelta(hours=1)), user(-timedelta(minutes=1))
    assert None is await announcements.get(earlier)
    for message in ("Ten minutes", "Mười phút nữa 🔧"):
        await announcements.store(message)
    found = await announcements.get(earlier)
    assert found
    assert "Mười phút nữa 🔧" == found.message
    assert None is await announcements.get(later)
    [key] = await redis.keys("*announcement")
    assert 0 < await redis.ttl(key) <= LIFETIME.total_seconds()


async def test_without_redis_it_is_not_known() -> None:
    redis = connect(f"redis://127.0.0.1:{free_port()}")
    with pytest.raises(Unavailable):
        await LastAnnouncement(redis).get(user(timedelta()))
    await redis.aclose()
