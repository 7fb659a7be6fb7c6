"""A session that has ended opens nothing, and what it had open is closed, whatever is away."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from service.accounts import revocation, sessions, tokens
from service.accounts.denylist import PREFIX
from service.accounts.models import Login, SignedIn
from service.accounts.revocation import CLOCK_TOLERANCE
from service.accounts.tokens import ACCESS
from service.common.errors import TokenRevoked, Unavailable
from service.common.identity import Identity
from service.common.ids import new_id
from service.common.times import now
from service.datastores.mongo import Mongo
from service.realtime.bus import LocalBus
from tests.accounts.accounts_process import ACCESS_TTL, AccountsProcess, build_process
from tests.accounts.conftest import PASSWORD
from tests.accounts.door import Door

REMEMBERED = ACCESS_TTL + int(CLOCK_TOLERANCE.total_seconds())


async def opens(one: AccountsProcess, caller: Identity) -> bool:
    try:
        await one.revocation.check(caller)
    except TokenRevoked:
        return False
    return True


@pytest.fixture
async def behind(mongo: Mongo, door: Door) -> AsyncIterator[AccountsProcess]:
    """A process that has Redis behind a door; the door is open, and the denylist whole."""
    one = build_process(mongo, door.client)
    await one.revocation.poll()
    assert one.denylist.is_complete
    yield one
    await one.passwords.close()


@pytest.fixture
async def there(mongo: Mongo, redis: Redis, here: AccountsProcess) -> AsyncIterator[AccountsProcess]:
    """Another process with the same datastores, which the first one's messages never reach."""
    one = build_process(mongo, redis)
    await one.revocation.poll()
    yield one
    await one.passwords.close()


async def test_a_session_that_ended_opens_nothing_at_once(
    here: AccountsProcess, there: AccountsProcess, caller: Identity
) -> None:
    """On this process and on every other one, by the denylist alone."""
    assert await opens(here, caller)
    assert await opens(there, caller)
    await here.accounts.logout(caller)
    assert not await opens(here, caller)
    assert not await opens(there, caller)


async def test_a_token_on_the_denylist_opens_nothing(here: AccountsProcess, caller: Identity) -> None:
    """By its own id as by that of its session."""
    await here.denylist.add({caller.token_id: 60.0})
    assert not await opens(here, caller)
    assert await opens(here, caller._replace(token_id="b" * 22))


@pytest.mark.parametrize("with_redis", [True, False])
async def test_of_many_who_come_at_once_each_gets_their_own_answer(
    mongo: Mongo, redis: Redis, no_redis: Redis, here: AccountsProcess, an: SignedIn, with_redis: bool
) -> None:
    """They are asked about together, and none is taken for another."""
    one = here if with_redis else build_process(mongo, no_redis)
    signed_in = [await here.accounts.login(Login(username="an.nguyen", password=PASSWORD), "") for _ in range(6)]
    callers = [await here.verifier.verify_scoped_token(each.access_token, ACCESS) for each in signed_in]
    for caller in callers[::2]:
        await here.accounts.logout(caller)
    answers = await asyncio.gather(*(opens(one, caller) for caller in callers * 100))
    assert [False, True, False, True, False, True] * 100 == answers


async def test_an_entry_lives_no_longer_than_its_tokens(here: AccountsProcess, caller: Identity, redis: Redis) -> None:
    """Session and token are on the denylist for the life of an access token, by whosever clock."""
    await here.accounts.logout(caller)
    for one in (caller.session_id, caller.token_id):
        assert REMEMBERED - 5 < await redis.ttl(PREFIX + one) <= REMEMBERED


async def test_the_connections_of_an_ended_session_are_closed(here: AccountsProcess, caller: Identity) -> None:
    """At once on this process, with the reason; those of other sessions of the same person stay."""
    mine, tab = here.connect(caller), here.connect(caller)
    other = here.connect(caller._replace(session_id=new_id()))
    await here.accounts.logout(caller)
    assert (1008, "token_revoked") == mine.closed == tab.closed
    assert other.closed is None


async def test_connections_elsewhere_are_closed_by_the_message(mongo: Mongo, redis: Redis, caller: Identity) -> None:
    """The bus carries it to every process, and nobody has to look."""
    bus = LocalBus()
    one, other = build_process(mongo, redis, bus=bus), build_process(mongo, redis, bus=bus)
    connection, anothers = other.connect(caller), other.connect(caller._replace(session_id=new_id()))
    await one.accounts.logout(caller)
    assert (1008, "token_revoked") == connection.closed
    assert anothers.closed is None
    await one.passwords.close()
    await other.passwords.close()


async def test_connections_elsewhere_are_closed_though_the_message_was_lost(
    here: AccountsProcess, there: AccountsProcess, caller: Identity
) -> None:
    """The other process sees it in the database at its next look."""
    connection = there.connect(caller)
    await here.accounts.logout(caller)
    assert connection.closed is None
    await there.revocation.poll()
    assert (1008, "token_revoked") == connection.closed


@contextmanager
def clock(hours: int) -> Iterator[None]:
    """The time of the process that does something meanwhile, so many hours off."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (sessions, revocation):
            patch.setattr(module, "now", lambda: now() + timedelta(hours=hours))
        yield


@pytest.mark.parametrize("hours", [-2, 2])
@pytest.mark.parametrize("whose", ["who ends it", "who looks"])
async def test_an_end_is_seen_whatever_a_clock_says(
    here: AccountsProcess, there: AccountsProcess, redis: Redis, caller: Identity, hours: int, whose: str
) -> None:
    """The message was lost, and Redis with all its entries: connections close, the denylist is filled again."""
    ending, looking = (hours, 0) if whose == "who ends it" else (0, hours)
    connection = there.connect(caller)
    with clock(looking):
        await there.revocation.poll()
    with clock(ending):
        await here.accounts.logout(caller)
    with clock(looking):
        await there.revocation.poll()
        assert (1008, "token_revoked") == connection.closed
        await redis.flushall()
        assert not await opens(there, caller)
        await there.revocation.poll()
    assert there.denylist.is_complete
    assert REMEMBERED - 5 < await redis.ttl(PREFIX + caller.session_id) <= REMEMBERED


async def test_a_token_of_a_clock_that_is_ahead_stays_shut(here: AccountsProcess, redis: Redis, an: SignedIn) -> None:
    """Its issuer's clock is most of an hour ahead: it is on the denylist as long as anyone would take it for good."""
    caller = await here.verifier.verify_scoped_token(an.access_token, ACCESS)
    with pytest.MonkeyPatch.context() as patch:
        ahead = time.time() + CLOCK_TOLERANCE.total_seconds() - 60
        patch.setattr(tokens.time, "time", lambda: ahead)
        issued = here.tokens.issue(ACCESS, caller.user_id, caller.session_id)
    await here.accounts.logout(caller)
    assert issued.expires_at < time.time() + await redis.ttl(PREFIX + caller.session_id)


@pytest.mark.parametrize("hours", [-1, 1])
async def test_a_clock_that_is_wrong_is_told_of_once(here: AccountsProcess, hours: int) -> None:
    """And once that it is right again."""
    with capture_logs() as logged:
        for off in (0, hours, hours, 0, 0):
            with clock(off):
                await here.revocation.poll()
    assert ["clock_skew_detected", "clock_skew_resolved"] == [
        line["event"] for line in logged if "clock" in line["event"]
    ]
    assert hours == round(logged[0]["seconds"] / 3600)


async def test_a_connection_that_came_in_between_is_closed(
    here: AccountsProcess, there: AccountsProcess, caller: Identity
) -> None:
    """Its token was checked before the session ended, and it was registered after: the next looks still find it."""
    await here.accounts.logout(caller)
    await there.revocation.poll()
    late = there.connect(caller)
    await there.revocation.poll()
    assert (1008, "token_revoked") == late.closed


async def test_looking_goes_on_by_itself(here: AccountsProcess, there: AccountsProcess, caller: Identity) -> None:
    """From start to close, without anybody asking."""
    connection = there.connect(caller)
    closed = asyncio.Event()
    connection.on_close(closed.set)
    await here.accounts.logout(caller)
    await there.revocation.start()
    await asyncio.wait_for(closed.wait(), 5)
    await there.revocation.close()
    assert {asyncio.current_task()} == asyncio.all_tasks()


async def test_looking_survives_an_outage(no_mongo: Mongo, redis: Redis) -> None:
    """A look that fails is reported, and the task lives."""
    one = build_process(no_mongo, redis)
    with pytest.raises(Unavailable):
        await one.revocation.poll()
    assert not one.denylist.is_complete
    await one.passwords.close()


async def test_where_redis_is_away_mongodb_says(
    mongo: Mongo, no_redis: Redis, here: AccountsProcess, caller: Identity
) -> None:
    """Yes to a live session, no to one that has ended or never was."""
    away = build_process(mongo, no_redis)
    await away.revocation.poll()
    assert await opens(away, caller)
    assert not await opens(away, caller._replace(session_id=new_id()))
    await away.accounts.logout(caller)
    assert not await opens(away, caller)
    await away.passwords.close()


async def test_where_mongodb_is_away_a_whole_denylist_says(
    no_mongo: Mongo, here: AccountsProcess, caller: Identity
) -> None:
    """Nothing can be revoked meanwhile, so it has not become wrong."""
    assert await opens(here, caller)
    here.sessions._sessions = no_mongo.database["sessions"]
    assert await opens(here, caller)
    await here.denylist.add({caller.session_id: 60.0})
    assert not await opens(here, caller)


async def test_where_neither_is_there_nobody_is_let_in(no_mongo: Mongo, no_redis: Redis, caller: Identity) -> None:
    """Nor told that they are revoked: it can be tried again."""
    away = build_process(no_mongo, no_redis)
    with pytest.raises(Unavailable):
        await away.revocation.check(caller)
    await away.passwords.close()


async def test_an_ended_session_stays_shut_when_redis_is_back_without_its_entry(
    behind: AccountsProcess, door: Door, redis: Redis, caller: Identity
) -> None:
    """Redis was away when the session ended, and has kept all it had before: before the next look, and after."""
    assert await opens(behind, caller)
    await door.cut()
    await behind.accounts.logout(caller)
    assert not await opens(behind, caller)
    await door.open()
    assert 0 == await redis.exists(PREFIX + caller.session_id)
    assert not await opens(behind, caller)
    await behind.revocation.poll()
    assert behind.denylist.is_complete
    assert 1 == await redis.exists(PREFIX + caller.session_id)
    assert not await opens(behind, caller)


async def test_other_processes_learn_what_one_could_not_enter(
    behind: AccountsProcess, there: AccountsProcess, door: Door, caller: Identity
) -> None:
    """Only one process was cut off from Redis, and it never comes back: the next look of another enters it."""
    await door.cut()
    await behind.accounts.logout(caller)
    await there.revocation.poll()
    assert there.denylist.is_complete
    assert not await opens(there, caller)


async def test_an_ended_session_stays_shut_when_redis_has_lost_everything(
    here: AccountsProcess, there: AccountsProcess, redis: Redis, caller: Identity
) -> None:
    """Restarted empty: before anybody has looked, and after."""
    await here.accounts.logout(caller)
    await redis.flushall()
    assert not await opens(there, caller)
    await there.revocation.poll()
    assert there.denylist.is_complete
    assert not await opens(there, caller)
    # The other process has not noticed anything, and need not: the entry and the mark are back.
    assert here.denylist.is_complete
    assert not await opens(here, caller)


async def test_what_ended_long_ago_is_entered_too(
    here: AccountsProcess, mongo: Mongo, redis: Redis, caller: Identity
) -> None:
    """As long ago as an access token may live: by a new process, and by one that sees that Redis has lost it all."""
    ended = now() - timedelta(seconds=REMEMBERED - 60)
    await here.sessions._sessions.update_one({}, {"$set": {"revoked_at": ended}})
    await redis.flushall()
    fresh = build_process(mongo, redis)
    await fresh.revocation.poll()
    assert 0 < await redis.ttl(PREFIX + caller.session_id) <= 60
    await redis.flushall()
    await fresh.revocation.poll()
    assert 0 < await redis.ttl(PREFIX + caller.session_id) <= 60
    await fresh.passwords.close()


async def test_a_new_process_enters_what_the_last_one_could_not(
    behind: AccountsProcess, door: Door, mongo: Mongo, redis: Redis, here: AccountsProcess, caller: Identity
) -> None:
    """It was killed before Redis came back."""
    await door.cut()
    await behind.accounts.logout(caller)
    await redis.flushall()
    fresh = build_process(mongo, redis)
    assert not await opens(fresh, caller)
    await fresh.revocation.poll()
    assert fresh.denylist.is_complete
    assert 1 == await redis.exists(PREFIX + caller.session_id)
    await fresh.passwords.close()


async def test_what_was_entered_late_lasts_no_longer(
    behind: AccountsProcess, door: Door, redis: Redis, caller: Identity
) -> None:
    """Its time counts from the end of the session, not from the entry."""
    await door.cut()
    await behind.accounts.logout(caller)
    await asyncio.sleep(0.05)
    await door.open()
    await behind.revocation.poll()
    assert REMEMBERED * 1000 - 5000 < await redis.pttl(PREFIX + caller.session_id) <= REMEMBERED * 1000 - 50


async def test_a_hanging_redis_holds_up_only_who_finds_it_so(
    here: AccountsProcess, caller: Identity, redis: Redis
) -> None:
    """The next one asks MongoDB without waiting for it."""
    await redis.client_pause(1500)
    try:
        assert await opens(here, caller)
        start = asyncio.get_running_loop().time()
        assert await opens(here, caller)
        assert asyncio.get_running_loop().time() - start < 0.5
    finally:
        await redis.client_unpause()


async def test_a_new_sign_in_is_not_touched(here: AccountsProcess, an: SignedIn, caller: Identity) -> None:
    """One session ends; the next one of the same person opens everything."""
    await here.accounts.logout(caller)
    again = await here.accounts.login(Login(username="an.nguyen", password=PASSWORD), "")
    await here.revocation.poll()
    assert await here.verifier.verify_scoped_token(again.access_token, ACCESS)
