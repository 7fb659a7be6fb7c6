"""The page's own routes, behind the headers and errors that every answer has."""

from collections.abc import AsyncIterator
from itertools import count
from typing import Any

import pytest
from sanic import Sanic

from service.http import errors, extensions, headers
from service.web.routes import blueprint
from tests.rest import RestClient, forget_documents, serving

numbers = count()


@pytest.fixture
async def client() -> AsyncIterator[RestClient]:
    forget_documents()
    app: Sanic[Any, Any] = Sanic(f"web-test-{next(numbers)}", configure_logging=False)
    extensions.install(app, ())
    errors.install(app)
    headers.install(app)
    app.blueprint(blueprint())
    async with serving(app) as client:
        yield client
