"""Verification of credentials."""

import pytest
from redis.asyncio import Redis

from service.accounts.models import SignedIn
from service.accounts.tokens import REFRESH, Tokens
from service.common.errors import TokenExpired, TokenInvalid, TokenMissing, TokenRevoked, Unavailable
from service.common.identity import ACCESS, Identity, Verifier
from service.datastores.mongo import Mongo
from service.datastores.redis import TAG
from tests.accounts.accounts_process import SECRET, AccountsProcess, build_process


async def test_an_access_token_is_verified(process: AccountsProcess, signed_in: SignedIn) -> None:
    """The identity has the user, the session, the token and its expiry."""
    claims = process.tokens.decode(signed_in.access_token, ACCESS)
    verifier: Verifier = process.verifier
    bearer = await verifier.verify_scoped_token(signed_in.access_token, ACCESS)
    assert Identity(signed_in.user.id, claims.sid, claims.jti, float(claims.exp)) == bearer


@pytest.mark.parametrize("token", [None, ""])
async def test_an_absent_token_is_missing(process: AccountsProcess, token: str | None) -> None:
    with pytest.raises(TokenMissing):
        await process.verifier.verify_scoped_token(token, ACCESS)


async def test_a_malformed_token_is_invalid(process: AccountsProcess) -> None:
    with pytest.raises(TokenInvalid):
        await process.verifier.verify_scoped_token("a.b.c", ACCESS)


async def test_a_token_of_another_scope_is_invalid(process: AccountsProcess, signed_in: SignedIn) -> None:
    with pytest.raises(TokenInvalid):
        await process.verifier.verify_scoped_token(signed_in.refresh_token, ACCESS)
    with pytest.raises(TokenInvalid):
        await process.verifier.verify_scoped_token(signed_in.access_token, REFRESH)


async def test_an_expired_token_is_expired(process: AccountsProcess, caller: Identity) -> None:
    """Even if its session is active."""
    old = Tokens(SECRET, access_ttl=-1, refresh_ttl=-1).issue(ACCESS, caller.user_id, caller.session_id)
    with pytest.raises(TokenExpired):
        await process.verifier.verify_scoped_token(old.text, ACCESS)


async def test_the_tokens_of_a_revoked_session_are_revoked(
    process: AccountsProcess, signed_in: SignedIn, caller: Identity
) -> None:
    assert caller.user_id == (await process.verifier.verify_scoped_token(signed_in.refresh_token, REFRESH)).user_id
    await process.accounts.logout(caller)
    with pytest.raises(TokenRevoked):
        await process.verifier.verify_scoped_token(signed_in.access_token, ACCESS)
    with pytest.raises(TokenRevoked):
        await process.verifier.verify_scoped_token(signed_in.refresh_token, REFRESH)


async def test_a_refresh_token_is_checked_in_mongodb(
    process: AccountsProcess, signed_in: SignedIn, caller: Identity, redis: Redis
) -> None:
    """It outlives the denylist entry of its session, so the denylist is not asked."""
    await process.accounts.logout(caller)
    await redis.delete(f"{TAG}:revoked:{caller.session_id}", f"{TAG}:revoked:{caller.token_id}")
    assert [False] == await process.denylist.contains([caller.session_id])
    with pytest.raises(TokenRevoked):
        await process.verifier.verify_scoped_token(signed_in.refresh_token, REFRESH)


async def test_a_ticket_yields_the_identity_of_its_token_once(process: AccountsProcess, caller: Identity) -> None:
    ticket = await process.tickets.issue(caller)
    assert caller == await process.verifier.redeem_ticket(ticket)
    with pytest.raises(TokenInvalid):
        await process.verifier.redeem_ticket(ticket)


async def test_a_ticket_of_a_revoked_session_is_revoked(process: AccountsProcess, caller: Identity) -> None:
    ticket = await process.tickets.issue(caller)
    await process.accounts.logout(caller)
    with pytest.raises(TokenRevoked):
        await process.verifier.redeem_ticket(ticket)


async def test_credentials_are_unavailable_without_both_datastores(
    no_mongo: Mongo, no_redis: Redis, signed_in: SignedIn, caller: Identity
) -> None:
    """A malformed token is still invalid."""
    process = build_process(no_mongo, no_redis)
    with pytest.raises(Unavailable):
        await process.verifier.verify_scoped_token(signed_in.access_token, ACCESS)
    with pytest.raises(Unavailable):
        await process.verifier.redeem_ticket("a" * 43)
    with pytest.raises(TokenInvalid):
        await process.verifier.verify_scoped_token("a.b.c", ACCESS)
    await process.passwords.close()
