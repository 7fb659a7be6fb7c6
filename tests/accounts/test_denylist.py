"""The denylist gives negative answers only while it is known to be complete."""

import pytest
from redis.asyncio import Redis

from service.accounts.denylist import MARKER_TTL, Denylist
from service.datastores.redis import TAG
from tests.proxy import Proxy

PREFIX = f"{TAG}:revoked:"
MARKER = f"{PREFIX}complete"


async def complete(denylist: Denylist) -> Denylist:
    await denylist.mark_complete(denylist.failures)
    return denylist


@pytest.fixture
async def denylist(redis: Redis) -> Denylist:
    return await complete(Denylist(redis))


async def test_a_new_denylist_cannot_tell(redis: Redis) -> None:
    """It does not know whether any process has completed it."""
    denylist = Denylist(redis)
    assert await denylist.contains(["session", "token"]) is None
    assert [False, False] == await (await complete(denylist)).contains(["session", "token"])


async def test_added_ids_are_contained(denylist: Denylist) -> None:
    """Session and token ids are looked up independently; the results keep the order of the ids."""
    await denylist.add({"session": 60.0})
    assert [True, False] == await denylist.contains(["session", "token"])
    assert [False, True] == await denylist.contains(["another session", "session"])
    await denylist.add({"token": 60.0})
    assert [True, True] == await denylist.contains(["session", "token"])


async def test_entries_expire_after_the_given_time(denylist: Denylist, redis: Redis) -> None:
    """An id without remaining time is not added."""
    await denylist.add({"one": 60.0, "other": 0.5, "expired": 0.0, "long expired": -5.0})
    assert 59_000 < await redis.pttl(PREFIX + "one") <= 60_000
    assert 0 < await redis.pttl(PREFIX + "other") <= 500
    assert denylist.is_complete
    assert {f"{PREFIX}one".encode(), f"{PREFIX}other".encode(), MARKER.encode()} == set(await redis.keys())


async def test_the_denylist_is_incomplete_after_redis_lost_its_data(denylist: Denylist, redis: Redis) -> None:
    """The marker is lost together with the entries."""
    await denylist.add({"session": 60.0})
    await redis.flushall()
    assert await denylist.contains(["session", "token"]) is None
    assert not denylist.is_complete
    assert [False, False] == await (await complete(denylist)).contains(["session", "token"])


async def test_the_marker_expires_unless_renewed(denylist: Denylist, redis: Redis) -> None:
    """A Redis that was down for longer returns without the marker, whatever else it kept."""
    assert 0 < await redis.ttl(MARKER) <= MARKER_TTL
    await redis.expire(MARKER, 5)
    await denylist.renew_marker()
    assert 5 < await redis.ttl(MARKER) <= MARKER_TTL
    assert denylist.is_complete


async def test_a_missing_marker_is_not_renewed(denylist: Denylist, redis: Redis) -> None:
    """Renewing does not declare the denylist complete."""
    await redis.delete(MARKER)
    await denylist.renew_marker()
    assert not denylist.is_complete
    assert 0 == await redis.exists(MARKER)
    await denylist.renew_marker()
    assert 0 == await redis.exists(MARKER)


async def test_the_denylist_stays_incomplete_after_an_outage(
    redis: Redis, redis_proxy: Proxy, proxied_redis: Redis
) -> None:
    """This process or another may have missed an entry, until the denylist is completed again."""
    denylist = await complete(Denylist(proxied_redis))
    redis_proxy.cut()
    assert await denylist.contains(["session", "token"]) is None
    assert not await denylist.is_reachable()
    await redis_proxy.restore()
    assert await denylist.is_reachable()
    assert await denylist.contains(["session", "token"]) is None
    assert [False, False] == await (await complete(denylist)).contains(["session", "token"])


async def test_a_failed_add_makes_the_denylist_incomplete(redis_proxy: Proxy, proxied_redis: Redis) -> None:
    """The caller sees no error: MongoDB has the revocation and is queried from now on."""
    denylist = await complete(Denylist(proxied_redis))
    redis_proxy.cut()
    await denylist.add({"session": 60.0})
    await redis_proxy.restore()
    assert not denylist.is_complete
    assert await denylist.contains(["session", "token"]) is None


async def test_a_failure_while_completing_keeps_the_denylist_incomplete(
    redis_proxy: Proxy, proxied_redis: Redis
) -> None:
    """The process that completes it may have read the database before the missed entry was written."""
    denylist = await complete(Denylist(proxied_redis))
    failures = denylist.failures
    redis_proxy.cut()
    await denylist.add({"session": 60.0})
    await redis_proxy.restore()
    await denylist.mark_complete(failures)
    assert not denylist.is_complete
    await denylist.mark_complete(denylist.failures)
    assert denylist.is_complete


async def test_the_denylist_cannot_be_completed_without_redis(no_redis: Redis) -> None:
    denylist = Denylist(no_redis)
    await denylist.mark_complete(denylist.failures)
    assert not denylist.is_complete
    await denylist.renew_marker()
    await denylist.add({"session": 60.0})
    assert await denylist.contains(["session"]) is None
