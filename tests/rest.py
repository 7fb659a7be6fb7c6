"""A client for an app that runs in the test's own event loop, like the fixtures' database and Redis clients.

sanic-testing's clients run the app in a loop of their own, which those clients do not belong to. This subclass of its
`ReusableClient` serves the app on a real port of the running loop, so that sockets and streams work as well.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis
from sanic import Sanic
from sanic.server.protocols.http_protocol import HttpProtocol
from sanic_testing.reusable import ReusableClient

from config.settings import Settings
from service.accounts.passwords import Passwords
from service.app import create_app
from service.commands.release import release
from service.datastores.mongo import Mongo
from tests.conftest import Datastores, drop_database

TIMEOUT = 30.0
"""Seconds until a request fails."""


class RestClient(ReusableClient):
    """`response = await client.get("/path", …)` and so on, with httpx's arguments; `client.url("/path")`."""

    def __init__(self, app: Sanic[Any, Any], protocol: type[HttpProtocol] = HttpProtocol) -> None:
        super().__init__(
            app,
            port=free_port(),
            loop=asyncio.get_running_loop(),
            server_kwargs={"protocol": protocol},
            # The embedded database of a busy machine may stand still for longer than the five seconds of httpx.
            client_kwargs={"timeout": TIMEOUT},
        )

    def url(self, path: str, scheme: str = "http") -> str:
        return f"{scheme}://{self.host}:{self.port}{path}"

    async def start(self) -> None:
        self.app.router.reset()
        self.app.signal_router.reset()
        await self.app._startup()
        await self.app._server_event("init", "before", loop=self._loop)
        self._server = await self._server_co
        await self.app._server_event("init", "after", loop=self._loop)

    async def close(self) -> None:
        await self.app._server_event("shutdown", "before", loop=self._loop)
        await self._session.aclose()
        if self._server:
            self._server.close()
        await self.app._server_event("shutdown", "after", loop=self._loop)

    def _sanic_endpoint_test(self, method: str = "get", uri: str = "/", **kwargs: Any) -> Awaitable[httpx.Response]:
        if method == "request":
            method = kwargs.pop("http_method", "GET")
        return self._session.request(method.upper(), self.url(uri), **kwargs)


@asynccontextmanager
async def serving(app: Sanic[Any, Any], protocol: type[HttpProtocol] = HttpProtocol) -> AsyncIterator[RestClient]:
    """Serve `app` while the block runs: `async with serving(app) as client`.

    A worker has the `protocol` StrictHttpProtocol, which by default is left out here.
    """
    client = RestClient(app, protocol)
    await client.start()
    try:
        yield client
    finally:
        await client.close()


@asynccontextmanager
async def serving_module(
    datastores: Datastores, protocol: type[HttpProtocol] = HttpProtocol, **values: Any
) -> AsyncIterator[RestClient]:
    """Serve the whole service, with cheap password hashes and without rate limits, on a database of its own, for all
    tests of a module: building the app takes two seconds. `values` are those of other settings."""
    settings = datastores.settings(rate_limits="off", **values)
    assert settings.mongodb_uri
    await release(settings.mongodb_uri)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("service.services.Passwords", partial(Passwords, time_cost=1, memory_cost=64))
        app = create_app(settings=settings)
    try:
        async with serving(app, protocol) as client:
            yield client
    finally:
        Sanic.unregister_app(app)
        await drop_database(settings.mongodb_uri)


@pytest.fixture
async def client(
    settings: Settings, mongo: Mongo, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[RestClient]:
    """The whole service, on empty datastores, with cheap password hashes.

    A test module imports this fixture and names it in `__all__`.
    """
    monkeypatch.setattr("service.services.Passwords", partial(Passwords, time_cost=1, memory_cost=64))
    async with serving(create_app(settings=settings)) as client:
        yield client


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
