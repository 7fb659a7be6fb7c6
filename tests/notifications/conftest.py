"""Fixtures of the notification and post tests."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio

from service.datastores.mongo import Mongo
from service.realtime.bus import LocalBus
from tests.conftest import Datastores
from tests.notifications.api_user import ApiUser
from tests.notifications.service_process import ServiceProcess
from tests.rest import RestClient, serving_module

StartProcess = Callable[..., ServiceProcess]


@pytest.fixture
async def start_process(mongo: Mongo) -> AsyncIterator[StartProcess]:
    """Call it to start a process. All share one database and hear of changes there. Keyword arguments go to the
    NotificationOutbox."""
    started: list[ServiceProcess] = []
    cache_bus = LocalBus()

    def start(**outbox_options: Any) -> ServiceProcess:
        started.append(ServiceProcess(mongo.database, cache_bus=cache_bus, **outbox_options))
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
    """A client of the whole service, which all tests of a module share."""
    async with serving_module(datastores) as client:
        yield client


@pytest_asyncio.fixture(loop_scope="module")
async def author(client: RestClient) -> ApiUser:
    return await ApiUser.register(client, "Author")


@pytest_asyncio.fixture(loop_scope="module")
async def reader(client: RestClient) -> ApiUser:
    return await ApiUser.register(client, "Reader")
