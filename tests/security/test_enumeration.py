"""Who exists is not told by the work that a refusal takes."""

import pytest
from redis.asyncio import Redis

from service.accounts.models import Login, Register
from service.accounts.passwords import Passwords
from service.common.errors import Unavailable
from service.datastores.mongo import Mongo
from tests.accounts.accounts_process import build_process


@pytest.mark.parametrize("name", ["somebody", "nobody"])
async def test_a_password_is_hashed_for_every_name(mongo: Mongo, redis: Redis, name: str) -> None:
    """Where no hash can be made, no name is refused without one: there is no shorter way for those that nobody has."""
    open_ = build_process(mongo, redis)
    await open_.accounts.register(Register(username="somebody", password="correct horse"), "a browser")
    busy = build_process(mongo, redis, passwords=Passwords(time_cost=1, memory_cost=64, max_waiting=0))
    with pytest.raises(Unavailable):
        await busy.accounts.login(Login(username=name, password="wrong horse"), "a browser")
    for one in (open_, busy):
        await one.passwords.close()
