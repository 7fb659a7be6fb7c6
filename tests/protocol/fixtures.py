"""Fixtures of the protocol and security tests: clients of their `server` fixture, and two users.

A conftest imports these and names them in `__all__`.
"""

from collections.abc import AsyncIterator

import pytest

from tests.protocol.clients import Clients, User
from tests.protocol.contract import Contract
from tests.protocol.servers import load_contract
from tests.running import Server


@pytest.fixture(scope="session")
def contract(server: Server) -> Contract:
    """The documents of one server, which are the same for every server."""
    return load_contract(server)


@pytest.fixture
async def clients(server: Server, contract: Contract) -> AsyncIterator[Clients]:
    async with Clients(server, contract) as clients:
        yield clients


@pytest.fixture
async def anna(clients: Clients) -> User:
    return await clients.user()


@pytest.fixture
async def ben(clients: Clients) -> User:
    return await clients.user()
