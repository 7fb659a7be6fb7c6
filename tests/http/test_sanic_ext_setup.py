"""HEAD and OPTIONS for every route."""

from typing import Any

import pytest
from sanic import HTTPResponse, Request, Sanic
from sanic.response import text
from sanic.signals import SignalRouter

from service.http import sanic_ext_setup
from tests.rest import serving

ROUTES = 20


async def test_signals_are_not_finalized_once_per_route(monkeypatch: pytest.MonkeyPatch) -> None:
    """That would take a sixth of the start of a worker."""
    finalized: list[SignalRouter] = []
    finalize = SignalRouter.finalize

    def counting_finalize(router: SignalRouter, *args: Any, **options: Any) -> Any:
        finalized.append(router)
        return finalize(router, *args, **options)

    async def handle(request: Request) -> HTTPResponse:
        return text("here")

    monkeypatch.setattr(SignalRouter, "finalize", counting_finalize)
    app: Sanic[Any, Any] = Sanic("extensions", configure_logging=False)
    sanic_ext_setup.install(app, ())
    for number in range(ROUTES):
        app.add_route(handle, f"/{number}", name=f"route{number}")
    sanic_ext_setup.add_head_and_options(app)
    async with serving(app) as client:
        for number in range(ROUTES):
            head, options = await client.head(f"/{number}"), await client.options(f"/{number}")
            assert (200, "4", "") == (head.status_code, head.headers["content-length"], head.text)
            assert "GET,HEAD,OPTIONS" == options.headers["allow"]
    assert len(finalized) < ROUTES
