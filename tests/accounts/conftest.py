"""Fixtures: a process with its datastores, and clients of datastores that are unavailable."""

import socket
from collections.abc import AsyncIterator, Iterator

import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from config.settings import Settings
from service.accounts.models import Register, SignedIn
from service.common.identity import ACCESS, Identity
from service.datastores.mongo import Mongo
from tests.accounts.accounts_process import AccountsProcess, build_process
from tests.accounts.external_site import accept_external
from tests.proxy import Proxy

USERNAME = "an.nguyen"
PASSWORD = "correct horse"


@pytest.fixture
async def process(mongo: Mongo, redis: Redis) -> AsyncIterator[AccountsProcess]:
    """A process whose denylist is complete. It polls the database only when a test calls `poll`."""
    process = build_process(mongo, redis)
    await process.users.create_indexes()
    await process.sessions.create_indexes()
    await process.revocation.poll()
    assert process.denylist.is_complete
    yield process
    await process.passwords.close()


@pytest.fixture
async def redis_proxy(settings: Settings, redis: Redis) -> AsyncIterator[Proxy]:
    """A proxy of Redis that the test can cut and mend."""
    assert settings.redis_url
    async with Proxy(settings.redis_url) as proxy:
        yield proxy


@pytest.fixture
async def proxied_redis(redis_proxy: Proxy) -> AsyncIterator[Redis]:
    """A client that connects through `redis_proxy` and does not retry."""
    async with Redis.from_url(redis_proxy.url, retry=Retry(NoBackoff(), 0)) as client:
        yield client


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that refuses connections: it is bound, so that no other program takes it, but does not listen."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.fixture
async def no_redis(closed_port: int) -> AsyncIterator[Redis]:
    """A client of a Redis that is unavailable."""
    client = Redis(host="127.0.0.1", port=closed_port, retry=Retry(NoBackoff(), 0))
    yield client
    await client.aclose()


@pytest.fixture
def no_mongo(closed_port: int) -> Iterator[Mongo]:
    """A client of a MongoDB that is unavailable."""
    client = Mongo(f"mongodb://127.0.0.1:{closed_port}/nowhere")
    yield client
    client.close()


@pytest.fixture
async def signed_in(process: AccountsProcess) -> SignedIn:
    """A user who has just registered, with USERNAME and PASSWORD."""
    return await process.accounts.register(Register(username=USERNAME, password=PASSWORD), "a browser")


@pytest.fixture
async def caller(process: AccountsProcess, signed_in: SignedIn) -> Identity:
    """The identity in the access token of `signed_in`."""
    return await process.verifier.verify_scoped_token(signed_in.access_token, ACCESS)


@pytest.fixture
def site_process(process: AccountsProcess) -> AccountsProcess:
    """A process that accepts tokens of another site."""
    accept_external(process)
    return process


@pytest.fixture
async def other_site_process(
    mongo: Mongo, redis: Redis, site_process: AccountsProcess
) -> AsyncIterator[AccountsProcess]:
    """Another process of the same deployment as `site_process`. It gets none of its messages on the bus."""
    other = build_process(mongo, redis)
    accept_external(other)
    await other.revocation.poll()
    yield other
    await other.passwords.close()
