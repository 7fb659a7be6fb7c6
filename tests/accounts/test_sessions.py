"""The store of sessions: the last word on who is signed in."""

import asyncio
from datetime import datetime, timedelta

import pytest

from service.accounts import sessions
from service.common.ids import new_id
from service.common.times import now
from tests.accounts.accounts_process import AccountsProcess

AN, BINH = new_id(), new_id()


async def add(here: AccountsProcess, user_id: str = AN, refresh: str = "first", *, ends: datetime | None = None) -> str:
    session_id = new_id()
    await here.sessions.add(session_id, user_id, refresh, ends or now() + timedelta(days=1), "a browser")
    return session_id


async def live(here: AccountsProcess, user_id: str = AN) -> set[str]:
    return {session.id for session in await here.sessions.of_user(user_id, 100)}


async def test_a_session_lives_until_it_is_revoked(here: AccountsProcess) -> None:
    """It ends once: the second time there is nothing to end."""
    one = await add(here)
    assert {one} == await here.sessions.active([one])
    assert await here.sessions.revoke(one, AN)
    assert set() == await here.sessions.active([one])
    assert not await here.sessions.revoke(one, AN)
    assert set() == await live(here)


async def test_a_session_ends_by_itself(here: AccountsProcess) -> None:
    """Before the database gets round to deleting it."""
    one = await add(here, ends=now() - timedelta(seconds=1))
    assert set() == await here.sessions.active([one])
    assert set() == await live(here)
    assert not await here.sessions.rotate(one, AN, "first", "second", now() + timedelta(days=1))


async def test_a_session_that_never_was_is_not_alive(here: AccountsProcess) -> None:
    """Nor is one that the database has deleted; those that are alive are told from it."""
    one = await add(here)
    assert {one} == await here.sessions.active([new_id(), one, one])


async def test_nobody_ends_the_session_of_another(here: AccountsProcess) -> None:
    """The write itself looks whose it is."""
    one = await add(here)
    assert not await here.sessions.revoke(one, BINH)
    assert {one} == await here.sessions.active([one])


async def test_a_refresh_token_is_rotated_once(here: AccountsProcess) -> None:
    """Of many who show the same one at once, one is told True."""
    one = await add(here)
    end = now() + timedelta(days=2)
    results = await asyncio.gather(*(here.sessions.rotate(one, AN, "first", f"then {n}", end) for n in range(8)))
    assert 1 == sum(results)
    assert await here.sessions.rotate(one, AN, f"then {results.index(True)}", "last", end)


async def test_a_rotation_is_refused_to_others_and_after_the_end(here: AccountsProcess) -> None:
    """Neither with another's id, nor with an unknown token, nor once it is revoked."""
    one, end = await add(here), now() + timedelta(days=2)
    assert not await here.sessions.rotate(one, BINH, "first", "second", end)
    assert not await here.sessions.rotate(one, AN, "unknown", "second", end)
    assert not await here.sessions.rotate(new_id(), AN, "first", "second", end)
    await here.sessions.revoke(one, AN)
    assert not await here.sessions.rotate(one, AN, "first", "second", end)


async def test_the_database_holds_no_token_id(here: AccountsProcess) -> None:
    """Only a hash of it, before and after a rotation."""
    one = await add(here, refresh="an id in the clear")
    await here.sessions.rotate(one, AN, "an id in the clear", "another id in the clear", now() + timedelta(days=2))
    documents = await here.sessions._sessions.find({}).to_list(None)
    assert 1 == len(documents)
    assert "in the clear" not in repr(documents)


async def test_sessions_are_listed_last_used_first(here: AccountsProcess) -> None:
    """A rotation is a use."""
    first = await add(here)
    await asyncio.sleep(0.002)
    second = await add(here)
    await add(here, BINH)
    assert [second, first] == [session.id for session in await here.sessions.of_user(AN, 100)]
    await asyncio.sleep(0.002)
    await here.sessions.rotate(first, AN, "first", "second", now() + timedelta(days=2))
    assert [first, second] == [session.id for session in await here.sessions.of_user(AN, 100)]
    assert 1 == len(await here.sessions.of_user(AN, 1))


async def test_all_others_can_be_ended(here: AccountsProcess) -> None:
    """The one to keep lives on, and so do other people's."""
    keep, other, another, binhs = await add(here), await add(here), await add(here), await add(here, BINH)
    assert {other, another} == set(await here.sessions.revoke_others(AN, keep))
    assert {keep} == await live(here)
    assert {binhs} == await live(here, BINH)
    assert [] == await here.sessions.revoke_others(AN, keep)


async def test_those_used_least_recently_are_ended_first(here: AccountsProcess) -> None:
    """What is beyond the bound goes."""
    ids = []
    for _ in range(5):
        ids.append(await add(here))
        await asyncio.sleep(0.002)
    assert set(ids[:2]) == set(await here.sessions.revoke_excess(AN, 3))
    assert set(ids[2:]) == await live(here)
    assert [] == await here.sessions.revoke_excess(AN, 3)


async def test_those_that_ended_since_a_moment_are_told(here: AccountsProcess) -> None:
    """With the moment of each; those that ended before, and those that live, are not among them."""
    early, late, _ = await add(here), await add(here), await add(here)
    await here.sessions.revoke(early, AN)
    await asyncio.sleep(0.002)
    moment = now()
    await here.sessions.revoke(late, AN)
    ended = [batch async for batch in here.sessions.revoked_since(moment)]
    assert [{late}] == [set(batch) for batch in ended]
    assert moment <= ended[0][late] <= now()


async def test_many_that_ended_come_in_batches(here: AccountsProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them, and never all at once."""
    monkeypatch.setattr(sessions, "BATCH", 5)
    moment = now()
    everyone = [{"user_id": AN, "revoked_at": moment, "expires_at": moment + timedelta(days=1)} for _ in range(12)]
    await here.sessions._sessions.insert_many(everyone)
    sizes = [len(batch) async for batch in here.sessions.revoked_since(moment)]
    assert [5, 5, 2] == sizes
