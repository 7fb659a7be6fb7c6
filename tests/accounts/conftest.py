"""One process with its datastores, and datastores that are away."""

import socket
from collections.abc import AsyncIterator, Iterator

import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from service.accounts.models import Register, SignedIn
from service.accounts.tokens import ACCESS
from service.common.identity import Identity
from service.datastores.mongo import Mongo
from tests.accounts.accounts_process import AccountsProcess, build_process
from tests.accounts.door import Door

PASSWORD = "correct horse"


@pytest.fixture
async def here(mongo: Mongo, redis: Redis) -> AsyncIterator[AccountsProcess]:
    """A process whose denylist is whole; it looks at the database only when a test says so."""
    one = build_process(mongo, redis)
    await one.users.create_indexes()
    await one.sessions.create_indexes()
    await one.revocation.poll()
    assert one.denylist.is_complete
    yield one
    await one.passwords.close()


@pytest.fixture
async def door(redis: Redis) -> AsyncIterator[Door]:
    async with Door(redis) as one:
        yield one


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that refuses: it is bound, so that nobody else takes it, and does not listen."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.fixture
async def no_redis(closed_port: int) -> AsyncIterator[Redis]:
    client = Redis(host="127.0.0.1", port=closed_port, retry=Retry(NoBackoff(), 0))
    yield client
    await client.aclose()


@pytest.fixture
def no_mongo(closed_port: int) -> Iterator[Mongo]:
    client = Mongo(f"mongodb://127.0.0.1:{closed_port}/nowhere")
    yield client
    client.close()


@pytest.fixture
async def an(here: AccountsProcess) -> SignedIn:
    """An, who has just registered."""
    return await here.accounts.register(Register(username="an.nguyen", password=PASSWORD), "a browser")


@pytest.fixture
async def caller(here: AccountsProcess, an: SignedIn) -> Identity:
    """An, as her access token says."""
    return await here.verifier.verify_scoped_token(an.access_token, ACCESS)
