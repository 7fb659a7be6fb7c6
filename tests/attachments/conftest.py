"""A whole service to which files are uploaded, and images to upload."""

import io
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import pytest_asyncio
from PIL import Image

from service.datastores.mongo import Mongo
from service.http.strict_protocol import StrictHttpProtocol
from service.services import Services
from tests.conftest import Datastores
from tests.notifications.api_user import ApiUser
from tests.rest import RestClient, serving_module

MAX_BYTES = 1_000_000
UPLOADED = ("attachments", "attachments.files", "attachments.chunks", "posts", "comments")
"""Collections that are empty when a test begins which asks for `emptied`."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the tests that share a service in the event loop of their module."""
    for item in items:
        if Path(__file__).parent in item.path.parents and "served" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.asyncio(loop_scope="module"), append=False)


class Served(NamedTuple):
    client: RestClient
    services: Services


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(datastores: Datastores) -> AsyncIterator[Served]:
    """The whole service, which takes files of up to MAX_BYTES, and which all tests of a module share."""
    found = Services.__new__(Services)

    def build(*args: Any, **options: Any) -> Services:
        Services.__init__(found, *args, **options)
        return found

    async with AsyncExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("service.app.Services", build)
            service = serving_module(datastores, StrictHttpProtocol, attachment_max_bytes=MAX_BYTES)
            client = await stack.enter_async_context(service)
        yield Served(client, found)


@pytest.fixture
def client(served: Served) -> RestClient:
    return served.client


@pytest.fixture
def services(served: Served) -> Services:
    return served.services


@pytest_asyncio.fixture(loop_scope="module")
async def emptied(served: Served) -> Mongo:
    """The database of `client`, without what earlier tests have stored in UPLOADED."""
    for name in UPLOADED:
        await served.services.mongo.database[name].delete_many({})
    return served.services.mongo


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    """Return the file of an image."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def photo(width: int = 60, height: int = 40) -> Image.Image:
    """Return an image whose left half is red and whose right half is blue."""
    image = Image.new("RGB", (width, height), "red")
    image.paste("blue", (width // 2, 0, width, height))
    return image


async def upload(user: ApiUser, content: bytes, name: str = "file", status: int = 201) -> dict[str, Any]:
    """Upload a file, and return the response."""
    response = await user.request("post", "/attachments", params={"name": name}, content=content)
    assert status == response.status_code, response.text
    return dict(response.json())
