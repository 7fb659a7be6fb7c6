"""The servers that the tests of the protocol share, and the scenarios that run in the background."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from uuid import uuid4

import pytest

from tests.conftest import Datastores
from tests.protocol import scenarios
from tests.protocol.background_scenarios import BackgroundScenarios
from tests.protocol.clients import Clients
from tests.protocol.contract import Contract
from tests.protocol.database_away import database_away
from tests.protocol.fixtures import anna, ben, clients, contract
from tests.protocol.mongo_proxy import MongoProxy
from tests.protocol.rate_limits import rate_limits
from tests.protocol.servers import serving, serving_in_thread
from tests.running import Server

__all__ = ["anna", "ben", "clients", "contract"]

Scenario = Callable[[Clients], Awaitable[None]]

ALLOWED_ORIGIN = "https://friend.example"
"""The only foreign origin that may connect."""


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server of most tests: one worker, everything embedded. Do not stop or kill it."""
    with serving(tmp_path_factory.mktemp("one"), ALLOWED_ORIGINS=ALLOWED_ORIGIN) as server:
        yield server


@pytest.fixture(scope="session")
def four_workers(tmp_path_factory: pytest.TempPathFactory, datastores: Datastores) -> Iterator[Server]:
    """A server of four workers. Do not stop or kill it."""
    variables = {"MONGODB_URI": datastores.database(f"four_{uuid4().hex}"), "WEB_CONCURRENCY": "4"}
    with serving(tmp_path_factory.mktemp("four"), **variables) as server:
        yield server


@pytest.fixture(scope="session")
def four_workers_on_cluster(
    tmp_path_factory: pytest.TempPathFactory, datastores: Datastores, cluster_url: str
) -> Iterator[Server]:
    """The same, with a Redis Cluster."""
    variables = {"MONGODB_URI": datastores.database(f"cluster_{uuid4().hex}"), "WEB_CONCURRENCY": "4"}
    with serving(tmp_path_factory.mktemp("cluster"), REDIS_URL=cluster_url, **variables) as server:
        yield server


@pytest.fixture
async def four_worker_clients(four_workers: Server, contract: Contract) -> AsyncIterator[Clients]:
    async with Clients(four_workers, contract) as clients:
        yield clients


@pytest.fixture(params=["four_workers", "four_workers_on_cluster"], ids=["one Redis", "a cluster"])
def multi_worker_server(request: pytest.FixtureRequest) -> Server:
    server: Server = request.getfixturevalue(request.param)
    return server


@pytest.fixture
async def multi_worker_clients(multi_worker_server: Server, contract: Contract) -> AsyncIterator[Clients]:
    """For tests of events between workers, on both kinds of Redis."""
    async with Clients(multi_worker_server, contract) as clients:
        yield clients


@pytest.fixture(params=["server", "four_workers"], ids=["one worker", "four workers"])
def any_server(request: pytest.FixtureRequest) -> Server:
    server: Server = request.getfixturevalue(request.param)
    return server


@pytest.fixture
async def any_clients(any_server: Server, contract: Contract) -> AsyncIterator[Clients]:
    """For tests of concurrent requests, on one worker and on four."""
    async with Clients(any_server, contract) as clients:
        yield clients


@pytest.fixture(scope="session", autouse=True)
def background_scenarios(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[BackgroundScenarios | None]:
    """The scenarios of test_background_scenarios.py. They start before the first test, so that no test waits long."""
    if not any(item.path.name == "test_background_scenarios.py" for item in request.session.items):
        yield None
        return
    server: Server = request.getfixturevalue("server")
    contract: Contract = request.getfixturevalue("contract")
    datastores: Datastores = request.getfixturevalue("datastores")

    servers = asyncio.Semaphore(2)

    async def run(server: Server, scenario: Scenario) -> None:
        async with Clients(server, contract) as clients:
            await scenario(clients)

    async def run_on_own_server(scenario: Scenario, **environment: str) -> None:
        environment = {"MONGODB_URI": datastores.database(f"scenario_{uuid4().hex}"), **environment}
        async with servers, serving_in_thread(tmp_path_factory.mktemp("scenario"), **environment) as server:
            await run(server, scenario)

    async def run_database_away() -> None:
        async with MongoProxy(datastores.database(f"scenario_{uuid4().hex}")) as mongo_proxy:
            await run_on_own_server(partial(database_away, mongo_proxy), MONGODB_URI=mongo_proxy.url)

    by_name = {
        "heartbeat": partial(run, server, scenarios.heartbeat),
        "silent_peer": partial(run, server, scenarios.silent_peer),
        "ticket_expiry": partial(run, server, scenarios.ticket_expiry),
        "killed_worker": partial(run_on_own_server, scenarios.killed_worker, WEB_CONCURRENCY="2"),
        "database_away": run_database_away,
        "short_lived_tokens": partial(run_on_own_server, scenarios.short_lived_tokens, ACCESS_TOKEN_TTL="3"),
        "rate_limits": partial(run_on_own_server, rate_limits, RATE_LIMITS="on"),
    }
    with BackgroundScenarios(by_name) as running:
        yield running
