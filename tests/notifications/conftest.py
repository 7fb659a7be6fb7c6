"""Fixtures of the notification and post tests."""

from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from sanic import Sanic

from config.settings import Settings
from service.accounts.passwords import Passwords
from service.app import create_app
from service.commands.release import release
from service.datastores.mongo import Mongo
from tests.conftest import SECRET, Datastores, drop_database
from tests.notifications.api_user import ApiUser
from tests.notifications.service_process import ServiceProcess
from tests.rest import RestClient, serving

StartProcess = Callable[..., ServiceProcess]


@pytest.fixture
async def start_process(mongo: Mongo) -> AsyncIterator[StartProcess]:
    """Call it to start a process; all share one database. Keyword arguments go to the NotificationOutbox."""
    started: list[ServiceProcess] = []

    def start(**outbox_options: Any) -> ServiceProcess:
        started.append(ServiceProcess(mongo.database, **outbox_options))
        return started[-1]

    await start().create_indexes()
    yield start
    for process in started:
        await process.close()


@pytest.fixture
def process(start_process: StartProcess) -> ServiceProcess:
    return start_process()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(datastores: Datastores) -> AsyncIterator[RestClient]:
    """A client of the whole service, which all tests of a module share: building the app takes two seconds."""
    uri = datastores.database(f"test_{uuid4().hex}")
    settings = Settings(
        host="127.0.0.1",
        port=0,
        mongodb_uri=uri,
        redis_url=datastores.redis_url,
        jwt_secret=SECRET,
        rate_limits="off",
    )
    assert settings.mongodb_uri
    await release(settings.mongodb_uri)
    with pytest.MonkeyPatch.context() as patch:
        # Cheap password hashing: these tests only need signed-in users.
        patch.setattr("service.services.Passwords", partial(Passwords, time_cost=1, memory_cost=64))
        app = create_app(settings=settings)
    try:
        async with serving(app) as client:
            yield client
    finally:
        Sanic.unregister_app(app)
        await drop_database(uri)


@pytest_asyncio.fixture(loop_scope="module")
async def author(client: RestClient) -> ApiUser:
    return await ApiUser.register(client, "Author")


@pytest_asyncio.fixture(loop_scope="module")
async def reader(client: RestClient) -> ApiUser:
    return await ApiUser.register(client, "Reader")
