"""A whole service to which files are uploaded, and images to upload."""

import io
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest
from PIL import Image

from config.settings import Settings
from service.accounts.passwords import Passwords
from service.app import create_app
from service.datastores.mongo import Mongo
from service.http.strict_protocol import StrictHttpProtocol
from service.services import Services
from service.stores import Stores
from tests.notifications.api_user import ApiUser
from tests.rest import RestClient, serving

MAX_BYTES = 1_000_000


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
    """The whole service, which takes files of up to MAX_BYTES."""
    monkeypatch.setattr("service.services.Passwords", partial(Passwords, time_cost=1, memory_cost=64))
    await Stores.build(mongo.database).create_indexes()
    limited = settings.model_copy(update={"attachment_max_bytes": MAX_BYTES})
    async with serving(create_app(settings=limited), StrictHttpProtocol) as client:
        yield client


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
