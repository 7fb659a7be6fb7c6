"""Revoked sessions are refused and their connections closed, whichever of the datastores and the bus fails."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from service.accounts.models import Login, SignedIn
from service.accounts.revocation import CLOCK_TOLERANCE
from service.common.errors import TokenRevoked, Unavailable
from service.common.identity import ACCESS, Identity
from service.common.ids import new_id
from service.common.times import now
from service.datastores.mongo import Mongo
from service.datastores.redis import TAG
from service.realtime.bus import LocalBus
from tests.accounts.accounts_process import (
    ACCESS_TTL,
    AccountsProcess,
    RecordingConnection,
    build_process,
    token_pair,
)
from tests.accounts.conftest import PASSWORD, USERNAME
from tests.monitored_redis import monitored
from tests.proxy import Proxy

PREFIX = f"{TAG}:revoked:"

LOGIN = Login(username=USERNAME, password=PASSWORD)
ENTRY_TTL = ACCESS_TTL + int(CLOCK_TOLERANCE.total_seconds())
"""Seconds that a denylist entry lasts."""


async def is_accepted(process: AccountsProcess, caller: Identity) -> bool:
    try:
        await process.revocation.check(caller)
    except TokenRevoked:
        return False
    return True


@pytest.fixture
async def proxied_process(mongo: Mongo, proxied_redis: Redis) -> AsyncIterator[AccountsProcess]:
    """A process that connects to Redis through `redis_proxy`, with a complete denylist."""
    process = build_process(mongo, proxied_redis)
    await process.revocation.poll()
    assert process.denylist.is_complete
    yield process
    await process.passwords.close()


@pytest.fixture
async def other_process(mongo: Mongo, redis: Redis, process: AccountsProcess) -> AsyncIterator[AccountsProcess]:
    """Another process with the same datastores that receives no bus message of the first."""
    other = build_process(mongo, redis)
    await other.revocation.poll()
    yield other
    await other.passwords.close()


async def test_a_revoked_session_is_refused_at_once_on_every_process(
    process: AccountsProcess, other_process: AccountsProcess, caller: Identity
) -> None:
    """The denylist alone is enough."""
    assert await is_accepted(process, caller)
    assert await is_accepted(other_process, caller)
    await process.accounts.logout(caller)
    assert not await is_accepted(process, caller)
    assert not await is_accepted(other_process, caller)


async def test_a_token_on_the_denylist_is_refused(process: AccountsProcess, caller: Identity) -> None:
    """Other tokens of the same session are accepted."""
    await process.denylist.add({caller.token_id: 60.0})
    assert not await is_accepted(process, caller)
    assert await is_accepted(process, caller._replace(token_id="b" * 22))


@pytest.mark.parametrize("with_redis", [True, False])
async def test_concurrent_checks_get_their_own_results(
    mongo: Mongo, no_redis: Redis, process: AccountsProcess, signed_in: SignedIn, with_redis: bool
) -> None:
    """Checks share a query, and each gets the result for its own session."""
    checking = process if with_redis else build_process(mongo, no_redis)
    sessions = [await process.accounts.login(LOGIN, "") for _ in range(6)]
    callers = [await process.verifier.verify_scoped_token(session.access_token, ACCESS) for session in sessions]
    for caller in callers[::2]:
        await process.accounts.logout(caller)
    results = await asyncio.gather(*(is_accepted(checking, caller) for caller in callers * 100))
    assert [False, True, False, True, False, True] * 100 == results


async def test_a_denylist_entry_outlives_its_tokens(process: AccountsProcess, caller: Identity, redis: Redis) -> None:
    """Session and token stay listed for the lifetime of an access token plus the clock tolerance."""
    await process.accounts.logout(caller)
    for id in (caller.session_id, caller.token_id):
        assert ENTRY_TTL - 5 < await redis.ttl(PREFIX + id) <= ENTRY_TTL


async def test_the_connections_of_a_revoked_session_are_closed(process: AccountsProcess, caller: Identity) -> None:
    """Those of the user's other sessions stay open."""
    first, second = process.connect(caller), process.connect(caller)
    other = process.connect(caller._replace(session_id=new_id()))
    await process.accounts.logout(caller)
    assert (1008, "token_revoked") == first.closed == second.closed
    assert other.closed is None


async def test_a_bus_message_closes_the_connections_on_other_processes(
    mongo: Mongo, redis: Redis, caller: Identity
) -> None:
    """No poll is needed."""
    bus = LocalBus()
    process, receiver = build_process(mongo, redis, bus=bus), build_process(mongo, redis, bus=bus)
    connection = receiver.connect(caller)
    other = receiver.connect(caller._replace(session_id=new_id()))
    await process.accounts.logout(caller)
    assert (1008, "token_revoked") == connection.closed
    assert other.closed is None
    await process.passwords.close()
    await receiver.passwords.close()


async def test_a_poll_closes_connections_if_the_bus_message_was_lost(
    process: AccountsProcess, other_process: AccountsProcess, caller: Identity
) -> None:
    connection = other_process.connect(caller)
    await process.accounts.logout(caller)
    assert connection.closed is None
    await other_process.revocation.poll()
    assert (1008, "token_revoked") == connection.closed


@pytest.mark.parametrize("hours", [-2, 2])
@pytest.mark.parametrize("wrong_clock", ["revoking process", "polling process"])
async def test_a_poll_finds_revocations_despite_a_wrong_clock(
    process: AccountsProcess,
    other_process: AccountsProcess,
    redis: Redis,
    caller: Identity,
    hours: int,
    wrong_clock: str,
) -> None:
    """The bus message and all data of Redis are lost: polls close the connections and complete the denylist again."""
    connection = other_process.connect(caller)
    wrong = process if wrong_clock == "revoking process" else other_process
    with wrong.clock.shifted(timedelta(hours=hours)):
        await other_process.revocation.poll()
        await process.accounts.logout(caller)
        await other_process.revocation.poll()
        assert (1008, "token_revoked") == connection.closed
        await redis.flushall()
        assert not await is_accepted(other_process, caller)
        await other_process.revocation.poll()
    assert other_process.denylist.is_complete
    assert ENTRY_TTL - 5 < await redis.ttl(PREFIX + caller.session_id) <= ENTRY_TTL


async def test_a_denylist_entry_outlives_a_token_issued_by_a_fast_clock(
    process: AccountsProcess, redis: Redis, caller: Identity
) -> None:
    """The issuer's clock may be ahead by almost `CLOCK_TOLERANCE`."""
    with process.clock.shifted(CLOCK_TOLERANCE - timedelta(minutes=1)):
        issued = process.tokens.issue(ACCESS, caller.user_id, caller.session_id)
    await process.accounts.logout(caller)
    assert issued.expires_at < process.clock.time() + await redis.ttl(PREFIX + caller.session_id)


@pytest.mark.parametrize("hours", [-1, 1])
async def test_a_clock_skew_is_logged_when_it_begins_and_ends(process: AccountsProcess, hours: int) -> None:
    with capture_logs() as entries:
        for offset in (0, hours, hours, 0, 0):
            with process.clock.shifted(timedelta(hours=offset)):
                await process.revocation.poll()
    logged = [entry for entry in entries if "clock" in entry["event"]]
    assert ["clock_skew_detected", "clock_skew_resolved"] == [entry["event"] for entry in logged]
    assert hours == round(logged[0]["seconds"] / 3600)


async def test_a_connection_registered_after_the_revocation_is_closed(
    process: AccountsProcess, other_process: AccountsProcess, caller: Identity
) -> None:
    """Its token was checked before the revocation. The next polls overlap the previous ones and still find it."""
    await process.accounts.logout(caller)
    await other_process.revocation.poll()
    connection = other_process.connect(caller)
    await other_process.revocation.poll()
    assert (1008, "token_revoked") == connection.closed


async def test_a_started_revocation_polls_until_it_is_closed(
    process: AccountsProcess, other_process: AccountsProcess, caller: Identity
) -> None:
    connection = other_process.connect(caller)
    closed = asyncio.Event()
    connection.on_close(closed.set)
    await process.accounts.logout(caller)
    await other_process.revocation.start()
    await asyncio.wait_for(closed.wait(), 10)
    await other_process.revocation.close()
    assert {asyncio.current_task()} == asyncio.all_tasks()


Deployment = Callable[[int], list[AccountsProcess]]


@pytest.fixture
async def deployment(mongo: Mongo, redis: Redis, process: AccountsProcess) -> AsyncIterator[Deployment]:
    """`deployment(count)` returns processes with one bus, of which none has polled. The fixture `process` has another
    bus, so what it publishes is lost."""
    built: list[AccountsProcess] = []

    def build(count: int) -> list[AccountsProcess]:
        bus = LocalBus()
        built.extend(build_process(mongo, redis, bus=bus) for _ in range(count))
        return built

    yield build
    for each in built:
        await each.passwords.close()


async def poll_now(process: AccountsProcess) -> None:
    """Let the process poll as if it had received no result of a poll for `POLL_INTERVAL` seconds."""
    process.revocation._poll_due = 0.0
    await process.revocation.poll_if_due()


def count_polls(process: AccountsProcess, monkeypatch: pytest.MonkeyPatch) -> list[datetime]:
    """Return a list that gets the time of each poll of the process."""
    polls: list[datetime] = []
    database_time = process.sessions.database_time

    async def record() -> datetime:
        polls.append(await database_time())
        return polls[-1]

    monkeypatch.setattr(process.sessions, "database_time", record)
    return polls


async def test_the_holder_of_the_lease_polls_for_all(
    deployment: Deployment, process: AccountsProcess, caller: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bus message of the revocation is lost, and no other process polls."""
    holder, *others = deployment(4)
    for each in (holder, *others):
        await each.revocation.poll()
    connections = [each.connect(caller) for each in others]
    polls = [count_polls(each, monkeypatch) for each in others]
    await process.accounts.logout(caller)
    for _ in range(3):
        await poll_now(holder)
        for each in others:
            await each.revocation.poll_if_due()
    assert [(1008, "token_revoked")] * 3 == [connection.closed for connection in connections]
    assert [[]] * 3 == polls


@pytest.mark.parametrize("missed", ["the poll before", "every poll"])
async def test_a_process_that_missed_the_result_of_a_poll_polls_itself(
    deployment: Deployment, caller: Identity, monkeypatch: pytest.MonkeyPatch, missed: str
) -> None:
    """Also if it hears of the next one: it does not know what was found before that."""
    holder, other = deployment(2)
    for each in (holder, other):
        await each.revocation.poll()
    publish = holder.revocation._bus.publish
    holder.revocation._bus.publish = lambda *_, **__: None  # type: ignore[method-assign]
    connection = other.connect(caller)
    await other.sessions.revoke(caller.session_id, caller.user_id)
    await poll_now(holder)
    if missed == "the poll before":
        holder.revocation._bus.publish = publish  # type: ignore[method-assign]
        await poll_now(holder)
    polls = count_polls(other, monkeypatch)
    monkeypatch.setattr("service.accounts.revocation.time.monotonic", lambda: time.perf_counter() + 1e6)
    await other.revocation.poll_if_due()
    assert 1 == len(polls)
    assert (1008, "token_revoked") == connection.closed


@pytest.mark.parametrize("reason", ["an address is not heard", "a message was missed"])
async def test_a_process_that_may_have_missed_a_revocation_polls_itself(
    deployment: Deployment, caller: Identity, monkeypatch: pytest.MonkeyPatch, reason: str
) -> None:
    """It does not take over the result of others. After a message was missed its poll reaches back for minutes."""
    holder, other = deployment(2)
    for each in (holder, other):
        await each.revocation.poll()
    polls = count_polls(other, monkeypatch)
    await poll_now(holder)
    await other.revocation.poll_if_due()
    assert not polls
    connection = other.connect(caller)
    revoked_at = now() - timedelta(minutes=3 * (reason == "a message was missed"))
    await other.sessions._sessions.update_one({}, {"$set": {"revoked_at": revoked_at}})
    if reason == "a message was missed":
        await poll_now(other)
        assert connection.closed is None
        polls.clear()
        other.revocation.poll_soon()
    else:
        monkeypatch.setattr(LocalBus, "receives_all", False)
        holder.revocation._publish = lambda *_: None  # type: ignore[method-assign]
    await poll_now(holder)
    monkeypatch.setattr("service.accounts.revocation.time.monotonic", lambda: time.perf_counter() + 1e6)
    await other.revocation.poll_if_due()
    assert 1 == len(polls)
    assert (1008, "token_revoked") == connection.closed


async def test_without_redis_each_process_polls(
    mongo: Mongo, no_redis: Redis, process: AccountsProcess, caller: Identity
) -> None:
    bus = LocalBus()
    processes = [build_process(mongo, no_redis, bus=bus) for _ in range(2)]
    connections = [each.connect(caller) for each in processes]
    await process.accounts.logout(caller)
    for each, connection in zip(processes, connections, strict=True):
        assert connection.closed is None
        await poll_now(each)
        assert (1008, "token_revoked") == connection.closed
        await each.passwords.close()


async def test_a_process_whose_denylist_is_incomplete_polls_although_another_polls_for_all(
    deployment: Deployment, caller: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a poll of its own completes it."""
    holder, other = deployment(2)
    await holder.revocation.poll()
    polls = count_polls(other, monkeypatch)
    await poll_now(holder)
    await other.revocation.poll_if_due()
    assert 1 == len(polls)
    assert other.denylist.is_complete


async def test_signing_out_costs_one_process_one_connection(
    deployment: Deployment, process: AccountsProcess, signed_in: SignedIn, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """100 users sign out in a deployment of ten processes, of which each has 20 connections more."""
    processes = deployment(10)
    user_id = signed_in.user.id
    callers = [Identity(user_id, new_id(), f"{number}", time.time() + 60) for number in range(100)]
    for caller in callers:
        await process.sessions.add(caller.session_id, user_id, token_pair(caller.token_id), "")
    for each in processes:
        await each.revocation.poll()
    connections = [processes[number % 10].connect(caller) for number, caller in enumerate(callers)]
    others = [each.connect(Identity(user_id, new_id(), "other", time.time() + 60)) for each in processes * 20]
    polls = [count_polls(each, monkeypatch) for each in processes]
    examined: set[RecordingConnection] = set()
    monkeypatch.setattr(RecordingConnection, "examined", examined)
    async with monitored(redis) as commands:
        for number, caller in enumerate(callers):
            await processes[number // 10].accounts.logout(caller)
        assert {(1008, "token_revoked")} == {connection.closed for connection in connections}
        for _ in range(3):
            await poll_now(processes[0])
            for each in processes:
                await each.revocation.poll_if_due()
    assert 100 == len(examined)
    assert {None} == {connection.closed for connection in others}
    assert [3] + [0] * 9 == [len(each) for each in polls]
    keys = [key async for key in redis.scan_iter(f"{PREFIX}*")]
    assert 100 == sum(caller.session_id.encode() in key for caller in callers for key in keys)
    # An entry for the session and one for its token, written once; the lease and the marker.
    assert 200 <= commands.count("SET") <= 200 + 6


async def test_a_poll_raises_unavailable_without_mongodb(no_mongo: Mongo, redis: Redis) -> None:
    """The denylist stays incomplete."""
    process = build_process(no_mongo, redis)
    with pytest.raises(Unavailable):
        await process.revocation.poll()
    assert not process.denylist.is_complete
    await process.passwords.close()


async def test_mongodb_decides_without_redis(
    mongo: Mongo, no_redis: Redis, process: AccountsProcess, caller: Identity
) -> None:
    """It accepts an active session, and refuses a revoked or unknown one."""
    without_redis = build_process(mongo, no_redis)
    await without_redis.revocation.poll()
    assert await is_accepted(without_redis, caller)
    assert not await is_accepted(without_redis, caller._replace(session_id=new_id()))
    await without_redis.accounts.logout(caller)
    assert not await is_accepted(without_redis, caller)
    await without_redis.passwords.close()


async def test_a_complete_denylist_decides_without_mongodb(
    process: AccountsProcess, caller: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without MongoDB nothing can be revoked, so the denylist stays correct."""

    async def unavailable(_: object) -> set[str]:
        raise Unavailable

    monkeypatch.setattr(process.sessions, "active", unavailable)
    assert await is_accepted(process, caller)
    await process.denylist.add({caller.session_id: 60.0})
    assert not await is_accepted(process, caller)


async def test_a_check_is_unavailable_without_both_datastores(
    no_mongo: Mongo, no_redis: Redis, caller: Identity
) -> None:
    """Unavailable rather than TokenRevoked: the client can retry."""
    process = build_process(no_mongo, no_redis)
    with pytest.raises(Unavailable):
        await process.revocation.check(caller)
    await process.passwords.close()


async def test_a_revoked_session_stays_refused_when_redis_returns_without_its_entry(
    proxied_process: AccountsProcess, redis_proxy: Proxy, redis: Redis, caller: Identity
) -> None:
    """Redis was unreachable during the revocation and kept its older data: refused before the next poll, and after."""
    assert await is_accepted(proxied_process, caller)
    redis_proxy.cut()
    await proxied_process.accounts.logout(caller)
    assert not await is_accepted(proxied_process, caller)
    await redis_proxy.restore()
    assert 0 == await redis.exists(PREFIX + caller.session_id)
    assert not await is_accepted(proxied_process, caller)
    await proxied_process.revocation.poll()
    assert proxied_process.denylist.is_complete
    assert 1 == await redis.exists(PREFIX + caller.session_id)
    assert not await is_accepted(proxied_process, caller)


async def test_another_process_adds_the_entry_that_one_could_not_add(
    proxied_process: AccountsProcess, other_process: AccountsProcess, redis_proxy: Proxy, caller: Identity
) -> None:
    """Only one process lost Redis, and it never reconnects."""
    redis_proxy.cut()
    await proxied_process.accounts.logout(caller)
    await other_process.revocation.poll()
    assert other_process.denylist.is_complete
    assert not await is_accepted(other_process, caller)


async def test_a_revoked_session_stays_refused_when_redis_lost_its_data(
    process: AccountsProcess, other_process: AccountsProcess, redis: Redis, caller: Identity
) -> None:
    """Refused before the next poll, and after."""
    await process.accounts.logout(caller)
    await redis.flushall()
    assert not await is_accepted(other_process, caller)
    await other_process.revocation.poll()
    assert other_process.denylist.is_complete
    assert not await is_accepted(other_process, caller)
    # The first process did not notice the loss, and need not: entry and marker have been restored.
    assert process.denylist.is_complete
    assert not await is_accepted(process, caller)


async def test_completing_covers_the_lifetime_of_an_access_token(mongo: Mongo, redis: Redis, caller: Identity) -> None:
    """Both in a new process and in one that finds that Redis has lost its data."""
    revoked_at = now() - timedelta(seconds=ENTRY_TTL - 60)
    await mongo.database["sessions"].update_one({}, {"$set": {"revoked_at": revoked_at}})
    await redis.flushall()
    new_process = build_process(mongo, redis)
    await new_process.revocation.poll()
    assert 0 < await redis.ttl(PREFIX + caller.session_id) <= 60
    await redis.flushall()
    await new_process.revocation.poll()
    assert 0 < await redis.ttl(PREFIX + caller.session_id) <= 60
    await new_process.passwords.close()


async def test_a_new_process_adds_the_entry_that_a_killed_one_could_not_add(
    proxied_process: AccountsProcess, redis_proxy: Proxy, mongo: Mongo, redis: Redis, caller: Identity
) -> None:
    redis_proxy.cut()
    await proxied_process.accounts.logout(caller)
    await redis.flushall()
    new_process = build_process(mongo, redis)
    assert not await is_accepted(new_process, caller)
    await new_process.revocation.poll()
    assert new_process.denylist.is_complete
    assert 1 == await redis.exists(PREFIX + caller.session_id)
    await new_process.passwords.close()


async def test_the_ttl_of_a_late_entry_counts_from_the_revocation(
    proxied_process: AccountsProcess, redis_proxy: Proxy, redis: Redis, caller: Identity
) -> None:
    redis_proxy.cut()
    await proxied_process.accounts.logout(caller)
    await asyncio.sleep(0.05)
    await redis_proxy.restore()
    await proxied_process.revocation.poll()
    assert ENTRY_TTL * 1000 - 5000 < await redis.pttl(PREFIX + caller.session_id) <= ENTRY_TTL * 1000 - 50


async def test_a_hanging_redis_is_not_asked_again(
    process: AccountsProcess, caller: Identity, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first check waits for the timeout; the next ones go to MongoDB directly."""
    await redis.client_pause(1500)
    try:
        assert await is_accepted(process, caller)
        assert not process.denylist.is_complete
        monkeypatch.setattr(redis, "mget", lambda _: pytest.fail("Redis was asked again"))
        assert await is_accepted(process, caller)
    finally:
        await redis.client_unpause()


async def test_a_new_session_of_the_same_user_is_accepted(process: AccountsProcess, caller: Identity) -> None:
    await process.accounts.logout(caller)
    again = await process.accounts.login(LOGIN, "")
    await process.revocation.poll()
    assert await process.verifier.verify_scoped_token(again.access_token, ACCESS)
