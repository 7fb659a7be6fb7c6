"""The denylist says *not revoked* only while it knows that nothing is missing from it."""

import pytest
from redis.asyncio import Redis

from service.accounts.denylist import MARKER, MARKER_TTL, PREFIX, Denylist
from tests.accounts.door import Door


async def filled(denylist: Denylist) -> Denylist:
    await denylist.mark_complete(denylist.failures)
    return denylist


@pytest.fixture
async def denylist(redis: Redis) -> Denylist:
    return await filled(Denylist(redis))


async def test_at_first_it_cannot_say(redis: Redis) -> None:
    """Nobody has filled it, as far as this process knows."""
    denylist = Denylist(redis)
    assert await denylist.contains(["session", "token"]) is None
    assert [False, False] == await (await filled(denylist)).contains(["session", "token"])


async def test_what_is_entered_is_held(denylist: Denylist) -> None:
    """By the id of a session or by that of a token, each answered in its place."""
    await denylist.add({"session": 60.0})
    assert [True, False] == await denylist.contains(["session", "token"])
    assert [False, True] == await denylist.contains(["another session", "session"])
    await denylist.add({"token": 60.0})
    assert [True, True] == await denylist.contains(["session", "token"])


async def test_an_entry_lasts_as_long_as_it_was_said_to(denylist: Denylist, redis: Redis) -> None:
    """And no longer; what has no time left is not entered at all."""
    await denylist.add({"one": 60.0, "other": 0.5, "over": 0.0, "long over": -5.0})
    assert 59_000 < await redis.pttl(PREFIX + "one") <= 60_000
    assert 0 < await redis.pttl(PREFIX + "other") <= 500
    assert denylist.is_complete
    assert {f"{PREFIX}one".encode(), f"{PREFIX}other".encode(), MARKER.encode()} == set(await redis.keys())


async def test_a_redis_that_came_back_empty_is_not_believed(denylist: Denylist, redis: Redis) -> None:
    """Its data went, and the mark with it."""
    await denylist.add({"session": 60.0})
    await redis.flushall()
    assert await denylist.contains(["session", "token"]) is None
    assert not denylist.is_complete
    assert [False, False] == await (await filled(denylist)).contains(["session", "token"])


async def test_the_mark_lasts_for_its_lease_and_is_renewed(denylist: Denylist, redis: Redis) -> None:
    """A Redis that was away for longer comes back without it, whatever else it kept."""
    assert 0 < await redis.ttl(MARKER) <= MARKER_TTL
    await redis.expire(MARKER, 5)
    await denylist.renew_marker()
    assert 5 < await redis.ttl(MARKER) <= MARKER_TTL
    assert denylist.is_complete


async def test_a_mark_that_went_is_not_renewed(denylist: Denylist, redis: Redis) -> None:
    """To renew is not to say that it is complete."""
    await redis.delete(MARKER)
    await denylist.renew_marker()
    assert not denylist.is_complete
    assert 0 == await redis.exists(MARKER)
    await denylist.renew_marker()
    assert 0 == await redis.exists(MARKER)


async def test_a_redis_that_is_away_is_not_believed_when_it_is_back(redis: Redis, door: Door) -> None:
    """An entry may have been missed, by this process or by another, until it is filled again."""
    denylist = await filled(Denylist(door.client))
    await door.cut()
    assert await denylist.contains(["session", "token"]) is None
    assert not await denylist.is_reachable()
    await door.open()
    assert await denylist.is_reachable()
    assert await denylist.contains(["session", "token"]) is None
    assert [False, False] == await (await filled(denylist)).contains(["session", "token"])


async def test_an_entry_that_did_not_arrive_ends_the_belief(door: Door) -> None:
    """Without an error to the caller: MongoDB knows, and is asked from now on."""
    denylist = await filled(Denylist(door.client))
    await door.cut()
    await denylist.add({"session": 60.0})
    await door.open()
    assert not denylist.is_complete
    assert await denylist.contains(["session", "token"]) is None


async def test_an_entry_missed_while_it_was_filled_keeps_it_incomplete(door: Door) -> None:
    """Whoever fills it has read the database before that entry was there."""
    denylist = await filled(Denylist(door.client))
    failures = denylist.failures
    await door.cut()
    await denylist.add({"session": 60.0})
    await door.open()
    await denylist.mark_complete(failures)
    assert not denylist.is_complete
    await denylist.mark_complete(denylist.failures)
    assert denylist.is_complete


async def test_with_redis_away_it_does_not_become_whole(no_redis: Redis) -> None:
    """However often it is tried."""
    denylist = Denylist(no_redis)
    await denylist.mark_complete(denylist.failures)
    assert not denylist.is_complete
    await denylist.renew_marker()
    await denylist.add({"session": 60.0})
    assert await denylist.contains(["session"]) is None
