"""A ticket opens one socket or stream, once."""

import asyncio
import time

import pytest
from redis.asyncio import Redis

from service.accounts.tickets import PREFIX, TTL, Tickets
from service.common.errors import TokenExpired, TokenInvalid, Unavailable
from service.common.identity import Identity
from service.common.ids import new_id

BEARER = Identity(new_id(), new_id(), "a" * 22, 4_000_000_000.0)


async def test_a_ticket_stands_for_its_bearer_once(redis: Redis) -> None:
    """The second time it is spent."""
    tickets = Tickets(redis)
    ticket = await tickets.issue(BEARER)
    assert BEARER == await tickets.redeem(ticket)
    with pytest.raises(TokenInvalid):
        await tickets.redeem(ticket)


async def test_of_many_who_redeem_it_at_once_one_is_let_in(redis: Redis) -> None:
    """Reading and spending it are one step."""
    tickets = Tickets(redis)
    ticket = await tickets.issue(BEARER)
    results = await asyncio.gather(*(tickets.redeem(ticket) for _ in range(8)), return_exceptions=True)
    assert 1 == results.count(BEARER)
    assert 7 == sum(isinstance(result, TokenInvalid) for result in results)


async def test_a_ticket_lasts_half_a_minute(redis: Redis) -> None:
    """Redis forgets it by itself."""
    ticket = await Tickets(redis).issue(BEARER)
    assert 30 == TTL
    assert 0 < await redis.ttl(PREFIX + ticket) <= TTL


async def test_no_two_tickets_are_alike(redis: Redis) -> None:
    """Nor can one be guessed: each has 256 random bits."""
    tickets = Tickets(redis)
    issued = {await tickets.issue(BEARER) for _ in range(20)}
    assert 20 == len(issued)
    assert {43} == {len(ticket) for ticket in issued}


@pytest.mark.parametrize("ticket", ["", "x", "a" * 43, "a" * 44, "*" * 43, "a" * 42 + "\n", "\ud800" * 43, "a" * 10**6])
async def test_what_is_no_ticket_is_refused(redis: Redis, ticket: str) -> None:
    """Unknown ones too, and without a fault of our own."""
    with pytest.raises(TokenInvalid):
        await Tickets(redis).redeem(ticket)


async def test_a_ticket_does_not_outlive_its_token(redis: Redis) -> None:
    """It was had for a token that has expired since."""
    tickets = Tickets(redis)
    ticket = await tickets.issue(BEARER._replace(expires_at=time.time() - 1))
    with pytest.raises(TokenExpired):
        await tickets.redeem(ticket)


async def test_without_redis_there_are_no_tickets(no_redis: Redis) -> None:
    """To be tried again: neither had nor redeemed."""
    tickets = Tickets(no_redis)
    with pytest.raises(Unavailable):
        await tickets.issue(BEARER)
    with pytest.raises(Unavailable):
        await tickets.redeem("a" * 43)
