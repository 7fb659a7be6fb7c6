"""Fixtures of the chat."""

from collections.abc import AsyncIterator, Callable

import pytest

from service.datastores.mongo import Mongo
from tests.chat.world import World


@pytest.fixture
async def processes(mongo: Mongo) -> AsyncIterator[Callable[..., World]]:
    """Starts processes that share one database."""
    started: list[World] = []

    def start(*args: object) -> World:
        started.append(World(mongo.database, *args))  # type: ignore[arg-type]
        return started[-1]

    await World(mongo.database).create_indexes()
    yield start
    for process in started:
        await process.close()


@pytest.fixture
def world(processes: Callable[..., World]) -> World:
    return processes()
