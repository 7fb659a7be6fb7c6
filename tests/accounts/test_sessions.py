"""The store of sessions."""

import asyncio
from datetime import datetime, timedelta

import pytest

from service.accounts import sessions
from service.common.ids import new_id
from service.common.times import now
from service.datastores.mongo import Mongo
from tests.accounts.accounts_process import AccountsProcess

AN, BINH = new_id(), new_id()


async def add(
    process: AccountsProcess, user_id: str = AN, refresh: str = "first", *, expires_at: datetime | None = None
) -> str:
    session_id = new_id()
    await process.sessions.add(session_id, user_id, refresh, expires_at or now() + timedelta(days=1), "a browser")
    return session_id


async def active_sessions(process: AccountsProcess, user_id: str = AN) -> set[str]:
    return {session.id for session in await process.sessions.of_user(user_id, 100)}


async def test_a_session_is_active_until_it_is_revoked(process: AccountsProcess) -> None:
    """A second revocation returns False."""
    one = await add(process)
    assert {one} == await process.sessions.active([one])
    assert await process.sessions.revoke(one, AN)
    assert set() == await process.sessions.active([one])
    assert not await process.sessions.revoke(one, AN)
    assert set() == await active_sessions(process)


async def test_an_expired_session_is_not_active(process: AccountsProcess) -> None:
    """Even before the database has deleted it."""
    one = await add(process, expires_at=now() - timedelta(seconds=1))
    assert set() == await process.sessions.active([one])
    assert set() == await active_sessions(process)
    assert not await process.sessions.rotate(one, AN, "first", "second", now() + timedelta(days=1))


async def test_an_unknown_session_is_not_active(process: AccountsProcess) -> None:
    one = await add(process)
    assert {one} == await process.sessions.active([new_id(), one, one])


async def test_a_session_of_another_user_is_not_revoked(process: AccountsProcess) -> None:
    one = await add(process)
    assert not await process.sessions.revoke(one, BINH)
    assert {one} == await process.sessions.active([one])


async def test_concurrent_rotations_of_one_token_succeed_once(process: AccountsProcess) -> None:
    one = await add(process)
    end = now() + timedelta(days=2)
    results = await asyncio.gather(*(process.sessions.rotate(one, AN, "first", f"then {n}", end) for n in range(8)))
    assert 1 == sum(results)
    assert await process.sessions.rotate(one, AN, f"then {results.index(True)}", "last", end)


async def test_a_rotation_needs_the_user_the_current_token_and_an_active_session(process: AccountsProcess) -> None:
    one, end = await add(process), now() + timedelta(days=2)
    assert not await process.sessions.rotate(one, BINH, "first", "second", end)
    assert not await process.sessions.rotate(one, AN, "unknown", "second", end)
    assert not await process.sessions.rotate(new_id(), AN, "first", "second", end)
    await process.sessions.revoke(one, AN)
    assert not await process.sessions.rotate(one, AN, "first", "second", end)


async def test_the_database_stores_no_token_id(process: AccountsProcess, mongo: Mongo) -> None:
    """Only its hash, before and after a rotation."""
    one = await add(process, refresh="an id in the clear")
    await process.sessions.rotate(one, AN, "an id in the clear", "another id in the clear", now() + timedelta(days=2))
    documents = await mongo.database["sessions"].find({}).to_list(None)
    assert 1 == len(documents)
    assert "in the clear" not in repr(documents)


async def test_sessions_are_listed_by_last_use(process: AccountsProcess) -> None:
    """A rotation counts as a use."""
    first = await add(process)
    await asyncio.sleep(0.002)
    second = await add(process)
    await add(process, BINH)
    assert [second, first] == [session.id for session in await process.sessions.of_user(AN, 100)]
    await asyncio.sleep(0.002)
    await process.sessions.rotate(first, AN, "first", "second", now() + timedelta(days=2))
    assert [first, second] == [session.id for session in await process.sessions.of_user(AN, 100)]
    assert 1 == len(await process.sessions.of_user(AN, 1))


async def test_revoke_others_keeps_one_session_and_those_of_other_users(process: AccountsProcess) -> None:
    keep, other, another, binhs = await add(process), await add(process), await add(process), await add(process, BINH)
    assert {other, another} == set(await process.sessions.revoke_others(AN, keep))
    assert {keep} == await active_sessions(process)
    assert {binhs} == await active_sessions(process, BINH)
    assert [] == await process.sessions.revoke_others(AN, keep)


async def test_revoke_excess_revokes_the_least_recently_used_sessions(process: AccountsProcess) -> None:
    ids = []
    for _ in range(5):
        ids.append(await add(process))
        await asyncio.sleep(0.002)
    assert set(ids[:2]) == set(await process.sessions.revoke_excess(AN, 3))
    assert set(ids[2:]) == await active_sessions(process)
    assert [] == await process.sessions.revoke_excess(AN, 3)


async def test_revoked_since_yields_later_revocations_with_their_time(process: AccountsProcess) -> None:
    early, late, _ = await add(process), await add(process), await add(process)
    await process.sessions.revoke(early, AN)
    await asyncio.sleep(0.002)
    moment = now()
    await process.sessions.revoke(late, AN)
    batches = [batch async for batch in process.sessions.revoked_since(moment)]
    assert [{late}] == [set(batch) for batch in batches]
    assert moment <= batches[0][late] <= now()


async def test_revoked_since_yields_batches(
    process: AccountsProcess, mongo: Mongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "BATCH", 5)
    moment = now()
    documents = [{"user_id": AN, "revoked_at": moment, "expires_at": moment + timedelta(days=1)} for _ in range(12)]
    await mongo.database["sessions"].insert_many(documents)
    sizes = [len(batch) async for batch in process.sessions.revoked_since(moment)]
    assert [5, 5, 2] == sizes
