"""Users who come with tokens of another site."""

import asyncio

import pytest
from redis.asyncio import Redis

from service.accounts.models import PasswordChange
from service.accounts.tokens import REFRESH
from service.accounts.user_remover import UserRemover
from service.common.errors import BadCredentials, TokenInvalid
from service.common.identity import ACCESS
from service.datastores.mongo import Mongo
from service.datastores.redis import TAG
from tests.accounts.accounts_process import AccountsProcess
from tests.accounts.external_site import EARLIER, EARLIEST, now, revoked, soon, verify
from tests.identity_provider import token


async def test_a_user_is_created_at_first_sight(site_process: AccountsProcess) -> None:
    claims = {"name": "Ánh", "preferred_username": "anh", "picture": "https://example.org/a.png"}
    expires_at = now() + 200
    text = token(**claims, roles=["moderator"], exp=expires_at)
    caller = await site_process.verifier.verify_scoped_token(text, ACCESS)
    profile = await site_process.profiles.profile(caller.user_id)
    assert ("anh", "Ánh", "https://example.org/a.png") == (profile.username, profile.display_name, profile.avatar)
    assert (expires_at, ("moderator",)) == (caller.expires_at, caller.roles)
    assert caller == await site_process.verifier.verify_scoped_token(text, ACCESS)
    assert caller.user_id == (await verify(site_process, name="Ánh")).user_id
    assert caller.user_id != (await verify(site_process, "43", **claims)).user_id


async def test_concurrent_first_tokens_create_one_user(
    site_process: AccountsProcess, other_site_process: AccountsProcess, mongo: Mongo
) -> None:
    callers = await asyncio.gather(
        *(verify(each, sid="laptop", name="Ánh") for each in (site_process, other_site_process) * 10)
    )
    assert 1 == len({(caller.user_id, caller.session_id) for caller in callers})
    assert 1 == await mongo.database["users"].count_documents({})
    assert 1 == await mongo.database["sessions"].count_documents({})


async def test_only_claims_that_change_change_the_profile(site_process: AccountsProcess) -> None:
    """What the user has changed here stays until the site says something else. Absent claims change nothing."""
    caller = await verify(site_process, name="An", preferred_username="ann", iat=EARLIEST)
    await site_process.profiles.set_fields(caller.user_id, {"display_name": "My own name"})
    announced = len(site_process.changed_profiles)
    for claims in ({"name": "An", "preferred_username": "ann"}, {}, {"preferred_username": "ann"}):
        await verify(site_process, **claims, iat=EARLIER)
    assert "My own name" == (await site_process.profiles.profile(caller.user_id)).display_name
    assert announced == len(site_process.changed_profiles)
    await verify(site_process, name="Ánh", preferred_username="anh", iat=now())
    profile = await site_process.profiles.profile(caller.user_id)
    assert ("Ánh", "anh") == (profile.display_name, profile.username)
    assert profile == site_process.changed_profiles[-1]


async def test_an_older_token_does_not_take_a_change_back(
    site_process: AccountsProcess, other_site_process: AccountsProcess
) -> None:
    """Several tokens are in use at the same time, on any site_process."""
    caller = await verify(site_process, name="Old", iat=EARLIEST)
    await verify(other_site_process, name="Old", iat=EARLIEST)
    await verify(site_process, name="New", iat=EARLIER)
    for each in (site_process, other_site_process):
        await verify(each, name="Old", iat=EARLIEST)
        assert "New" == (await site_process.profiles.profile(caller.user_id)).display_name


async def test_a_deleted_user_is_a_new_one_with_the_next_token(site_process: AccountsProcess) -> None:
    """Tokens from before the deletion are revoked, on this process and on another."""
    caller = await verify(site_process, preferred_username="ann", iat=EARLIER)
    assert await site_process.users.begin_deletion("ann")
    await site_process.external_ids.unbind("42", caller.user_id)
    await site_process.revocation.announce(
        caller.user_id, await site_process.sessions.revoke_others(caller.user_id, keep="")
    )
    await revoked(site_process, preferred_username="ann", iat=EARLIER)
    await revoked(site_process, sid="another", iat=EARLIER)
    again = await verify(site_process, preferred_username="ann", iat=soon())
    assert caller.user_id != again.user_id
    await revoked(site_process, preferred_username="ann", iat=EARLIER)
    assert again.user_id == (await verify(site_process, preferred_username="ann", iat=soon())).user_id


async def test_tokens_begin_no_session_of_a_user_who_is_being_deleted(
    site_process: AccountsProcess, other_site_process: AccountsProcess
) -> None:
    """Neither those that have been used, nor those that have not, on any process."""
    caller = await verify(site_process, sid="laptop", iat=EARLIER)
    await verify(other_site_process, sid="laptop", iat=EARLIER)
    remover = UserRemover(site_process.users, site_process.external_ids, site_process.sessions, site_process.revocation)
    await remover.remove(await site_process.external_users.find("42"))
    for each in (site_process, other_site_process):
        for claims in ({"sid": "laptop"}, {"sid": "phone"}, {}):
            await revoked(each, iat=EARLIER, **claims)
    again = await verify(site_process, sid="laptop", iat=soon())
    assert caller.user_id != again.user_id
    assert [again.session_id] == [session.id for session in await site_process.accounts.sessions(again)]


async def test_a_token_of_the_site_refreshes_nothing(site_process: AccountsProcess) -> None:
    with pytest.raises(TokenInvalid):
        await site_process.verifier.verify_scoped_token(token(scope=REFRESH), REFRESH)
    with pytest.raises(TokenInvalid):
        await site_process.accounts.refresh(token())


async def test_a_ticket_has_the_roles_of_its_token(site_process: AccountsProcess) -> None:
    caller = await verify(site_process, roles=["moderator", "editor"])
    assert caller == await site_process.verifier.redeem_ticket(await site_process.tickets.issue(caller))


async def test_a_ticket_of_an_earlier_version_is_redeemed(site_process: AccountsProcess, redis: Redis) -> None:
    """During a deployment."""
    caller = await verify(site_process)
    ticket = "a" * 43
    await redis.set(f"{TAG}:ticket:{ticket}", f'["{caller.user_id}","{caller.session_id}","id",{now() + 60}]')
    assert caller.user_id == (await site_process.verifier.redeem_ticket(ticket)).user_id


async def test_a_user_of_the_site_has_no_password_to_change(site_process: AccountsProcess) -> None:
    caller = await verify(site_process)
    change = PasswordChange.model_construct(current_password="", new_password="a new password, quite long")
    with pytest.raises(BadCredentials):
        await site_process.accounts.change_password(caller, change)


async def test_signing_out_revokes_no_token_of_others(site_process: AccountsProcess) -> None:
    await site_process.accounts.logout(await verify(site_process, iat=EARLIER))
    assert await verify(site_process, "43", iat=EARLIER)
