"""Fixtures of the tests of the server API."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
import pytest_asyncio
from sanic import Sanic

from config.settings import ApiKey
from service import pending_user_changes
from service.app import create_app
from service.commands.release import release
from service.http.strict_protocol import StrictHttpProtocol
from tests.conftest import Datastores, drop_database
from tests.rest import RestClient, serving
from tests.server_api.site import KEY, ORIGIN, OTHER_KEY, Site


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def database_uri(datastores: Datastores) -> AsyncIterator[str]:
    """The URI of the database of `client`."""
    uri = datastores.database(f"test_{uuid4().hex}")
    await release(uri)
    try:
        yield uri
    finally:
        await drop_database(uri)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(datastores: Datastores, database_uri: str) -> AsyncIterator[RestClient]:
    """A client of the whole service, which all tests of a module share."""
    settings = datastores.settings(
        mongodb_uri=database_uri,
        allowed_origins=(ORIGIN,),
        api_keys=(ApiKey("shop", KEY), ApiKey("forum", OTHER_KEY)),
        rate_limits="off",
    )
    app = create_app(settings=settings)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(pending_user_changes, "POLL_INTERVAL", 0.2)
            async with serving(app, StrictHttpProtocol) as client:
                yield client
    finally:
        Sanic.unregister_app(app)


@pytest_asyncio.fixture(loop_scope="module")
async def site(client: RestClient) -> Site:
    return Site(client)
