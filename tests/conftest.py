"""Fixtures of all tests: real datastores, started once per process, and in them an empty database for each test."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from pymongo import MongoClient
from redis.asyncio import Redis

from config.settings import Settings
from service.datastores.data_directory import DataDirectory
from service.datastores.embedded import embedded
from service.datastores.mongo import Mongo
from service.datastores.redis import connect
from tests import shard_keys
from tests.cluster import cluster
from tests.running import CHEAP_HASHES, Server, running

pytest_plugins = ["tests.garbage_collection", "tests.xdist_schedule"]

SERVER_REDIS = 1
RUN_REDIS = 2
"""Numbers of Redis databases that the `redis` fixture does not flush."""

NAMED = {name: os.environ.get(name) for name in ("MONGODB_URI", "REDIS_URL")}
"""The datastores to test on, if any; read from the environment before `_clean_environment` clears it."""
FLUSHED = 15
"""The number of the Redis database that tests flush: the last of the usual sixteen, which is hardly ever in use."""
SECRET = "only for the tests, and at least 32 bytes long"
STATUS_TOKEN = "the-operator-of-the-tests"
PUSH_HOST = "push.invalid"
"""A push service that does not exist, so that no test sends anything to one that does."""
API_KEY = "the-servers-of-the-tests-have-this-key"


SHARD_KEY_CHECK = shard_keys.register()


@pytest.fixture(autouse=True)
def _shard_keys() -> Iterator[None]:
    """Fail the test if it sends a command that a sharded database would have to send to every shard."""
    SHARD_KEY_CHECK.problems.clear()
    yield
    assert [] == sorted(set(SHARD_KEY_CHECK.problems))


class Datastores(NamedTuple):
    """The addresses of the tests' MongoDB and Redis. Any test may flush `redis_url`."""

    mongodb_uri: str
    redis_url: str

    def database(self, name: str) -> str:
        """Return the MongoDB URI with another database name in it."""
        return urlsplit(self.mongodb_uri)._replace(path=f"/{name}").geturl()

    def settings(self, **values: Any) -> Settings:
        """Return settings with a database of their own, any free port and the given values."""
        own = {
            "host": "127.0.0.1",
            "port": 0,
            "mongodb_uri": self.database(f"test_{uuid4().hex}"),
            "redis_url": self.redis_url,
            "jwt_secret": SECRET,
        }
        return Settings(**(own | values))

    def redis_database(self, number: int) -> str:
        """Return the Redis URL with another database number in it, which the `redis` fixture does not flush."""
        return f"{self.redis_url.partition('?')[0]}?db={number}"


@pytest.fixture(scope="session", autouse=True)
def _clean_environment() -> Iterator[None]:
    """Remove Loa's own variables from the environment of the tests and of the processes that they start."""
    with pytest.MonkeyPatch.context() as patch:
        for field in Settings.model_fields:
            patch.delenv(field.upper(), raising=False)
        patch.delenv("DYNO", raising=False)
        yield


@pytest.fixture(scope="session")
def datastores(_clean_environment: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Datastores]:
    """Embedded servers, or those that MONGODB_URI and REDIS_URL name, in which tests use databases of their own."""
    settings = Settings(mongodb_uri=NAMED["MONGODB_URI"], redis_url=NAMED["REDIS_URL"], jwt_secret=SECRET)
    with DataDirectory(tmp_path_factory.mktemp("datastores")) as directory, asyncio.Runner() as runner:
        stack = AsyncExitStack()
        with pytest.MonkeyPatch.context() as patch:
            for name, value in CHEAP_HASHES.items():
                patch.setenv(name, value)
            found, _ = runner.run(stack.enter_async_context(embedded(settings, directory, print)))
        assert found.mongodb_uri
        assert found.redis_url
        yield Datastores(found.mongodb_uri, f"{found.redis_url.partition('?')[0]}?db={FLUSHED}")
        runner.run(stack.aclose())


@pytest.fixture(scope="session")
def cluster_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Redis Cluster that tests share: do not kill a node, nor move a slot."""
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        yield runner.run(stack.enter_async_context(cluster(tmp_path_factory.mktemp("cluster")))).url
        runner.run(stack.aclose())


async def drop_database(uri: str) -> None:
    """Drop the database that `uri` names; not on an embedded server, whose files are deleted after the run.

    Not through the service's client: on a busy machine it takes longer than the service's timeouts.
    """
    if not NAMED["MONGODB_URI"]:
        return
    with MongoClient[Any](uri) as client:
        await asyncio.to_thread(client.drop_database, client.get_default_database().name)


@pytest.fixture
def settings(datastores: Datastores, tmp_path: Path) -> Settings:
    """Settings with a database of the test's own and any free port."""
    return datastores.settings(data_dir=tmp_path / "data")


@pytest.fixture
async def mongo(settings: Settings) -> AsyncIterator[Mongo]:
    """The database of `settings`, empty."""
    assert settings.mongodb_uri
    mongo = Mongo(settings.mongodb_uri)
    yield mongo
    mongo.close()
    await drop_database(settings.mongodb_uri)


@pytest.fixture
async def redis(settings: Settings) -> AsyncIterator[Redis]:
    """The Redis of `settings`, empty."""
    assert settings.redis_url
    redis = connect(settings.redis_url)
    await redis.flushdb()
    yield redis
    await redis.aclose()


Run = Callable[..., Server]
"""`run(WEB_CONCURRENCY="4", …)` starts a server of the test's own with these variables, on a database of its own."""


@pytest.fixture
def run(datastores: Datastores, tmp_path: Path) -> Iterator[Run]:
    """Starts servers and stops them after the test; see `Run`. A variable given as None is not set."""
    uri = datastores.database(f"run_{uuid4().hex}")
    counter = count(1)
    with ExitStack() as stack:

        def start(**environment: str | None) -> Server:
            variables = {
                "MONGODB_URI": uri,
                "REDIS_URL": datastores.redis_database(RUN_REDIS),
                "JWT_SECRET": SECRET,
                "DATA_DIR": str(tmp_path / "data"),
                **CHEAP_HASHES,
                **environment,
            }
            given = {name: value for name, value in variables.items() if value is not None}
            return stack.enter_context(running(given, tmp_path / f"server-{next(counter)}.log"))

        yield start
    asyncio.run(drop_database(uri))


@pytest.fixture(scope="session")
def server(datastores: Datastores, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that tests share: two workers, no rate limits, a database of its own. Do not stop or kill it."""
    uri = datastores.database(f"server_{uuid4().hex}")
    environment = {
        "MONGODB_URI": uri,
        "REDIS_URL": datastores.redis_database(SERVER_REDIS),
        "JWT_SECRET": SECRET,
        "RATE_LIMITS": "off",
        "WEB_CONCURRENCY": "2",
        "STATUS_TOKEN": STATUS_TOKEN,
        "API_KEYS": f"test:{API_KEY}",
        "PUSH_HOSTS": PUSH_HOST,
        **CHEAP_HASHES,
    }
    with running(environment, tmp_path_factory.mktemp("server") / "server.log") as server:
        yield server
    asyncio.run(drop_database(uri))
