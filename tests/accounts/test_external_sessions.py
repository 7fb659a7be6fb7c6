"""Sessions of tokens that another site has issued."""

import time
from datetime import timedelta
from typing import Any

import pytest
from redis.asyncio import Redis

from service.accounts.service import RECENT_SIGN_IN
from service.common.errors import NotFound
from service.datastores.mongo import Mongo
from service.datastores.redis import TAG
from tests.accounts.accounts_process import ACCESS_TTL, AccountsProcess, build_process
from tests.accounts.external_site import EARLIER, EARLIEST, accept_external, now, revoked, soon, verify
from tests.conftest import Datastores
from tests.recorded_commands import recording


async def test_a_sid_is_a_session(site_process: AccountsProcess) -> None:
    """Listed with its device, and without one, all tokens of a user have one in common."""
    laptop, phone = await verify(site_process, sid="laptop"), await verify(site_process, sid="phone")
    assert laptop.user_id == phone.user_id
    assert laptop.session_id != phone.session_id
    assert laptop.session_id == (await verify(site_process, sid="laptop", iat=EARLIER)).session_id
    assert phone.session_id != (await verify(site_process, "43", sid="phone")).session_id
    nameless = await verify(site_process)
    assert nameless.session_id == (await verify(site_process, iat=EARLIER)).session_id
    listed = await site_process.accounts.sessions(phone)
    assert {laptop.session_id, phone.session_id, nameless.session_id} == {session.id for session in listed}
    assert {"a browser"} == {session.user_agent for session in listed}
    assert [phone.session_id] == [session.id for session in listed if session.current]


async def test_a_session_that_was_ended_stays_ended(
    site_process: AccountsProcess, other_site_process: AccountsProcess
) -> None:
    """With tokens that the site issues later for the same `sid`, too."""
    laptop, phone = await verify(site_process, sid="laptop", iat=EARLIER), await verify(site_process, sid="phone")
    await verify(other_site_process, sid="laptop", iat=EARLIER)
    connection = site_process.connect(laptop)
    await site_process.accounts.end_session(phone, laptop.session_id)
    assert (1008, "token_revoked") == connection.closed
    for each in (site_process, other_site_process):
        await revoked(each, sid="laptop", iat=EARLIER)
        await revoked(each, sid="laptop", iat=soon(), exp=now() + 7200)
        assert phone.session_id == (await verify(each, sid="phone")).session_id
    with pytest.raises(NotFound):
        await site_process.accounts.end_session(await verify(site_process, "43"), phone.session_id)


async def test_a_session_ends_others_without_a_password(site_process: AccountsProcess) -> None:
    """Also long after the sign-in: the user has no password here."""
    laptop, phone = await verify(site_process, sid="laptop", iat=EARLIER), await verify(site_process, sid="phone")
    with site_process.clock.shifted(2 * RECENT_SIGN_IN):
        await site_process.accounts.end_session(phone, laptop.session_id)
    await revoked(site_process, sid="laptop", iat=EARLIER)


async def test_after_signing_out_without_sid_the_next_token_signs_in(
    site_process: AccountsProcess, other_site_process: AccountsProcess
) -> None:
    """Those from before are revoked, also those that Loa has not seen."""
    caller = await verify(site_process, iat=EARLIER)
    named = await verify(site_process, sid="laptop", iat=EARLIER)
    await site_process.accounts.logout(caller)
    for each in (site_process, other_site_process):
        await revoked(each, iat=EARLIER)
        await revoked(each, iat=EARLIEST)
    again = await verify(other_site_process, iat=soon())
    assert (caller.user_id, True) == (again.user_id, caller.session_id != again.session_id)
    assert again.session_id == (await verify(site_process, iat=soon())).session_id
    for each in (site_process, other_site_process):
        await revoked(each, iat=EARLIER)
        assert named.session_id == (await verify(each, sid="laptop", iat=EARLIER)).session_id


async def test_everything_issued_so_far_is_revoked_at_once(
    site_process: AccountsProcess, other_site_process: AccountsProcess
) -> None:
    """Of one user, with and without `sid`, seen or not, on every site_process, and so are connections."""
    callers = [await verify(site_process, iat=EARLIER), await verify(site_process, sid="laptop", iat=EARLIER)]
    await verify(other_site_process, sid="laptop", iat=EARLIER)
    stranger = await verify(site_process, "43", iat=EARLIER)
    connections = [site_process.connect(caller) for caller in callers]
    own = site_process.connect(stranger)
    just_now = now()
    await site_process.external_users.revoke_all("42")
    assert [(1008, "token_revoked")] * 2 == [connection.closed for connection in connections]
    assert own.closed is None
    for each in (site_process, other_site_process):
        for claims in ({}, {"sid": "laptop"}, {"sid": "never seen"}, {"name": "New"}):
            await revoked(each, iat=EARLIER, **claims)
            await revoked(each, iat=just_now, **claims)
        await revoked(each, iat=None)
        assert await verify(each, "43", iat=EARLIER)
        later = await verify(each, sid="laptop", iat=soon())
        assert (callers[1].user_id, True) == (later.user_id, later.session_id != callers[1].session_id)
        await revoked(each, sid="laptop", iat=EARLIER)
    await site_process.external_users.revoke_all("42")
    await revoked(other_site_process, sid="laptop", iat=EARLIER)
    with pytest.raises(NotFound):
        await site_process.external_users.revoke_all("44")


async def test_a_revocation_while_a_session_begins_ends_it(
    site_process: AccountsProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It found no session to revoke yet."""
    await verify(site_process, sid="phone", iat=EARLIER)
    add = site_process.sessions.add_external

    async def add_late(*arguments: Any) -> None:
        monkeypatch.setattr(site_process.sessions, "add_external", add)
        await site_process.external_users.revoke_all("42")
        await add(*arguments)

    monkeypatch.setattr(site_process.sessions, "add_external", add_late)
    await revoked(site_process, sid="laptop", iat=EARLIER)
    await revoked(site_process, sid="laptop", iat=EARLIER)


async def test_a_revoked_session_outlives_its_denylist_entry(
    site_process: AccountsProcess, other_site_process: AccountsProcess, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token from outside may be valid for days, and the entry is not."""
    day = {"sid": "laptop", "iat": EARLIER, "exp": now() + 86400}
    caller = await verify(site_process, **day)
    await verify(other_site_process, **day)
    await site_process.accounts.logout(caller)
    await redis.delete(f"{TAG}:revoked:{caller.session_id}", f"{TAG}:revoked:{caller.token_id}")
    assert [False] == await site_process.denylist.contains([caller.session_id])
    later = time.monotonic() + ACCESS_TTL
    monkeypatch.setattr(time, "monotonic", lambda: later)
    for each in (site_process, other_site_process):
        await revoked(each, **day)


async def test_a_revoked_session_is_kept_longer_than_its_tokens(site_process: AccountsProcess, mongo: Mongo) -> None:
    """The site may go on issuing some for it."""
    caller = await verify(site_process, sid="laptop")
    await site_process.accounts.logout(caller)
    with site_process.clock.shifted(timedelta(days=100)):
        await site_process.sessions.delete_expired()
    assert 1 == await mongo.database["sessions"].count_documents({})
    phone, tablet = await verify(site_process, sid="phone"), await verify(site_process, sid="tablet")
    await site_process.sessions.revoke_others(phone.user_id, keep=phone.session_id)
    with site_process.clock.shifted(timedelta(days=100)):
        await site_process.sessions.delete_expired()
    kept = {str(document["_id"]) for document in await mongo.database["sessions"].find({}).to_list(None)}
    assert {caller.session_id, tablet.session_id} == kept


async def test_a_session_lasts_as_long_as_its_tokens(site_process: AccountsProcess, redis: Redis) -> None:
    """Also where Redis cannot say whether it is revoked."""
    caller = await verify(site_process, sid="laptop", exp=now() + 60)
    with site_process.clock.shifted(timedelta(seconds=50)):
        await verify(site_process, sid="laptop", iat=now() + 50, exp=now() + 7200)
    await redis.flushdb()
    with site_process.clock.shifted(timedelta(seconds=3600)):
        assert [caller.session_id] == [session.id for session in await site_process.accounts.sessions(caller)]
        assert caller.session_id == (await verify(site_process, sid="laptop", exp=now() + 7200)).session_id
    with site_process.clock.shifted(timedelta(seconds=7201)):
        assert [] == await site_process.accounts.sessions(caller)
        assert 1 == await site_process.sessions.delete_expired()


async def test_without_redis_the_database_says_what_is_revoked(site_process: AccountsProcess, redis: Redis) -> None:
    laptop, phone = await verify(site_process, sid="laptop", iat=EARLIER), await verify(site_process, sid="phone")
    await site_process.accounts.logout(laptop)
    await redis.flushdb()
    await revoked(site_process, sid="laptop", iat=EARLIER)
    assert phone.session_id == (await verify(site_process, sid="phone")).session_id


async def test_a_known_token_costs_no_read_of_the_database(
    datastores: Datastores, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of a session that this process does not know costs three, and one that it has not read for long costs one."""
    async with recording(datastores) as (mongo, commands):
        process, other = build_process(mongo, redis), build_process(mongo, redis)
        for each in (process, other):
            accept_external(each)
            await each.revocation.poll()
        # Always the same: one that expires later extends the session, which is a write.
        claims = {"sid": "laptop", "name": "Ánh", "iat": EARLIER, "exp": now() + 300}
        undated = {**claims, "iat": None}
        await verify(process, **claims)
        await verify(process, "43", **undated)
        commands.recorded.clear()
        for _ in range(3):
            await verify(process, "43", **undated)
            await verify(process, **claims)
        assert [] == commands.recorded
        await verify(other, **claims)
        assert ["find external_ids", "find users", "find sessions"] == commands.recorded
        commands.recorded.clear()
        later = time.monotonic() + ACCESS_TTL
        monkeypatch.setattr(time, "monotonic", lambda: later)
        await verify(process, **claims)
        await verify(process, **claims)
        assert ["find sessions"] == commands.recorded
        for each in (process, other):
            await each.passwords.close()
