"""Fixtures for what notifications and posts share."""

from collections.abc import AsyncIterator, Callable
from uuid import uuid4

import pytest
import pytest_asyncio
from sanic import Sanic

from config.settings import Settings
from service.app import create_app
from service.commands.release import release
from service.datastores.mongo import Mongo
from tests.conftest import SECRET, Datastores, drop
from tests.notifications.service_process import ServiceProcess
from tests.rest import RestClient, forget_documents, serving


@pytest.fixture
async def start_process(mongo: Mongo) -> AsyncIterator[Callable[[], ServiceProcess]]:
    """Starts processes that share one database."""
    started: list[ServiceProcess] = []

    def start() -> ServiceProcess:
        started.append(ServiceProcess(mongo.database))
        return started[-1]

    await start().create_indexes()
    yield start
    for process in started:
        await process.close()


@pytest.fixture
def process(start_process: Callable[[], ServiceProcess]) -> ServiceProcess:
    return start_process()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(datastores: Datastores) -> AsyncIterator[RestClient]:
    """The whole service, served for all tests of a module: putting it together takes two seconds."""
    uri = datastores.database(f"test_{uuid4().hex}")
    settings = Settings(
        host="127.0.0.1",
        port=0,
        mongodb_uri=uri,
        redis_url=datastores.redis_url,
        jwt_secret=SECRET,
        rate_limits="off",
    )
    forget_documents()
    assert settings.mongodb_uri
    await release(settings.mongodb_uri)
    app = create_app(settings=settings)
    try:
        async with serving(app) as client:
            yield client
    finally:
        Sanic.unregister_app(app)
        await drop(uri)
