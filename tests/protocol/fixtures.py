"""What the tests of the contract and the attacks on it have in common: a world on their `server`, and two people in it.

A conftest imports these and names them in `__all__`.
"""

from collections.abc import AsyncIterator

import pytest

from tests.protocol.contract import Contract
from tests.protocol.servers import contract_of
from tests.protocol.world import Person, World
from tests.running import Server


@pytest.fixture(scope="session")
def contract(server: Server) -> Contract:
    """The same for every server: they run the same code."""
    return contract_of(server)


@pytest.fixture
async def world(server: Server, contract: Contract) -> AsyncIterator[World]:
    async with World(server, contract) as world:
        yield world


@pytest.fixture
async def anna(world: World) -> Person:
    return await world.person()


@pytest.fixture
async def ben(world: World) -> Person:
    return await world.person()
