"""A push service for each test, and a Loa that pushes to it."""

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from sanic import Sanic

from config.settings import Settings
from service.accounts.passwords import Passwords
from service.app import create_app
from service.datastores.mongo import Mongo
from service.push import service
from service.stores import Stores
from tests.push.push_service import PushServiceDouble, serving_pushes
from tests.rest import RestClient, free_port, serving


@pytest.fixture
async def push_service(tmp_path: Path) -> AsyncIterator[PushServiceDouble]:
    async with serving_pushes(tmp_path) as double:
        yield double


@pytest.fixture
def trusted(tmp_path: Path, push_service: PushServiceDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process trust the push service's certificate."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "localhost.pem"))


@pytest.fixture
def dead_host() -> str:
    """A known push service at which nobody listens."""
    return f"localhost:{free_port()}"


@pytest.fixture
async def app(
    settings: Settings,
    dead_host: str,
    mongo: Mongo,
    redis: Redis,
    push_service: PushServiceDouble,
    trusted: None,
    monkeypatch: pytest.MonkeyPatch,
) -> Sanic[Any, Any]:
    """The whole service, which pushes what is unread for a second."""
    monkeypatch.setattr("service.services.Passwords", partial(Passwords, time_cost=1, memory_cost=64))
    monkeypatch.setattr(service, "UNUSED_INTERVAL", 0.1)
    monkeypatch.setattr(service, "PLAN_INTERVAL", 0.05)
    await Stores.build(mongo.database).create_indexes()
    push = {"push_hosts": (push_service.host, dead_host), "push_private": "on", "push_delay": 1}
    return create_app(settings=settings.model_copy(update=push))


@pytest.fixture
async def pushing(app: Sanic[Any, Any]) -> AsyncIterator[RestClient]:
    """The running `app`."""
    async with serving(app) as client:
        yield client
