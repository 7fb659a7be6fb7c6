"""Fixtures for the tests of the chat."""

from collections.abc import AsyncIterator, Callable

import pytest

from service.datastores.mongo import Mongo
from tests.chat.chat_process import ChatProcess, Writes


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


@pytest.fixture(params=["listed", "large"])
def group_writes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Writes:
    """Runs a test twice: with groups whose document lists the participants, and with large ones.

    Returns a function that returns what writes the changes of a process's groups.
    """
    if request.param == "listed":
        return lambda process: process.conversation_store.groups
    monkeypatch.setattr("service.chat.large_groups.MAX_EMBEDDED", 1)
    return lambda process: process.conversation_store.groups.large_changes
