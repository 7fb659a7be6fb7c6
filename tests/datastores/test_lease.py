"""The lease: one of several processes holds it."""

import asyncio

from redis.asyncio import Redis

from service.datastores.lease import Lease
from tests.rest import free_port

KEY = "{loa}:tests:lease"


async def test_one_process_holds_the_lease(redis: Redis) -> None:
    """It can renew it, and nobody else gets it meanwhile."""
    one, *others = (Lease(redis, KEY, 5) for _ in range(4))
    assert await one.hold()
    assert [False] * 3 == [await other.hold() for other in others]
    await redis.pexpire(KEY, 1000)
    assert await one.hold()
    assert 4000 < await redis.pttl(KEY) <= 5000


async def test_one_of_many_that_ask_at_once_gets_the_lease(redis: Redis) -> None:
    assert 1 == sum(await asyncio.gather(*(Lease(redis, KEY, 5).hold() for _ in range(20))))


async def test_another_process_takes_an_expired_lease_over(redis: Redis) -> None:
    """The first one notices when it renews it."""
    first, second = Lease(redis, KEY, 0.01), Lease(redis, KEY, 5)
    assert await first.hold()
    async with asyncio.timeout(5):
        while not await second.hold():
            await asyncio.sleep(0.005)
    assert not await first.hold()


async def test_nobody_holds_the_lease_without_redis() -> None:
    async with Redis(port=free_port()) as redis:
        assert not await Lease(redis, KEY, 5).hold()


async def test_a_released_lease_is_free(redis: Redis) -> None:
    """Only the holder can release it."""
    first, second = Lease(redis, KEY, 5), Lease(redis, KEY, 5)
    assert await first.hold()
    await second.release()
    assert not await second.hold()
    await first.release()
    assert await second.hold()
