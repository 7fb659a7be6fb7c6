"""Registering, signing in, staying signed in, and ending it."""

import asyncio
import contextlib
from typing import Any

import pytest
from redis.asyncio import Redis

from service.accounts import service as accounts
from service.accounts.models import Login, PasswordChange, Register, SignedIn
from service.accounts.passwords import Passwords
from service.accounts.tokens import ACCESS, REFRESH, Tokens
from service.common.errors import (
    BadCredentials,
    LoaError,
    NotFound,
    TokenExpired,
    TokenInvalid,
    TokenRevoked,
    Unavailable,
    UsernameTaken,
)
from service.common.identity import Identity
from service.common.ids import new_id
from service.datastores.mongo import Mongo
from tests.accounts.accounts_process import ACCESS_TTL, SECRET, AccountsProcess, build_process
from tests.accounts.conftest import PASSWORD

LOGIN = Login(username="An.Nguyen", password=PASSWORD)
NEW = "battery staple"


async def who(here: AccountsProcess, signed_in: SignedIn) -> Identity:
    return await here.verifier.verify_scoped_token(signed_in.access_token, ACCESS)


async def refusal(call: Any) -> tuple[type[LoaError], str]:
    with pytest.raises(LoaError) as caught:
        await call
    return type(caught.value), caught.value.detail


async def test_who_registers_is_signed_in(here: AccountsProcess, an: SignedIn) -> None:
    """With a pair of tokens, and the username for a display name."""
    assert ("an.nguyen", "an.nguyen", None) == (an.user.username, an.user.display_name, an.user.avatar)
    assert ("bearer", ACCESS_TTL) == (an.token_type, an.expires_in)
    assert an.user.id == (await who(here, an)).user_id


async def test_who_registers_can_have_a_display_name(here: AccountsProcess) -> None:
    """Any that can be shown."""
    binh = await here.accounts.register(Register(username="binh", password=PASSWORD, display_name=" Bình "), "")
    assert "Bình" == binh.user.display_name


async def test_a_taken_name_is_refused_and_changes_nothing(here: AccountsProcess, an: SignedIn) -> None:
    """In any case of its letters; the first one's password stays."""
    with pytest.raises(UsernameTaken):
        await here.accounts.register(Register(username="AN.NGUYEN", password=NEW), "")
    with pytest.raises(BadCredentials):
        await here.accounts.login(Login(username="an.nguyen", password=NEW), "")
    assert an.user == (await here.accounts.login(LOGIN, "")).user


async def test_of_two_who_register_a_name_at_once_one_has_it(here: AccountsProcess) -> None:
    """And only one session is begun."""
    new = Register(username="binh", password=PASSWORD)
    results = await asyncio.gather(*(here.accounts.register(new, "") for _ in range(4)), return_exceptions=True)
    assert 1 == sum(isinstance(result, SignedIn) for result in results)
    assert 3 == sum(isinstance(result, UsernameTaken) for result in results)
    assert 1 == await here.sessions._sessions.count_documents({})


async def test_each_sign_in_is_a_session_of_its_own(here: AccountsProcess, an: SignedIn) -> None:
    """So that ending one leaves the others."""
    again = await here.accounts.login(LOGIN, "")
    assert (await who(here, an)).session_id != (await who(here, again)).session_id
    await here.accounts.logout(await who(here, an))
    assert an.user.id == (await who(here, again)).user_id


async def test_a_wrong_name_and_a_wrong_password_get_the_same_answer(here: AccountsProcess, an: SignedIn) -> None:
    """Who has an account here is nobody's business; nor is it told by a name that nobody can have."""
    answers = [
        await refusal(here.accounts.login(Login(username=username, password=password), ""))
        for username, password in [("an.nguyen", NEW), ("nobody", NEW), ("nobody", PASSWORD), ("'; --", "x")]
    ]
    assert {(BadCredentials, BadCredentials.detail)} == set(answers)


async def test_a_refused_sign_in_begins_no_session(here: AccountsProcess, an: SignedIn) -> None:
    """Bad input changes nothing."""
    await refusal(here.accounts.login(Login(username="an.nguyen", password=NEW), ""))
    assert 1 == len(await here.accounts.sessions(await who(here, an)))


async def test_a_better_hash_is_made_when_somebody_signs_in(
    mongo: Mongo, redis: Redis, here: AccountsProcess, an: SignedIn
) -> None:
    """The parameters have changed; the password is the same before and after."""
    stronger = build_process(mongo, redis, passwords=Passwords(time_cost=2, memory_cost=64))
    before = await here.users.by_username("an.nguyen")
    await stronger.accounts.login(LOGIN, "")
    after = await here.users.by_username("an.nguyen")
    assert before
    assert after
    assert stronger.passwords.outdated(before.password_hash)
    assert not stronger.passwords.outdated(after.password_hash)
    await stronger.accounts.login(LOGIN, "")
    assert after == await here.users.by_username("an.nguyen")
    await stronger.passwords.close()


async def test_a_person_has_a_bounded_number_of_sessions(
    here: AccountsProcess, an: SignedIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one used least recently ends when there is one too many."""
    monkeypatch.setattr(accounts, "MAX_SESSIONS", 3)
    first = await who(here, an)
    later = []
    for _ in range(3):
        await asyncio.sleep(0.002)
        later.append(await here.accounts.login(LOGIN, ""))
    with pytest.raises(TokenRevoked):
        await here.revocation.check(first)
    assert 3 == len({(await who(here, one)).session_id for one in later})


async def test_a_refresh_gives_a_new_pair_of_the_same_session(here: AccountsProcess, an: SignedIn) -> None:
    """And the new pair can be refreshed again."""
    second = await here.accounts.refresh(an.refresh_token)
    assert (await who(here, an)).session_id == (await who(here, second)).session_id
    assert (await who(here, an)).token_id != (await who(here, second)).token_id
    assert an.user == second.user
    third = await here.accounts.refresh(second.refresh_token)
    assert 3 == len({one.refresh_token for one in (an, second, third)})


async def test_a_spent_refresh_token_ends_the_whole_session(here: AccountsProcess, an: SignedIn) -> None:
    """Whoever holds the new pair may be the thief: nothing of the session opens anything, and what is open closes."""
    second = await here.accounts.refresh(an.refresh_token)
    connection = here.connect(await who(here, second))
    with pytest.raises(TokenRevoked):
        await here.accounts.refresh(an.refresh_token)
    assert (1008, "token_revoked") == connection.closed
    for one in (an, second):
        with pytest.raises(TokenRevoked):
            await who(here, one)
        with pytest.raises(TokenRevoked):
            await here.accounts.refresh(one.refresh_token)


async def test_of_two_refreshes_at_once_one_wins_and_the_session_ends(here: AccountsProcess, an: SignedIn) -> None:
    """Two hold the token: which of them is the thief cannot be told."""
    results = await asyncio.gather(*(here.accounts.refresh(an.refresh_token) for _ in range(2)), return_exceptions=True)
    won = [result for result in results if isinstance(result, SignedIn)]
    assert 1 == len(won)
    assert 1 == sum(isinstance(result, TokenRevoked) for result in results)
    with pytest.raises(TokenRevoked):
        await who(here, won[0])
    with pytest.raises(TokenRevoked):
        await here.accounts.refresh(won[0].refresh_token)


async def test_a_spent_token_of_one_session_leaves_the_others(here: AccountsProcess, an: SignedIn) -> None:
    """One device was robbed, not all."""
    phone = await here.accounts.login(LOGIN, "")
    await here.accounts.refresh(an.refresh_token)
    await refusal(here.accounts.refresh(an.refresh_token))
    assert an.user.id == (await who(here, phone)).user_id


async def test_only_a_refresh_token_refreshes(here: AccountsProcess, an: SignedIn, caller: Identity) -> None:
    """Not an access token, not a forged one, not an old one; and the session is none the worse."""
    old = Tokens(SECRET, access_ttl=1, refresh_ttl=-1).issue(REFRESH, caller.user_id, caller.session_id)
    forged = Tokens("f" * 32, access_ttl=1, refresh_ttl=60).issue(REFRESH, caller.user_id, caller.session_id)
    for token, error in [(an.access_token, TokenInvalid), (forged.text, TokenInvalid), (old.text, TokenExpired)]:
        with pytest.raises(error):
            await here.accounts.refresh(token)
    assert await here.accounts.refresh(an.refresh_token)


async def test_after_logout_there_is_no_refresh(here: AccountsProcess, an: SignedIn, caller: Identity) -> None:
    """The refresh token went with the session."""
    await here.accounts.logout(caller)
    with pytest.raises(TokenRevoked):
        await here.accounts.refresh(an.refresh_token)


async def test_a_failed_refresh_spends_nothing(here: AccountsProcess, no_mongo: Mongo, an: SignedIn) -> None:
    """The database was away; the same token is good afterwards."""
    kept, here.sessions._sessions = here.sessions._sessions, no_mongo.database["sessions"]
    with pytest.raises(Unavailable):
        await here.accounts.refresh(an.refresh_token)
    here.sessions._sessions = kept
    assert await here.accounts.refresh(an.refresh_token)


async def test_a_changed_password_keeps_this_session_and_ends_the_others(
    here: AccountsProcess, an: SignedIn, caller: Identity
) -> None:
    """The others' connections are closed too; this one's stay."""
    phone = await here.accounts.login(LOGIN, "")
    mine, other = here.connect(caller), here.connect(await who(here, phone))
    await here.accounts.change_password(caller, PasswordChange(current_password=PASSWORD, new_password=NEW))
    assert caller == await who(here, an)
    assert mine.closed is None
    assert (1008, "token_revoked") == other.closed
    with pytest.raises(TokenRevoked):
        await who(here, phone)
    with pytest.raises(TokenRevoked):
        await here.accounts.refresh(phone.refresh_token)
    assert await here.accounts.refresh(an.refresh_token)


async def test_after_the_change_only_the_new_password_opens(here: AccountsProcess, caller: Identity) -> None:
    """The old one is as good as any wrong one."""
    await here.accounts.change_password(caller, PasswordChange(current_password=PASSWORD, new_password=NEW))
    with pytest.raises(BadCredentials):
        await here.accounts.login(LOGIN, "")
    assert await here.accounts.login(Login(username="an.nguyen", password=NEW), "")


async def test_a_wrong_current_password_changes_nothing(here: AccountsProcess, an: SignedIn, caller: Identity) -> None:
    """No session ends, and the password stays."""
    phone = await here.accounts.login(LOGIN, "")
    with pytest.raises(BadCredentials):
        await here.accounts.change_password(caller, PasswordChange(current_password=NEW, new_password=NEW))
    assert await who(here, phone)
    assert await here.accounts.login(LOGIN, "")


async def test_of_two_changes_at_once_one_is_made(here: AccountsProcess, an: SignedIn) -> None:
    """The other was made with a password that no longer was the current one."""
    phone = await here.accounts.login(LOGIN, "")
    callers = [await who(here, an), await who(here, phone)]
    changes = [PasswordChange(current_password=PASSWORD, new_password=f"new password {n}") for n in range(2)]
    results = await asyncio.gather(*map(here.accounts.change_password, callers, changes), return_exceptions=True)
    assert 1 == results.count(None)
    assert 1 == sum(isinstance(result, BadCredentials) for result in results)
    winner = changes[results.index(None)].new_password
    assert await here.accounts.login(Login(username="an.nguyen", password=winner), "")


async def test_a_sign_in_with_the_old_password_does_not_slip_through(here: AccountsProcess, caller: Identity) -> None:
    """It was found right just before the change, and its session would begin just after."""
    user = await here.users.by_username("an.nguyen")
    assert user
    await here.accounts.change_password(caller, PasswordChange(current_password=PASSWORD, new_password=NEW))
    with pytest.raises(BadCredentials):
        await here.accounts._begin_session(user, "a thief's browser")
    assert [caller.session_id] == [session.id for session in await here.accounts.sessions(caller)]


async def test_no_sign_in_with_the_old_password_outlives_its_change(here: AccountsProcess, caller: Identity) -> None:
    """However the two come between each other: it is refused, or its session ends."""

    async def sign_in_often() -> None:
        with contextlib.suppress(BadCredentials):
            for _ in range(20):
                await here.accounts.login(LOGIN, "")

    change = PasswordChange(current_password=PASSWORD, new_password=NEW)
    await asyncio.gather(*(sign_in_often() for _ in range(4)), here.accounts.change_password(caller, change))
    assert [caller.session_id] == [session.id for session in await here.accounts.sessions(caller)]


async def test_sessions_are_listed_with_the_current_one_marked(
    here: AccountsProcess, an: SignedIn, caller: Identity
) -> None:
    """Last used first, and nobody else's."""
    await here.accounts.register(Register(username="binh", password=PASSWORD), "another's browser")
    await asyncio.sleep(0.002)
    phone = await who(here, await here.accounts.login(LOGIN, "a phone"))
    listed = await here.accounts.sessions(caller)
    assert [(phone.session_id, "a phone", False), (caller.session_id, "a browser", True)] == [
        (session.id, session.user_agent, session.current) for session in listed
    ]
    assert {"id", "created_at", "last_used_at", "user_agent", "current"} == listed[0].model_dump().keys()


async def test_one_of_ones_own_sessions_can_be_ended(here: AccountsProcess, caller: Identity) -> None:
    """The other device is signed out, and told so."""
    phone = await who(here, await here.accounts.login(LOGIN, ""))
    connection = here.connect(phone)
    await here.accounts.end_session(caller, phone.session_id)
    assert (1008, "token_revoked") == connection.closed
    with pytest.raises(TokenRevoked):
        await here.revocation.check(phone)
    await here.revocation.check(caller)
    with pytest.raises(NotFound):
        await here.accounts.end_session(caller, phone.session_id)


async def test_anothers_session_is_not_there(here: AccountsProcess, caller: Identity) -> None:
    """Nor is one that never was; both are the same answer, and nothing ends."""
    binh = await who(here, await here.accounts.register(Register(username="binh", password=PASSWORD), ""))
    answers = {
        await refusal(here.accounts.end_session(caller, binh.session_id)),
        await refusal(here.accounts.end_session(caller, new_id())),
    }
    assert {(NotFound, NotFound.detail)} == answers
    await here.revocation.check(binh)


async def test_signing_out_is_said_after_it_is_stored(here: AccountsProcess, no_mongo: Mongo, caller: Identity) -> None:
    """With the database away nothing is revoked, nothing is closed, and the caller is told to try again."""
    connection = here.connect(caller)
    here.sessions._sessions = no_mongo.database["sessions"]
    with pytest.raises(Unavailable):
        await here.accounts.logout(caller)
    assert connection.closed is None
    await here.revocation.check(caller)


async def test_without_redis_accounts_go_on(mongo: Mongo, no_redis: Redis, here: AccountsProcess) -> None:
    """Registering, signing in, refreshing and ending work on MongoDB alone."""
    away = build_process(mongo, no_redis)
    binh = await away.accounts.register(Register(username="binh", password=PASSWORD), "")
    again = await away.accounts.login(Login(username="binh", password=PASSWORD), "")
    fresh = await away.accounts.refresh(again.refresh_token)
    await away.accounts.logout(await who(away, fresh))
    with pytest.raises(TokenRevoked):
        await who(away, again)
    assert await who(away, binh)
    await away.passwords.close()
