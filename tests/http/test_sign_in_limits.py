"""Guessing passwords is slowed down; the owner of the account is not locked out."""

from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from redis.asyncio import Redis

from config.settings import Settings
from service.common.errors import RateLimited
from service.common.ids import new_id
from service.http.limits import RateLimits
from service.http.sign_in_limits import SignInLimits

LONGEST_WAIT = 600
"""Seconds."""
HOME, ELSEWHERE, STRANGER = "192.0.2.1", "192.0.2.2", "203.0.113.1"


@pytest.fixture(params=["memory", "redis"])
async def limits(request: pytest.FixtureRequest, settings: Settings, redis: Redis) -> AsyncIterator[RateLimits]:
    limits = RateLimits(settings.redis_url if request.param == "redis" else None, True)
    yield limits
    await limits.close()


@pytest.fixture
def sign_in(limits: RateLimits) -> SignInLimits:
    return SignInLimits(limits)


async def attempts(sign_in: SignInLimits, address: str, device: str | None = None, name: str = "an") -> int:
    """How many attempts are let through at once."""
    count = 0
    with suppress(RateLimited):
        while count < 1000:
            await sign_in.check(name, address, device)
            count += 1
    with pytest.raises(RateLimited) as refused:
        await sign_in.check(name, address, device)
    assert refused.value.retry_after
    assert refused.value.retry_after <= LONGEST_WAIT
    return count


async def test_wrong_passwords_of_a_stranger_do_not_lock_the_owner_out(sign_in: SignInLimits) -> None:
    """Neither at a known address nor at a new one."""
    await sign_in.remember("an", HOME)
    assert 30 == await attempts(sign_in, STRANGER)
    assert 30 == await attempts(sign_in, HOME)
    assert 30 == await attempts(sign_in, ELSEWHERE)


async def test_a_device_with_a_token_passes_a_stranger_at_the_same_address(sign_in: SignInLimits) -> None:
    assert 30 == await attempts(sign_in, HOME)
    assert 30 == await attempts(sign_in, HOME, new_id())


async def test_attempts_on_other_accounts_from_its_address_do_not_affect_a_device(sign_in: SignInLimits) -> None:
    with suppress(RateLimited):
        for n in range(1000):
            await sign_in.check(f"binh{n}", HOME)
    with pytest.raises(RateLimited):
        await sign_in.check("an", HOME)
    assert 30 == await attempts(sign_in, HOME, new_id())


async def test_guesses_from_many_addresses_are_slowed_down(sign_in: SignInLimits) -> None:
    """Those addresses from which nobody has signed in get a few attempts each; a known one is not affected."""
    await sign_in.remember("an", HOME)
    for n in range(4):
        await attempts(sign_in, f"203.0.113.{n}")
    assert 5 == await attempts(sign_in, ELSEWHERE)
    assert 30 == await attempts(sign_in, HOME)
    assert 30 == await attempts(sign_in, ELSEWHERE, new_id())
    assert 30 == await attempts(sign_in, STRANGER, name="binh")


async def test_an_address_is_known_for_one_account_only(sign_in: SignInLimits) -> None:
    await sign_in.remember("binh", HOME)
    for n in range(4):
        await attempts(sign_in, f"203.0.113.{n}")
    assert 5 == await attempts(sign_in, HOME)


async def test_usernames_and_addresses_are_not_stored_in_plain_text(redis: Redis, settings: Settings) -> None:
    limits = RateLimits(settings.redis_url, True)
    await SignInLimits(limits).remember("an.nguyen", HOME)
    await SignInLimits(limits).check("an.nguyen", ELSEWHERE)
    keys = [key.decode() for key in await redis.keys("*")]
    await limits.close()
    assert keys
    assert not [key for key in keys if HOME in key or "an.nguyen" in key]


async def test_without_rate_limits_nothing_is_counted() -> None:
    sign_in = SignInLimits(RateLimits(None, False))
    for _ in range(200):
        await sign_in.check("an", STRANGER)
