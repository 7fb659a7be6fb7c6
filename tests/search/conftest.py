"""Fixtures for the tests of the search."""

from collections.abc import AsyncIterator

import pytest

from service.datastores.mongo import Mongo
from service.search import candidates, conversation_search, layout, search_service
from tests.chat.chat_process import ChatProcess
from tests.rest import client
from tests.search.searching import Searching

__all__ = ["client"]


@pytest.fixture
async def unindexed(mongo: Mongo) -> AsyncIterator[Searching]:
    """Chat services and the search, without a follower."""
    process = ChatProcess(mongo.database)
    await process.create_indexes()
    yield Searching(mongo, process)
    await process.close()


@pytest.fixture
async def searching(unindexed: Searching) -> AsyncIterator[Searching]:
    async with unindexed.following():
        yield unindexed


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of two messages, so that few of them fill chunks of every level; groups of two; few reads a page. Only
    what is indexed is found."""
    monkeypatch.setattr(layout, "BLOCK", 2)
    monkeypatch.setattr(search_service, "FIRST_GROUP", 1)
    monkeypatch.setattr(search_service, "MAX_GROUP", 2)
    monkeypatch.setattr(conversation_search, "BATCH", 2)
    monkeypatch.setattr(candidates, "WINDOW", 3)
    monkeypatch.setattr(candidates, "MAX_UNINDEXED", 0)
