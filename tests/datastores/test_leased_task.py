"""Work that one process does for all: by the holder of the lease, and by its successor once it has ended."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from redis.asyncio import Redis

from service.datastores import leased_task
from service.datastores.lease import Lease
from service.datastores.leased_task import LeasedTask
from service.datastores.redis import connect
from tests.conftest import Datastores
from tests.proxy import Proxy

KEY = "{loa}:tests:leased"


class Worker:
    """Its work runs until it is cancelled, or until `fail`."""

    def __init__(self, redis: Redis, ttl: float = leased_task.LEASE_TTL) -> None:
        self.started, self.stopped, self.fail = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.starts = 0
        self.task = LeasedTask(Lease(redis, KEY, ttl), self._work, "tests")

    async def _work(self) -> None:
        self.starts += 1
        self.started.set()
        try:
            await self.fail.wait()
            self.fail.clear()
            raise ValueError
        finally:
            self.started.clear()
            self.stopped.set()


@pytest.fixture
async def workers(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[Worker]]:
    monkeypatch.setattr(leased_task, "RENEW_INTERVAL", 0.02)
    workers = [Worker(redis) for _ in range(2)]
    for worker in workers:
        await worker.task.start()
        async with asyncio.timeout(5):
            await workers[0].started.wait()
    yield workers
    for worker in workers:
        await worker.task.close()


async def test_the_next_process_takes_over_at_once_when_the_first_one_stops(workers: list[Worker]) -> None:
    first, second = workers
    assert [1, 0] == [first.starts, second.starts]
    async with asyncio.timeout(leased_task.LEASE_TTL / 2):
        await first.task.close()
        assert first.stopped.is_set()
        await second.started.wait()


async def test_who_has_lost_the_lease_stops(redis: Redis, workers: list[Worker]) -> None:
    await redis.set(KEY, b"another process", px=60_000)
    async with asyncio.timeout(5):
        await workers[0].stopped.wait()
    assert [1, 0] == [worker.starts for worker in workers]


async def test_work_that_fails_runs_again(workers: list[Worker]) -> None:
    workers[0].fail.set()
    async with asyncio.timeout(5):
        await workers[0].stopped.wait()
        await asyncio.wait(
            [asyncio.create_task(each.started.wait()) for each in workers], return_when="FIRST_COMPLETED"
        )


async def test_a_short_outage_of_redis_does_not_stop_the_work(
    datastores: Datastores, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long one does, once the lease has expired."""
    monkeypatch.setattr(leased_task, "RENEW_INTERVAL", 0.02)
    async with Proxy(datastores.redis_url) as proxy, connect(proxy.url) as proxied:
        worker, renewals = Worker(proxied), 0
        hold = Lease.hold

        async def counted(lease: Lease, *timeout: float) -> bool:
            nonlocal renewals
            held = await hold(lease, *timeout)
            renewals += not held
            return held

        monkeypatch.setattr(Lease, "hold", counted)
        await worker.task.start()
        async with asyncio.timeout(5):
            await worker.started.wait()
        proxy.cut()
        async with asyncio.timeout(5):
            while renewals < 3:
                await asyncio.sleep(0.005)
        assert not worker.stopped.is_set()
        await proxy.restore()
        async with asyncio.timeout(5):
            while await redis.pttl(KEY) < 1000 * leased_task.LEASE_TTL - 100:
                await asyncio.sleep(0.005)
        assert not worker.stopped.is_set()
        proxy.cut()
        async with asyncio.timeout(10):
            await worker.stopped.wait()
        assert 1 == worker.starts
        await worker.task.close()


@pytest.mark.parametrize(("fail", "renew_interval"), [(Proxy.blackhole, 0.02), (Proxy.cut, 1.0)])
async def test_who_does_not_reach_redis_stops_before_another_process_takes_over(
    fail: Callable[[Proxy], None],
    renew_interval: float,
    datastores: Datastores,
    redis: Redis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whether Redis does not answer, or refuses, and whenever the renewals are due."""
    monkeypatch.setattr(leased_task, "RENEW_INTERVAL", renew_interval)
    async with Proxy(datastores.redis_url) as proxy, connect(proxy.url) as proxied:
        worker, successor = Worker(proxied, 1.5), Lease(redis, KEY, 5)
        await worker.task.start()
        async with asyncio.timeout(5):
            await worker.started.wait()
            fail(proxy)
            while not await successor.hold():
                await asyncio.sleep(0.005)
        async with asyncio.timeout(0.2):
            await worker.stopped.wait()
        await worker.task.close()
