"""Processes on a Redis of their own, whose commands can be counted."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest

from service.realtime import heartbeats, redis_bus
from tests.cluster import Cluster, Node, cluster, running
from tests.scale.bus_process import BusProcess

Start = Callable[..., "BusProcess"]


@pytest.fixture(autouse=True)
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """No process of the version before is expected, and heartbeats are rare enough not to be counted."""
    monkeypatch.setattr(redis_bus, "EARLIER_TIMEOUT", 0)
    monkeypatch.setattr(heartbeats, "INTERVAL", 1000)


@pytest.fixture
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Node]:
    async with running([Node(tmp_path_factory.mktemp("redis") / "node", clustered=False)]) as (node,):
        yield node


@pytest.fixture
async def nodes(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    async with cluster(tmp_path_factory.mktemp("redis") / "cluster") as nodes:
        yield nodes


@pytest.fixture
async def start() -> AsyncIterator[Callable[[str], "BusProcess"]]:
    """Make processes, which end with the test; each has to be started."""
    async with AsyncExitStack() as stack:

        def make(url: str) -> BusProcess:
            process = BusProcess(url)
            stack.push_async_callback(process.close)
            return process

        yield make
