"""The servers and fixtures that the attacks share."""

from collections.abc import Iterator
from functools import partial
from uuid import uuid4

import pytest

from tests.conftest import PUSH_HOST, STATUS_TOKEN, Datastores
from tests.protocol.background_scenarios import BackgroundScenarios
from tests.protocol.clients import Clients
from tests.protocol.fixtures import anna, ben, clients, contract
from tests.protocol.servers import serving
from tests.running import Server
from tests.security.attack_surface import AttackSurface
from tests.security.scenario import Scenario
from tests.security.slowloris import send_slowly

__all__ = ["anna", "ben", "clients", "contract"]

STRICT_REDIS = 5
"""Number of a Redis database that nothing else uses."""


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One worker without rate limits. After the tests its log is searched for secrets."""
    with serving(tmp_path_factory.mktemp("security"), STATUS_TOKEN=STATUS_TOKEN, PUSH_HOSTS=PUSH_HOST) as server:
        yield server


@pytest.fixture(scope="session")
def strict_redis(datastores: Datastores) -> str:
    """The Redis database in which `direct` and `proxied` count requests."""
    return datastores.redis_database(STRICT_REDIS)


@pytest.fixture(scope="session")
def direct(datastores: Datastores, strict_redis: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with rate limits and without a configured proxy."""
    uri = datastores.database(f"direct_{uuid4().hex}")
    variables = {"RATE_LIMITS": "on", "MONGODB_URI": uri, "REDIS_URL": strict_redis}
    with serving(tmp_path_factory.mktemp("direct"), **variables) as server:
        yield server


@pytest.fixture(scope="session")
def proxied(datastores: Datastores, strict_redis: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with rate limits behind one proxy, as on Heroku: the proxy writes the last entry of X-Forwarded-For."""
    uri = datastores.database(f"proxied_{uuid4().hex}")
    variables = {"RATE_LIMITS": "on", "DYNO": "web.1", "MONGODB_URI": uri, "REDIS_URL": strict_redis}
    with serving(tmp_path_factory.mktemp("proxied"), **variables) as server:
        yield server


@pytest.fixture(scope="session", autouse=True)
def slow_clients(request: pytest.FixtureRequest) -> Iterator[BackgroundScenarios | None]:
    """Run the scenarios of test_slow_clients.py in the background from the start of the session, so that their waiting
    time overlaps with the other tests."""
    if not any(item.path.name == "test_slow_clients.py" for item in request.session.items):
        yield None
        return
    server: Server = request.getfixturevalue("server")
    with BackgroundScenarios({phase: partial(send_slowly, server, phase) for phase in ("head", "body")}) as scenarios:
        yield scenarios


@pytest.fixture(scope="session")
def attack_surface(server: Server) -> AttackSurface:
    """Every operation and frame in the server's OpenAPI and AsyncAPI documents."""
    return AttackSurface.fetch(server)


@pytest.fixture
async def scenario(clients: Clients) -> Scenario:
    return await Scenario.create(clients)
