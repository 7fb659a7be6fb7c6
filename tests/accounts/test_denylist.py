"""The blacklist says *not revoked* only while it knows that nothing is missing from it."""

import pytest
from redis.asyncio import Redis

from service.accounts.denylist import LEASE, MARK, PREFIX, Denylist
from tests.accounts.door import Door


async def filled(blacklist: Denylist) -> Denylist:
    await blacklist.complete(blacklist.failures)
    return blacklist


@pytest.fixture
async def blacklist(redis: Redis) -> Denylist:
    return await filled(Denylist(redis))


async def test_at_first_it_cannot_say(redis: Redis) -> None:
    """Nobody has filled it, as far as this process knows."""
    blacklist = Denylist(redis)
    assert await blacklist.holds(["session", "token"]) is None
    assert [False, False] == await (await filled(blacklist)).holds(["session", "token"])


async def test_what_is_entered_is_held(blacklist: Denylist) -> None:
    """By the id of a session or by that of a token, each answered in its place."""
    await blacklist.add({"session": 60.0})
    assert [True, False] == await blacklist.holds(["session", "token"])
    assert [False, True] == await blacklist.holds(["another session", "session"])
    await blacklist.add({"token": 60.0})
    assert [True, True] == await blacklist.holds(["session", "token"])


async def test_an_entry_lasts_as_long_as_it_was_said_to(blacklist: Denylist, redis: Redis) -> None:
    """And no longer; what has no time left is not entered at all."""
    await blacklist.add({"one": 60.0, "other": 0.5, "over": 0.0, "long over": -5.0})
    assert 59_000 < await redis.pttl(PREFIX + "one") <= 60_000
    assert 0 < await redis.pttl(PREFIX + "other") <= 500
    assert blacklist.whole
    assert {f"{PREFIX}one".encode(), f"{PREFIX}other".encode(), MARK.encode()} == set(await redis.keys())


async def test_a_redis_that_came_back_empty_is_not_believed(blacklist: Denylist, redis: Redis) -> None:
    """Its data went, and the mark with it."""
    await blacklist.add({"session": 60.0})
    await redis.flushall()
    assert await blacklist.holds(["session", "token"]) is None
    assert not blacklist.whole
    assert [False, False] == await (await filled(blacklist)).holds(["session", "token"])


async def test_the_mark_lasts_for_its_lease_and_is_renewed(blacklist: Denylist, redis: Redis) -> None:
    """A Redis that was away for longer comes back without it, whatever else it kept."""
    assert 0 < await redis.ttl(MARK) <= LEASE
    await redis.expire(MARK, 5)
    await blacklist.renew()
    assert 5 < await redis.ttl(MARK) <= LEASE
    assert blacklist.whole


async def test_a_mark_that_went_is_not_renewed(blacklist: Denylist, redis: Redis) -> None:
    """To renew is not to say that it is complete."""
    await redis.delete(MARK)
    await blacklist.renew()
    assert not blacklist.whole
    assert 0 == await redis.exists(MARK)
    await blacklist.renew()
    assert 0 == await redis.exists(MARK)


async def test_a_redis_that_is_away_is_not_believed_when_it_is_back(redis: Redis, door: Door) -> None:
    """An entry may have been missed, by this process or by another, until it is filled again."""
    blacklist = await filled(Denylist(door.client))
    await door.cut()
    assert await blacklist.holds(["session", "token"]) is None
    assert not await blacklist.answers()
    await door.open()
    assert await blacklist.answers()
    assert await blacklist.holds(["session", "token"]) is None
    assert [False, False] == await (await filled(blacklist)).holds(["session", "token"])


async def test_an_entry_that_did_not_arrive_ends_the_belief(door: Door) -> None:
    """Without an error to the caller: MongoDB knows, and is asked from now on."""
    blacklist = await filled(Denylist(door.client))
    await door.cut()
    await blacklist.add({"session": 60.0})
    await door.open()
    assert not blacklist.whole
    assert await blacklist.holds(["session", "token"]) is None


async def test_an_entry_missed_while_it_was_filled_keeps_it_incomplete(door: Door) -> None:
    """Whoever fills it has read the database before that entry was there."""
    blacklist = await filled(Denylist(door.client))
    failures = blacklist.failures
    await door.cut()
    await blacklist.add({"session": 60.0})
    await door.open()
    await blacklist.complete(failures)
    assert not blacklist.whole
    await blacklist.complete(blacklist.failures)
    assert blacklist.whole


async def test_with_redis_away_it_does_not_become_whole(no_redis: Redis) -> None:
    """However often it is tried."""
    blacklist = Denylist(no_redis)
    await blacklist.complete(blacklist.failures)
    assert not blacklist.whole
    await blacklist.renew()
    await blacklist.add({"session": 60.0})
    assert await blacklist.holds(["session"]) is None
