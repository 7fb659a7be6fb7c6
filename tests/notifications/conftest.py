"""Fixtures for what notifications and posts share."""

from collections.abc import AsyncIterator, Callable

import pytest

from service.datastores.mongo import Mongo
from tests.notifications.world import World


@pytest.fixture
async def processes(mongo: Mongo) -> AsyncIterator[Callable[[], World]]:
    """Starts processes that share one database."""
    started: list[World] = []

    def start() -> World:
        started.append(World(mongo.database))
        return started[-1]

    await start().create_indexes()
    yield start
    for process in started:
        await process.close()


@pytest.fixture
def world(processes: Callable[[], World]) -> World:
    return processes()
