"""The store of sessions."""

import asyncio
from datetime import datetime, timedelta

import pytest

from service.accounts import sessions
from service.accounts.session_tokens import RefreshTokenReused
from service.accounts.sessions import MAX_AGE
from service.accounts.tokens import TokenPair
from service.common.errors import TokenRevoked
from service.common.ids import new_id
from service.common.times import now
from service.datastores.mongo import Mongo
from tests.accounts.accounts_process import AccountsProcess, token_pair

AN, BINH = new_id(), new_id()


async def add(
    process: AccountsProcess, user_id: str = AN, refresh: str = "first", *, expires_at: datetime | None = None
) -> str:
    session_id = new_id()
    await process.sessions.add(session_id, user_id, token_pair(refresh, expires_at=expires_at), "a browser")
    return session_id


async def active_sessions(process: AccountsProcess, user_id: str = AN) -> set[str]:
    return {session.id for session in await process.sessions.of_user(user_id, 100)}


async def test_a_session_is_active_until_it_is_revoked(process: AccountsProcess) -> None:
    """A second revocation returns False."""
    one = await add(process)
    assert {one} == (await process.sessions.active([(AN, one)])).keys()
    assert await process.sessions.revoke(one, AN)
    assert {} == await process.sessions.active([(AN, one)])
    assert not await process.sessions.revoke(one, AN)
    assert set() == await active_sessions(process)


async def test_an_expired_session_is_not_active(process: AccountsProcess) -> None:
    """Even before the database has deleted it."""
    one = await add(process, expires_at=now() - timedelta(seconds=1))
    assert {} == await process.sessions.active([(AN, one)])
    assert set() == await active_sessions(process)
    with pytest.raises(TokenRevoked):
        await process.sessions.refresh(one, AN, "first", token_pair("second"))


async def test_a_session_is_not_refreshed_beyond_its_maximum_age(process: AccountsProcess) -> None:
    """However often it was refreshed before. It can be revoked as long as its last access token is valid."""
    one = await add(process, refresh="r0", expires_at=now() + timedelta(days=30))
    step = timedelta(days=20)
    for n in range(1, 9):
        with process.clock.shifted(n * step):
            fresh = token_pair(f"r{n}", expires_at=process.clock.now() + timedelta(days=30))
            await process.sessions.refresh(one, AN, f"r{n - 1}", fresh)
    with process.clock.shifted(MAX_AGE - timedelta(minutes=5)):
        until = process.clock.now() + timedelta(minutes=15)
        access, _ = token_pair(expires_at=until)
        _, refresh = token_pair("last", expires_at=until + timedelta(days=30))
        await process.sessions.refresh(one, AN, "r8", TokenPair(access, refresh))
    with process.clock.shifted(MAX_AGE + timedelta(minutes=1)):
        with pytest.raises(TokenRevoked):
            await process.sessions.refresh(one, AN, "last", token_pair("too late"))
        assert {one} == await active_sessions(process)
    with process.clock.shifted(MAX_AGE + timedelta(minutes=11)):
        assert set() == await active_sessions(process)
        assert {} == await process.sessions.active([(AN, one)])


async def test_an_unknown_session_is_not_active(process: AccountsProcess) -> None:
    """Nor is one of another user."""
    one = await add(process)
    assert {one} == (await process.sessions.active([(AN, new_id()), (BINH, one), (AN, one), (AN, one)])).keys()


async def test_a_session_of_another_user_is_not_revoked(process: AccountsProcess) -> None:
    one = await add(process)
    assert not await process.sessions.revoke(one, BINH)
    assert {one} == (await process.sessions.active([(AN, one)])).keys()


async def test_concurrent_refreshes_with_one_token_all_succeed(process: AccountsProcess) -> None:
    """Each new token can be used, even after another of them."""
    one = await add(process)
    pairs = [token_pair(f"then {n}") for n in range(8)]
    await asyncio.gather(*(process.sessions.refresh(one, AN, "first", pair) for pair in pairs))
    await asyncio.gather(*(process.sessions.refresh(one, AN, pair.refresh.id, token_pair("last")) for pair in pairs))


async def test_a_refresh_needs_the_user_a_known_token_and_an_active_session(process: AccountsProcess) -> None:
    one = await add(process)
    with pytest.raises(TokenRevoked):
        await process.sessions.refresh(one, BINH, "first", token_pair("second"))
    with pytest.raises(TokenRevoked):
        await process.sessions.refresh(new_id(), AN, "first", token_pair("second"))
    with pytest.raises(RefreshTokenReused):
        await process.sessions.refresh(one, AN, "unknown", token_pair("second"))
    await process.sessions.revoke(one, AN)
    with pytest.raises(TokenRevoked):
        await process.sessions.refresh(one, AN, "first", token_pair("second"))


async def test_a_session_of_an_earlier_version_is_refreshed(process: AccountsProcess, mongo: Mongo) -> None:
    """Its only field about tokens is the hash of the current refresh token."""
    one = await add(process)
    names = ("unused", "spent", "began_at", "ended", "access", "ended_access")
    await mongo.database["sessions"].update_one({}, {"$unset": dict.fromkeys(names, "")})
    assert {one: frozenset()} == await process.sessions.active([(AN, one)])
    await process.sessions.refresh(one, AN, "first", token_pair("second"))
    await process.sessions.refresh(one, AN, "first", token_pair("another"))
    await process.sessions.refresh(one, AN, "second", token_pair("third"))


async def test_ending_the_tokens_keeps_the_session_and_the_new_pair(process: AccountsProcess) -> None:
    one = await add(process)
    await process.sessions.refresh(one, AN, "first", token_pair("second", access_id="b"))
    moment = await process.sessions.database_time()
    ended = await process.sessions.end_tokens(one, AN, token_pair("new", access_id="c"))
    assert ["access", "b"] == ended
    assert {one: {"access", "b"}} == await process.sessions.active([(AN, one)])
    batches = [batch async for batch in process.sessions.tokens_ended_since(moment)]
    assert [{"access", "b"}] == [set(batch) for batch in batches]
    for old in ("first", "second"):
        with pytest.raises(TokenRevoked):
            await process.sessions.refresh(one, AN, old, token_pair("x"))
    await process.sessions.refresh(one, AN, "new", token_pair("newer"))


async def test_the_database_stores_no_refresh_token_id(process: AccountsProcess, mongo: Mongo) -> None:
    """Only hashes, before and after a refresh and a password change."""
    one = await add(process, refresh="first in the clear")
    await process.sessions.refresh(one, AN, "first in the clear", token_pair("second in the clear"))
    await process.sessions.refresh(one, AN, "first in the clear", token_pair("third in the clear"))
    await process.sessions.end_tokens(one, AN, token_pair("fourth in the clear"))
    documents = await mongo.database["sessions"].find({}).to_list(None)
    assert 1 == len(documents)
    assert "in the clear" not in repr(documents)


async def test_sessions_are_listed_by_last_use(process: AccountsProcess) -> None:
    """A refresh counts as a use."""
    first = await add(process)
    await asyncio.sleep(0.002)
    second = await add(process)
    await add(process, BINH)
    assert [second, first] == [session.id for session in await process.sessions.of_user(AN, 100)]
    await asyncio.sleep(0.002)
    await process.sessions.refresh(first, AN, "first", token_pair("second"))
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
    assert [[(late, AN)]] == [[(session.id, session.user_id) for session in batch] for batch in batches]
    assert moment <= batches[0][0].revoked_at <= now()


async def test_revoked_since_yields_batches(
    process: AccountsProcess, mongo: Mongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "BATCH_SIZE", 5)
    moment = now()
    documents = [{"user_id": AN, "revoked_at": moment, "expires_at": moment + timedelta(days=1)} for _ in range(12)]
    await mongo.database["sessions"].insert_many(documents)
    sizes = [len(batch) async for batch in process.sessions.revoked_since(moment)]
    assert [5, 5, 2] == sizes
