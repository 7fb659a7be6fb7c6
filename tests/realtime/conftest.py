"""Fixtures for live connections."""

from collections.abc import AsyncIterator

import pytest

from service.realtime.registry import Registry
from tests.realtime.wire import running_registry


@pytest.fixture
async def registry() -> AsyncIterator[Registry]:
    async with running_registry() as registry:
        yield registry
