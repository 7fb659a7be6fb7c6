"""Registration, sign-in, token refresh, password changes and sessions."""

import asyncio
import contextlib
from datetime import timedelta
from typing import Any

import pytest
from redis.asyncio import Redis

from service.accounts import service as service_module
from service.accounts.models import Login, PasswordChange, Register, SignedIn
from service.accounts.passwords import Passwords
from service.accounts.service import RECENT_SIGN_IN
from service.accounts.session_tokens import REUSE_WINDOW
from service.accounts.tokens import REFRESH, Tokens
from service.common.errors import (
    BadCredentials,
    Forbidden,
    LoaError,
    NotFound,
    TokenExpired,
    TokenInvalid,
    TokenRevoked,
    Unavailable,
    UsernameTaken,
)
from service.common.identity import ACCESS, Identity
from service.common.ids import new_id
from service.datastores.mongo import Mongo
from tests.accounts.accounts_process import ACCESS_TTL, SECRET, AccountsProcess, build_process
from tests.accounts.conftest import PASSWORD, USERNAME

LOGIN = Login(username="An.Nguyen", password=PASSWORD)
NEW_PASSWORD = "battery staple"
CHANGE = PasswordChange(current_password=PASSWORD, new_password=NEW_PASSWORD)


async def unavailable(*_: object) -> bool:
    raise Unavailable


async def identify(process: AccountsProcess, signed_in: SignedIn) -> Identity:
    return await process.verifier.verify_scoped_token(signed_in.access_token, ACCESS)


async def error_of(call: Any) -> tuple[type[LoaError], str]:
    with pytest.raises(LoaError) as caught:
        await call
    return type(caught.value), caught.value.detail


async def test_registering_signs_in(process: AccountsProcess, signed_in: SignedIn) -> None:
    """The response has a pair of tokens. The display name defaults to the username."""
    assert ("an.nguyen", "an.nguyen", None) == (
        signed_in.user.username,
        signed_in.user.display_name,
        signed_in.user.avatar,
    )
    assert ("bearer", ACCESS_TTL) == (signed_in.token_type, signed_in.expires_in)
    assert signed_in.user.id == (await identify(process, signed_in)).user_id


async def test_registering_sets_the_display_name(process: AccountsProcess) -> None:
    binh = await process.accounts.register(Register(username="binh", password=PASSWORD, display_name=" Bình "), "")
    assert "Bình" == binh.user.display_name


async def test_a_taken_username_is_refused_and_changes_nothing(process: AccountsProcess, signed_in: SignedIn) -> None:
    """Usernames ignore case; the first user's password stays valid."""
    with pytest.raises(UsernameTaken):
        await process.accounts.register(Register(username="AN.NGUYEN", password=NEW_PASSWORD), "")
    with pytest.raises(BadCredentials):
        await process.accounts.login(Login(username=USERNAME, password=NEW_PASSWORD), "")
    assert signed_in.user == (await process.accounts.login(LOGIN, "")).user


async def test_concurrent_registrations_of_one_username_succeed_once(process: AccountsProcess, mongo: Mongo) -> None:
    """Only one session begins."""
    new = Register(username="binh", password=PASSWORD)
    results = await asyncio.gather(*(process.accounts.register(new, "") for _ in range(4)), return_exceptions=True)
    assert 1 == sum(isinstance(result, SignedIn) for result in results)
    assert 3 == sum(isinstance(result, UsernameTaken) for result in results)
    assert 1 == await mongo.database["sessions"].count_documents({})


async def test_each_sign_in_begins_its_own_session(process: AccountsProcess, signed_in: SignedIn) -> None:
    """Revoking one leaves the others active."""
    again = await process.accounts.login(LOGIN, "")
    assert (await identify(process, signed_in)).session_id != (await identify(process, again)).session_id
    await process.accounts.logout(await identify(process, signed_in))
    assert signed_in.user.id == (await identify(process, again)).user_id


async def test_a_wrong_username_and_a_wrong_password_get_the_same_error(
    process: AccountsProcess, signed_in: SignedIn
) -> None:
    """Registered, unknown and impossible usernames get the same answer."""
    errors = [
        await error_of(process.accounts.login(Login(username=username, password=password), ""))
        for username, password in [
            (USERNAME, NEW_PASSWORD),
            ("nobody", NEW_PASSWORD),
            ("nobody", PASSWORD),
            ("'; --", "x"),
        ]
    ]
    assert {(BadCredentials, BadCredentials.detail)} == set(errors)


async def test_a_refused_sign_in_begins_no_session(process: AccountsProcess, signed_in: SignedIn) -> None:
    await error_of(process.accounts.login(Login(username=USERNAME, password=NEW_PASSWORD), ""))
    assert 1 == len(await process.accounts.sessions(await identify(process, signed_in)))


async def test_an_outdated_hash_is_replaced_at_sign_in(
    mongo: Mongo, redis: Redis, process: AccountsProcess, signed_in: SignedIn
) -> None:
    """The password stays the same."""
    stronger = build_process(mongo, redis, passwords=Passwords(time_cost=2, memory_cost=64))
    before = await process.users.by_username(USERNAME)
    await stronger.accounts.login(LOGIN, "")
    after = await process.users.by_username(USERNAME)
    assert before
    assert after
    assert stronger.passwords.outdated(before.password_hash)
    assert not stronger.passwords.outdated(after.password_hash)
    await stronger.accounts.login(LOGIN, "")
    assert after == await process.users.by_username(USERNAME)
    await stronger.passwords.close()


async def test_sessions_beyond_the_limit_are_revoked(
    process: AccountsProcess, signed_in: SignedIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The least recently used session is revoked first."""
    monkeypatch.setattr(service_module, "MAX_SESSIONS", 3)
    first = await identify(process, signed_in)
    later = []
    for _ in range(3):
        await asyncio.sleep(0.002)
        later.append(await process.accounts.login(LOGIN, ""))
    with pytest.raises(TokenRevoked):
        await process.revocation.check(first)
    assert 3 == len({(await identify(process, one)).session_id for one in later})


async def test_a_refresh_returns_a_new_pair_for_the_same_session(process: AccountsProcess, signed_in: SignedIn) -> None:
    """The new pair can be refreshed again."""
    second = await process.accounts.refresh(signed_in.refresh_token)
    assert (await identify(process, signed_in)).session_id == (await identify(process, second)).session_id
    assert (await identify(process, signed_in)).token_id != (await identify(process, second)).token_id
    assert signed_in.user == second.user
    third = await process.accounts.refresh(second.refresh_token)
    assert 3 == len({one.refresh_token for one in (signed_in, second, third)})


async def test_a_refresh_whose_answer_was_lost_can_be_repeated(process: AccountsProcess, signed_in: SignedIn) -> None:
    """For 60 seconds; every pair that was returned works."""
    second = await process.accounts.refresh(signed_in.refresh_token)
    with process.clock.shifted(REUSE_WINDOW - timedelta(seconds=1)):
        again = await process.accounts.refresh(signed_in.refresh_token)
        for one in (signed_in, second, again):
            await identify(process, one)
        third = await process.accounts.refresh(second.refresh_token)
        await process.accounts.refresh(again.refresh_token)
        await process.accounts.refresh(third.refresh_token)


@pytest.mark.parametrize("late", [True, False], ids=["after the grace", "after its successor was used"])
async def test_reusing_a_refresh_token_revokes_the_session(
    process: AccountsProcess, signed_in: SignedIn, late: bool
) -> None:
    """The holder of the new pair may be the thief: its tokens are refused and its connections are closed."""
    second = await process.accounts.refresh(signed_in.refresh_token)
    if not late:
        second = await process.accounts.refresh(second.refresh_token)
    connection = process.connect(await identify(process, second))
    with (
        process.clock.shifted(REUSE_WINDOW + timedelta(seconds=1) if late else timedelta(0)),
        pytest.raises(TokenRevoked),
    ):
        await process.accounts.refresh(signed_in.refresh_token)
    assert (1008, "token_revoked") == connection.closed
    for one in (signed_in, second):
        with pytest.raises(TokenRevoked):
            await identify(process, one)
        with pytest.raises(TokenRevoked):
            await process.accounts.refresh(one.refresh_token)


async def test_concurrent_refreshes_all_succeed(
    mongo: Mongo, redis: Redis, process: AccountsProcess, signed_in: SignedIn
) -> None:
    """On two processes; each of the pairs can be used and refreshed."""
    other = build_process(mongo, redis)
    processes = [process, other] * 4
    pairs = await asyncio.gather(*(each.accounts.refresh(signed_in.refresh_token) for each in processes))
    assert 8 == len({pair.refresh_token for pair in pairs})
    for pair in pairs:
        await identify(process, pair)
    await asyncio.gather(
        *(each.accounts.refresh(pair.refresh_token) for each, pair in zip(processes, pairs, strict=True))
    )
    await other.passwords.close()


async def test_reusing_a_refresh_token_leaves_other_sessions_active(
    process: AccountsProcess, signed_in: SignedIn
) -> None:
    phone = await process.accounts.login(LOGIN, "")
    second = await process.accounts.refresh(signed_in.refresh_token)
    await process.accounts.refresh(second.refresh_token)
    await error_of(process.accounts.refresh(signed_in.refresh_token))
    assert signed_in.user.id == (await identify(process, phone)).user_id


async def test_only_a_valid_refresh_token_refreshes(
    process: AccountsProcess, signed_in: SignedIn, caller: Identity
) -> None:
    """An access token, a forged token and an expired token are refused, and the session stays active."""
    old = Tokens(SECRET, access_ttl=1, refresh_ttl=-1).issue(REFRESH, caller.user_id, caller.session_id)
    forged = Tokens("f" * 32, access_ttl=1, refresh_ttl=60).issue(REFRESH, caller.user_id, caller.session_id)
    for token, error in [(signed_in.access_token, TokenInvalid), (forged.text, TokenInvalid), (old.text, TokenExpired)]:
        with pytest.raises(error):
            await process.accounts.refresh(token)
    assert await process.accounts.refresh(signed_in.refresh_token)


async def test_a_refresh_is_refused_after_logout(
    process: AccountsProcess, signed_in: SignedIn, caller: Identity
) -> None:
    await process.accounts.logout(caller)
    with pytest.raises(TokenRevoked):
        await process.accounts.refresh(signed_in.refresh_token)


async def test_a_failed_refresh_does_not_use_up_the_token(
    process: AccountsProcess, signed_in: SignedIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(process.sessions, "refresh", unavailable)
        with pytest.raises(Unavailable):
            await process.accounts.refresh(signed_in.refresh_token)
    assert await process.accounts.refresh(signed_in.refresh_token)


@pytest.mark.parametrize("password", [None, NEW_PASSWORD], ids=["without", "with a wrong one"])
async def test_an_old_session_ends_no_other_one_without_the_password(
    process: AccountsProcess, signed_in: SignedIn, caller: Identity, password: str | None
) -> None:
    """Also if its tokens are new; it can end itself."""
    await process.accounts.login(LOGIN, "")
    [other] = [session.id for session in await process.accounts.sessions(caller) if not session.current]
    with process.clock.shifted(RECENT_SIGN_IN + timedelta(seconds=1)):
        await process.accounts.refresh(signed_in.refresh_token)
        with pytest.raises(BadCredentials if password else Forbidden):
            await process.accounts.end_session(caller, other, password)
        assert 2 == len(await process.accounts.sessions(caller))
        await process.accounts.end_session(caller, caller.session_id)
    assert [other] == [session.id for session in await process.accounts.sessions(caller)]


@pytest.mark.parametrize(
    ("age", "password"),
    [(RECENT_SIGN_IN - timedelta(seconds=5), None), (RECENT_SIGN_IN * 2, PASSWORD)],
    ids=["after a recent sign-in", "with the password"],
)
async def test_another_session_can_be_ended(
    process: AccountsProcess, signed_in: SignedIn, caller: Identity, age: timedelta, password: str | None
) -> None:
    phone = process.connect(await identify(process, await process.accounts.login(LOGIN, "")))
    [other] = [session.id for session in await process.accounts.sessions(caller) if not session.current]
    with process.clock.shifted(age):
        await process.accounts.end_session(caller, other, password)
    assert (1008, "token_revoked") == phone.closed


async def test_a_password_change_revokes_all_other_sessions(
    process: AccountsProcess, signed_in: SignedIn, caller: Identity
) -> None:
    """Their connections are closed; those of the caller's session stay open."""
    phone = await process.accounts.login(LOGIN, "")
    mine, other = process.connect(caller), process.connect(await identify(process, phone))
    pair = await process.accounts.change_password(caller, CHANGE)
    assert caller.session_id == (await identify(process, pair)).session_id
    assert signed_in.user == pair.user
    assert mine.closed is None
    assert (1008, "token_revoked") == other.closed
    with pytest.raises(TokenRevoked):
        await identify(process, phone)
    with pytest.raises(TokenRevoked):
        await process.accounts.refresh(phone.refresh_token)
    await process.revocation.poll()
    assert mine.closed is None


async def test_a_password_change_ends_the_earlier_tokens_of_its_session(
    process: AccountsProcess, signed_in: SignedIn, caller: Identity
) -> None:
    """Whoever has stolen one of them is out. Showing it again does not end the session of its owner."""
    earlier = [signed_in, await process.accounts.refresh(signed_in.refresh_token)]
    pair = await process.accounts.change_password(caller, CHANGE)
    for one in earlier:
        with pytest.raises(TokenRevoked):
            await identify(process, one)
        with pytest.raises(TokenRevoked):
            await process.accounts.refresh(one.refresh_token)
    await identify(process, pair)
    await identify(process, await process.accounts.refresh(pair.refresh_token))


async def test_tokens_that_a_password_change_ended_are_refused_without_redis(
    mongo: Mongo, no_redis: Redis, process: AccountsProcess, signed_in: SignedIn, caller: Identity
) -> None:
    """MongoDB knows them, for a process that has no denylist and for one whose denylist has lost them."""
    without_redis = build_process(mongo, no_redis)
    pair = await without_redis.accounts.change_password(caller, CHANGE)
    for each in (without_redis, process):
        await process.revocation.poll()
        with pytest.raises(TokenRevoked):
            await identify(each, signed_in)
        await identify(each, pair)
    await without_redis.passwords.close()


async def test_only_the_new_password_is_accepted_after_a_change(process: AccountsProcess, caller: Identity) -> None:
    await process.accounts.change_password(caller, CHANGE)
    with pytest.raises(BadCredentials):
        await process.accounts.login(LOGIN, "")
    assert await process.accounts.login(Login(username=USERNAME, password=NEW_PASSWORD), "")


async def test_a_wrong_current_password_changes_nothing(
    process: AccountsProcess, signed_in: SignedIn, caller: Identity
) -> None:
    """No session is revoked, and the password stays the same."""
    phone = await process.accounts.login(LOGIN, "")
    with pytest.raises(BadCredentials):
        await process.accounts.change_password(
            caller, PasswordChange(current_password=NEW_PASSWORD, new_password=NEW_PASSWORD)
        )
    assert await identify(process, phone)
    assert await process.accounts.login(LOGIN, "")


async def test_concurrent_password_changes_succeed_once(process: AccountsProcess, signed_in: SignedIn) -> None:
    """The current password of the other is no longer right."""
    phone = await process.accounts.login(LOGIN, "")
    callers = [await identify(process, signed_in), await identify(process, phone)]
    changes = [PasswordChange(current_password=PASSWORD, new_password=f"new password {n}") for n in range(2)]
    results = await asyncio.gather(*map(process.accounts.change_password, callers, changes), return_exceptions=True)
    (winner,) = [
        change.new_password for change, result in zip(changes, results, strict=True) if isinstance(result, SignedIn)
    ]
    assert 1 == sum(isinstance(result, BadCredentials) for result in results)
    assert await process.accounts.login(Login(username=USERNAME, password=winner), "")
    (pair,) = [result for result in results if isinstance(result, SignedIn)]
    await identify(process, pair)


async def test_a_password_change_that_comes_second_does_not_end_the_session_of_the_first(
    process: AccountsProcess, caller: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first is made between the second one's verification and its revocation of the other sessions."""
    phone = await identify(process, await process.accounts.login(LOGIN, ""))
    verify, first = process.passwords.verify, []

    async def verify_then_change(password_hash: str | None, password: str, _: object) -> bool:
        matches = await verify(password_hash, password)
        monkeypatch.undo()
        first.append(await process.accounts.change_password(caller, CHANGE))
        return matches

    monkeypatch.setattr(process.passwords, "verify", verify_then_change)
    with pytest.raises(BadCredentials):
        await process.accounts.change_password(phone, CHANGE)
    assert [caller.session_id] == [session.id for session in await process.accounts.sessions(caller)]
    await identify(process, first[0])


async def test_a_sign_in_that_verified_the_old_password_is_refused_after_the_change(
    process: AccountsProcess, caller: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The password is changed between its verification and the beginning of the session."""
    verify = process.passwords.verify

    async def verify_then_change(password_hash: str | None, password: str, _: object) -> bool:
        matches = await verify(password_hash, password)
        monkeypatch.undo()
        await process.accounts.change_password(caller, CHANGE)
        return matches

    monkeypatch.setattr(process.passwords, "verify", verify_then_change)
    with pytest.raises(BadCredentials):
        await process.accounts.login(LOGIN, "a thief's browser")
    assert [caller.session_id] == [session.id for session in await process.accounts.sessions(caller)]


async def test_no_sign_in_with_the_old_password_survives_a_concurrent_change(
    process: AccountsProcess, caller: Identity
) -> None:
    """It is refused, or its session is revoked."""

    async def sign_in_often() -> None:
        with contextlib.suppress(BadCredentials):
            for _ in range(20):
                await process.accounts.login(LOGIN, "")

    change = CHANGE
    await asyncio.gather(*(sign_in_often() for _ in range(4)), process.accounts.change_password(caller, change))
    assert [caller.session_id] == [session.id for session in await process.accounts.sessions(caller)]


async def test_sessions_are_listed_with_the_current_one_marked(
    process: AccountsProcess, signed_in: SignedIn, caller: Identity
) -> None:
    """By last use, without those of other users."""
    await process.accounts.register(Register(username="binh", password=PASSWORD), "another's browser")
    await asyncio.sleep(0.002)
    phone = await identify(process, await process.accounts.login(LOGIN, "a phone"))
    listed = await process.accounts.sessions(caller)
    assert [(phone.session_id, "a phone", False), (caller.session_id, "a browser", True)] == [
        (session.id, session.user_agent, session.current) for session in listed
    ]
    assert {"id", "created_at", "last_used_at", "user_agent", "current"} == listed[0].model_dump().keys()


async def test_a_user_can_revoke_another_session_of_theirs(process: AccountsProcess, caller: Identity) -> None:
    """Its connections are closed."""
    phone = await identify(process, await process.accounts.login(LOGIN, ""))
    connection = process.connect(phone)
    await process.accounts.end_session(caller, phone.session_id)
    assert (1008, "token_revoked") == connection.closed
    with pytest.raises(TokenRevoked):
        await process.revocation.check(phone)
    await process.revocation.check(caller)
    with pytest.raises(NotFound):
        await process.accounts.end_session(caller, phone.session_id)


async def test_a_session_of_another_user_is_not_found(process: AccountsProcess, caller: Identity) -> None:
    """The error is the same as for an unknown session."""
    binh = await identify(process, await process.accounts.register(Register(username="binh", password=PASSWORD), ""))
    errors = {
        await error_of(process.accounts.end_session(caller, binh.session_id)),
        await error_of(process.accounts.end_session(caller, new_id())),
    }
    assert {(NotFound, NotFound.detail)} == errors
    await process.revocation.check(binh)


async def test_a_logout_is_announced_only_after_it_is_stored(
    process: AccountsProcess, caller: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If MongoDB is unavailable nothing is revoked and no connection is closed."""
    connection = process.connect(caller)
    monkeypatch.setattr(process.sessions, "revoke", unavailable)
    with pytest.raises(Unavailable):
        await process.accounts.logout(caller)
    assert connection.closed is None
    await process.revocation.check(caller)


async def test_accounts_work_without_redis(mongo: Mongo, no_redis: Redis, process: AccountsProcess) -> None:
    """Registering, signing in, refreshing and signing out need only MongoDB."""
    without_redis = build_process(mongo, no_redis)
    binh = await without_redis.accounts.register(Register(username="binh", password=PASSWORD), "")
    again = await without_redis.accounts.login(Login(username="binh", password=PASSWORD), "")
    fresh = await without_redis.accounts.refresh(again.refresh_token)
    await without_redis.accounts.logout(await identify(without_redis, fresh))
    with pytest.raises(TokenRevoked):
        await identify(without_redis, again)
    assert await identify(without_redis, binh)
    await without_redis.passwords.close()
