"""Tickets: single-use credentials for a socket or stream."""

import asyncio
import time

import pytest
from redis.asyncio import Redis

from service.accounts.tickets import TTL, Tickets
from service.common.errors import TokenExpired, TokenInvalid, Unavailable
from service.common.identity import Identity
from service.common.ids import new_id
from service.datastores.redis import TAG

PREFIX = f"{TAG}:ticket:"

BEARER = Identity(new_id(), new_id(), "a" * 22, 4_000_000_000.0)


async def test_a_ticket_is_redeemed_once(redis: Redis) -> None:
    tickets = Tickets(redis)
    ticket = await tickets.issue(BEARER)
    assert BEARER == await tickets.redeem(ticket)
    with pytest.raises(TokenInvalid):
        await tickets.redeem(ticket)


async def test_concurrent_redemptions_succeed_once(redis: Redis) -> None:
    """Reading and deleting the ticket are one atomic step."""
    tickets = Tickets(redis)
    ticket = await tickets.issue(BEARER)
    results = await asyncio.gather(*(tickets.redeem(ticket) for _ in range(8)), return_exceptions=True)
    assert 1 == results.count(BEARER)
    assert 7 == sum(isinstance(result, TokenInvalid) for result in results)


async def test_a_ticket_expires_after_30_seconds(redis: Redis) -> None:
    ticket = await Tickets(redis).issue(BEARER)
    assert 30 == TTL
    assert 0 < await redis.ttl(PREFIX + ticket) <= TTL


async def test_tickets_are_unique(redis: Redis) -> None:
    """Each has 256 random bits."""
    tickets = Tickets(redis)
    issued = {await tickets.issue(BEARER) for _ in range(20)}
    assert 20 == len(issued)
    assert {43} == {len(ticket) for ticket in issued}


@pytest.mark.parametrize("ticket", ["", "x", "a" * 43, "a" * 44, "*" * 43, "a" * 42 + "\n", "\ud800" * 43, "a" * 10**6])
async def test_an_unknown_or_malformed_ticket_is_invalid(redis: Redis, ticket: str) -> None:
    with pytest.raises(TokenInvalid):
        await Tickets(redis).redeem(ticket)


async def test_a_ticket_of_an_expired_token_is_expired(redis: Redis) -> None:
    tickets = Tickets(redis)
    ticket = await tickets.issue(BEARER._replace(expires_at=time.time() - 1))
    with pytest.raises(TokenExpired):
        await tickets.redeem(ticket)


async def test_tickets_are_unavailable_without_redis(no_redis: Redis) -> None:
    tickets = Tickets(no_redis)
    with pytest.raises(Unavailable):
        await tickets.issue(BEARER)
    with pytest.raises(Unavailable):
        await tickets.redeem("a" * 43)
