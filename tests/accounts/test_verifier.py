"""The one place where a credential becomes an identity."""

import pytest
from redis.asyncio import Redis

from service.accounts.models import SignedIn
from service.accounts.tokens import ACCESS, REFRESH, Tokens
from service.common.errors import TokenExpired, TokenInvalid, TokenMissing, TokenRevoked, Unavailable
from service.common.identity import Identity, Verifier
from service.datastores.mongo import Mongo
from service.datastores.redis import TAG
from tests.accounts.accounts_process import SECRET, AccountsProcess, build_process


async def test_an_access_token_becomes_its_bearer(here: AccountsProcess, an: SignedIn) -> None:
    """The person, the session, the token, and until when."""
    claims = here.tokens.decode(an.access_token, ACCESS)
    verifier: Verifier = here.verifier
    bearer = await verifier.verify_scoped_token(an.access_token, ACCESS)
    assert Identity(an.user.id, claims.sid, claims.jti, float(claims.exp)) == bearer


@pytest.mark.parametrize("token", [None, ""])
async def test_no_token_is_missing(here: AccountsProcess, token: str | None) -> None:
    """Rather than invalid."""
    with pytest.raises(TokenMissing):
        await here.verifier.verify_scoped_token(token, ACCESS)


async def test_a_bad_token_is_invalid(here: AccountsProcess) -> None:
    """It is not even asked about."""
    with pytest.raises(TokenInvalid):
        await here.verifier.verify_scoped_token("a.b.c", ACCESS)


async def test_a_token_of_another_scope_is_invalid(here: AccountsProcess, an: SignedIn) -> None:
    """Each opens its own only."""
    with pytest.raises(TokenInvalid):
        await here.verifier.verify_scoped_token(an.refresh_token, ACCESS)
    with pytest.raises(TokenInvalid):
        await here.verifier.verify_scoped_token(an.access_token, REFRESH)


async def test_an_expired_token_is_expired(here: AccountsProcess, caller: Identity) -> None:
    """Though its session lives."""
    old = Tokens(SECRET, access_ttl=-1, refresh_ttl=-1).issue(ACCESS, caller.user_id, caller.session_id)
    with pytest.raises(TokenExpired):
        await here.verifier.verify_scoped_token(old.text, ACCESS)


async def test_a_token_of_an_ended_session_is_revoked(here: AccountsProcess, an: SignedIn, caller: Identity) -> None:
    """The access token and the refresh token."""
    assert caller.user_id == (await here.verifier.verify_scoped_token(an.refresh_token, REFRESH)).user_id
    await here.accounts.logout(caller)
    with pytest.raises(TokenRevoked):
        await here.verifier.verify_scoped_token(an.access_token, ACCESS)
    with pytest.raises(TokenRevoked):
        await here.verifier.verify_scoped_token(an.refresh_token, REFRESH)


async def test_a_refresh_token_outlives_the_denylist_but_not_its_session(
    here: AccountsProcess, an: SignedIn, caller: Identity, redis: Redis
) -> None:
    """The denylist has forgotten the session, and says that nothing is missing; MongoDB remembers."""
    await here.accounts.logout(caller)
    await redis.delete(f"{TAG}:revoked:{caller.session_id}", f"{TAG}:revoked:{caller.token_id}")
    assert [False] == await here.denylist.contains([caller.session_id])
    with pytest.raises(TokenRevoked):
        await here.verifier.verify_scoped_token(an.refresh_token, REFRESH)


async def test_a_ticket_becomes_the_bearer_of_its_token(here: AccountsProcess, caller: Identity) -> None:
    """Once."""
    ticket = await here.tickets.issue(caller)
    assert caller == await here.verifier.redeem_ticket(ticket)
    with pytest.raises(TokenInvalid):
        await here.verifier.redeem_ticket(ticket)


async def test_a_ticket_of_an_ended_session_is_revoked(here: AccountsProcess, caller: Identity) -> None:
    """It was had before the session ended."""
    ticket = await here.tickets.issue(caller)
    await here.accounts.logout(caller)
    with pytest.raises(TokenRevoked):
        await here.verifier.redeem_ticket(ticket)


async def test_nothing_opens_where_nobody_can_say(
    no_mongo: Mongo, no_redis: Redis, an: SignedIn, caller: Identity
) -> None:
    """Neither a token nor a ticket, however good; a bad token is still bad."""
    away = build_process(no_mongo, no_redis)
    with pytest.raises(Unavailable):
        await away.verifier.verify_scoped_token(an.access_token, ACCESS)
    with pytest.raises(Unavailable):
        await away.verifier.redeem_ticket("a" * 43)
    with pytest.raises(TokenInvalid):
        await away.verifier.verify_scoped_token("a.b.c", ACCESS)
    await away.passwords.close()
