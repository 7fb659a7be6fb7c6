"""The time that a failed login takes does not reveal whether the user exists."""

import pytest
from redis.asyncio import Redis

from service.accounts.models import Login, Register
from service.accounts.passwords import Passwords
from service.common.errors import Unavailable
from service.datastores.mongo import Mongo
from tests.accounts.accounts_process import build_process


@pytest.mark.parametrize("name", ["somebody", "nobody"])
async def test_a_password_is_hashed_even_for_unknown_usernames(mongo: Mongo, redis: Redis, name: str) -> None:
    """When no password can be hashed, every login fails: there is no shortcut for unknown usernames."""
    open_ = build_process(mongo, redis)
    await open_.accounts.register(Register(username="somebody", password="correct horse"), "a browser")
    busy = build_process(mongo, redis, passwords=Passwords(time_cost=1, memory_cost=64, max_waiting=0))
    with pytest.raises(Unavailable):
        await busy.accounts.login(Login(username=name, password="wrong horse"), "a browser")
    for one in (open_, busy):
        await one.passwords.close()
