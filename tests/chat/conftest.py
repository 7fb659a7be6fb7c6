"""Fixtures for the tests of the chat."""

from collections.abc import AsyncIterator, Callable

import pytest

from service.datastores.mongo import Mongo
from tests.chat.chat_process import ChatProcess


@pytest.fixture
async def start_process(mongo: Mongo) -> AsyncIterator[Callable[..., ChatProcess]]:
    """Starts processes (their services) on one database."""
    started: list[ChatProcess] = []

    def start(*args: object) -> ChatProcess:
        started.append(ChatProcess(mongo.database, *args))  # type: ignore[arg-type]
        return started[-1]

    await ChatProcess(mongo.database).create_indexes()
    yield start
    for process in started:
        await process.close()


@pytest.fixture
def process(start_process: Callable[..., ChatProcess]) -> ChatProcess:
    return start_process()
