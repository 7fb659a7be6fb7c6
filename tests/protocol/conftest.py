"""The servers that the tests of the contract share."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest

from tests.protocol import scenarios
from tests.protocol.contract import Contract
from tests.protocol.patience import Patience
from tests.protocol.servers import contract_of, served, serving
from tests.protocol.world import World
from tests.running import Server

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
    directory = tmp_path_factory.mktemp("patience")

    async def here(scenario: Callable[[World], Awaitable[None]]) -> None:
        async with World(server, contract) as world:
            await scenario(world)

    async def on_two_workers() -> None:
        async with served(directory, WEB_CONCURRENCY="2") as two, World(two, contract) as world:
            await scenarios.killed_worker(world)

    with Patience(
        {
            "heartbeat": lambda: here(scenarios.heartbeat),
            "silent_peer": lambda: here(scenarios.silent_peer),
            "ticket_expiry": lambda: here(scenarios.ticket_expiry),
            "killed_worker": on_two_workers,
        }
    ) as patience:
        yield patience
