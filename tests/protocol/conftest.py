"""The servers that the tests of the contract share."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from uuid import uuid4

import pytest

from tests.conftest import Datastores
from tests.protocol import scenarios
from tests.protocol.contract import Contract
from tests.protocol.patience import Patience
from tests.protocol.servers import contract_of, served, serving
from tests.protocol.world import World
from tests.running import Server

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
def contract(server: Server) -> Contract:
    """The same for every server: they run the same code."""
    return contract_of(server)


@pytest.fixture
async def world(server: Server, contract: Contract) -> AsyncIterator[World]:
    async with World(server, contract) as world:
        yield world


@pytest.fixture
async def four_world(four: Server, contract: Contract) -> AsyncIterator[World]:
    async with World(four, contract) as world:
        yield world


@pytest.fixture(scope="session", autouse=True)
def patience(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Patience | None]:
    """What test_patience.py waits for, begun before all other tests, so that nobody waits for it alone."""
    if not any(item.path.name == "test_patience.py" for item in request.session.items):
        yield None
        return
    server: Server = request.getfixturevalue("server")
    contract: Contract = request.getfixturevalue("contract")
    datastores: Datastores = request.getfixturevalue("datastores")

    async def play(server: Server, scenario: Scenario) -> None:
        async with World(server, contract) as world:
            await scenario(world)

    async def play_alone(scenario: Scenario, **environment: str) -> None:
        uri = datastores.database(f"patience_{uuid4().hex}")
        async with served(tmp_path_factory.mktemp("patience"), MONGODB_URI=uri, **environment) as server:
            await play(server, scenario)

    plays = {
        "heartbeat": lambda: play(server, scenarios.heartbeat),
        "silent_peer": lambda: play(server, scenarios.silent_peer),
        "ticket_expiry": lambda: play(server, scenarios.ticket_expiry),
        "short_life": lambda: play_alone(scenarios.short_life, ACCESS_TOKEN_TTL="3"),
        "killed_worker": lambda: play_alone(scenarios.killed_worker, WEB_CONCURRENCY="2"),
    }
    with Patience(plays) as patience:
        yield patience
