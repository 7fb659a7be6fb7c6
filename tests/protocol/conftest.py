"""The servers that the tests of the contract share."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from uuid import uuid4

import pytest

from tests.conftest import Datastores
from tests.protocol import scenarios
from tests.protocol.contract import Contract
from tests.protocol.database_away import database_away
from tests.protocol.fixtures import anna, ben, contract, world
from tests.protocol.patience import Patience
from tests.protocol.rate_limits import limits
from tests.protocol.servers import served, serving
from tests.protocol.wire import Wire
from tests.protocol.world import World
from tests.running import Server

__all__ = ["anna", "ben", "contract", "world"]

Scenario = Callable[[World], Awaitable[None]]

FRIEND = "https://friend.example"
"""The one foreign origin that may connect."""


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server of most tests: one worker. Do not stop or kill it."""
    with serving(tmp_path_factory.mktemp("one"), ALLOWED_ORIGINS=FRIEND) as server:
        yield server


@pytest.fixture(scope="session")
def four(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of four workers. Do not stop or kill it."""
    with serving(tmp_path_factory.mktemp("four"), WEB_CONCURRENCY="4") as server:
        yield server


@pytest.fixture(scope="session")
def clustered(tmp_path_factory: pytest.TempPathFactory, cluster_url: str) -> Iterator[Server]:
    """The same, over a Redis Cluster."""
    with serving(tmp_path_factory.mktemp("clustered"), WEB_CONCURRENCY="4", REDIS_URL=cluster_url) as server:
        yield server


@pytest.fixture
async def four_world(four: Server, contract: Contract) -> AsyncIterator[World]:
    async with World(four, contract) as world:
        yield world


@pytest.fixture(params=["four", "clustered"], ids=["one Redis", "a cluster"])
def spread_server(request: pytest.FixtureRequest) -> Server:
    server: Server = request.getfixturevalue(request.param)
    return server


@pytest.fixture
async def spread_world(spread_server: Server, contract: Contract) -> AsyncIterator[World]:
    """For what goes from worker to worker: over a Redis of either kind."""
    async with World(spread_server, contract) as world:
        yield world


@pytest.fixture(params=["server", "four"], ids=["one worker", "four workers"])
async def any_world(request: pytest.FixtureRequest, contract: Contract) -> AsyncIterator[World]:
    """For what many do at once: it has to be the same on one worker and on four."""
    async with World(request.getfixturevalue(request.param), contract) as world:
        yield world


@pytest.fixture(scope="session", autouse=True)
def patience(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Patience | None]:
    """What test_patience.py waits for, begun before all other tests, so that nobody waits for it alone."""
    if not any(item.path.name == "test_patience.py" for item in request.session.items):
        yield None
        return
    server: Server = request.getfixturevalue("server")
    contract: Contract = request.getfixturevalue("contract")
    datastores: Datastores = request.getfixturevalue("datastores")

    turn = asyncio.Semaphore(2)

    async def play(server: Server, scenario: Scenario) -> None:
        async with World(server, contract) as world:
            await scenario(world)

    async def play_alone(scenario: Scenario, **environment: str) -> None:
        environment = {"MONGODB_URI": datastores.database(f"patience_{uuid4().hex}"), **environment}
        async with turn, served(tmp_path_factory.mktemp("patience"), **environment) as server:
            await play(server, scenario)

    async def play_away() -> None:
        async with Wire(datastores.database(f"patience_{uuid4().hex}")) as wire:
            await play_alone(partial(database_away, wire), MONGODB_URI=wire.url)

    plays = {
        "heartbeat": partial(play, server, scenarios.heartbeat),
        "silent_peer": partial(play, server, scenarios.silent_peer),
        "ticket_expiry": partial(play, server, scenarios.ticket_expiry),
        "killed_worker": partial(play_alone, scenarios.killed_worker, WEB_CONCURRENCY="2"),
        "database_away": play_away,
        "short_life": partial(play_alone, scenarios.short_life, ACCESS_TOKEN_TTL="3"),
        "rate_limits": partial(play_alone, limits, RATE_LIMITS="on"),
    }
    with Patience(plays) as patience:
        yield patience
