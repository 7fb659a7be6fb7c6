"""The page's own routes, behind the headers and errors that every answer has."""

from collections.abc import AsyncIterator
from itertools import count
from typing import Any

import pytest
from sanic import Sanic

from service.http import error_handler, headers
from service.http import sanic_ext_setup as extensions
from service.web.routes import blueprint
from tests.rest import RestClient, forget_documents, serving

numbers = count()


@pytest.fixture
async def client() -> AsyncIterator[RestClient]:
    forget_documents()
    app: Sanic[Any, Any] = Sanic(f"web-test-{next(numbers)}", configure_logging=False)
    extensions.install(app, ())
    error_handler.install(app)
    headers.install(app)
    app.blueprint(blueprint())
    async with serving(app) as client:
        yield client
