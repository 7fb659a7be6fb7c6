"""A Sanic app with only the web routes, plus the common headers and error handlers; node for modules."""

import os
import shutil
from collections.abc import AsyncIterator
from itertools import count
from typing import Any

import pytest
from sanic import Sanic

from service.http import error_handler, headers, openapi
from service.http import sanic_ext_setup as extensions
from service.web import not_found
from service.web.routes import blueprint
from tests.rest import RestClient, serving

app_numbers = count()


@pytest.fixture(scope="session")
def node() -> str:
    """The path of node. Tests that use it are skipped without, but not in CI."""
    path = shutil.which("node")
    if path is None:
        reason = "needs node 20 or later"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return path


@pytest.fixture
async def client() -> AsyncIterator[RestClient]:
    app: Sanic[Any, Any] = Sanic(f"web-test-{next(app_numbers)}", configure_logging=False)
    extensions.install(app, ())
    error_handler.install(app)
    not_found.install(app)
    headers.install(app)
    app.blueprint(blueprint())
    app.blueprint(openapi.blueprint())
    extensions.add_head_and_options(app)
    async with serving(app) as client:
        yield client
