"""The server that the attacks share, and the people on it."""

from collections.abc import Iterator
from functools import partial
from uuid import uuid4

import pytest

from tests.conftest import STATUS_TOKEN, Datastores
from tests.protocol.fixtures import anna, ben, contract, world
from tests.protocol.patience import Patience
from tests.protocol.servers import serving
from tests.protocol.world import World
from tests.running import Server
from tests.security.scene import Scene
from tests.security.slowloris import trickle
from tests.security.surface import Surface

__all__ = ["anna", "ben", "contract", "world"]

STRICT_REDIS = 5
"""A Redis database that nobody else uses."""


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One worker, without rate limits. Afterwards its log is searched for secrets."""
    with serving(tmp_path_factory.mktemp("security"), STATUS_TOKEN=STATUS_TOKEN) as server:
        yield server


@pytest.fixture(scope="session")
def strict_redis(datastores: Datastores) -> str:
    """Where `direct` and `proxied` count what their clients do."""
    return datastores.redis_database(STRICT_REDIS)


@pytest.fixture(scope="session")
def direct(datastores: Datastores, strict_redis: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """With rate limits, and as far as it knows with nothing in front of it."""
    uri = datastores.database(f"direct_{uuid4().hex}")
    variables = {"RATE_LIMITS": "on", "MONGODB_URI": uri, "REDIS_URL": strict_redis}
    with serving(tmp_path_factory.mktemp("direct"), **variables) as server:
        yield server


@pytest.fixture(scope="session")
def proxied(datastores: Datastores, strict_redis: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """With rate limits, behind one proxy, as on Heroku: it writes the last entry of X-Forwarded-For."""
    uri = datastores.database(f"proxied_{uuid4().hex}")
    variables = {"RATE_LIMITS": "on", "DYNO": "web.1", "MONGODB_URI": uri, "REDIS_URL": strict_redis}
    with serving(tmp_path_factory.mktemp("proxied"), **variables) as server:
        yield server


@pytest.fixture(scope="session", autouse=True)
def slow_clients(request: pytest.FixtureRequest) -> Iterator[Patience | None]:
    """What test_slow_clients.py waits for, begun before all other tests, so that nobody waits for it alone."""
    if not any(item.path.name == "test_slow_clients.py" for item in request.session.items):
        yield None
        return
    server: Server = request.getfixturevalue("server")
    with Patience({phase: partial(trickle, server, phase) for phase in ("head", "body")}) as plays:
        yield plays


@pytest.fixture(scope="session")
def surface(server: Server) -> Surface:
    """All that a client can send, as the server's own documents say."""
    return Surface.of(server)


@pytest.fixture
async def scene(world: World) -> Scene:
    return await Scene.of(world)
