"""A whole service for each test."""

from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest

from config.settings import Settings
from service.accounts.passwords import Passwords
from service.app import create_app
from service.datastores.mongo import Mongo
from service.http.strict_protocol import StrictHttpProtocol
from service.services import Services
from service.stores import Stores
from tests.rest import RestClient, serving


@pytest.fixture
def services(monkeypatch: pytest.MonkeyPatch) -> Services:
    """The services of `client`, which are complete once it is."""
    found = Services.__new__(Services)

    def build(*args: Any, **options: Any) -> Services:
        Services.__init__(found, *args, **options)
        return found

    monkeypatch.setattr("service.app.Services", build)
    return found


@pytest.fixture
async def client(
    settings: Settings, mongo: Mongo, services: Services, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[RestClient]:
    monkeypatch.setattr("service.services.Passwords", partial(Passwords, time_cost=1, memory_cost=64))
    await Stores.build(mongo.database).create_indexes()
    async with serving(create_app(settings=settings), StrictHttpProtocol) as client:
        yield client
