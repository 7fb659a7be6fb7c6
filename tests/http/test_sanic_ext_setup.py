"""What comes with every route."""

from typing import Any

import pytest
from sanic import HTTPResponse, Request, Sanic
from sanic.response import text
from sanic.signals import SignalRouter

from service.http import sanic_ext_setup as extensions
from tests.rest import serving

ROUTES = 20


async def test_head_and_options_cost_the_start_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sanic makes its signals ready a few times, and not anew for each of them."""
    made: list[SignalRouter] = []
    finalize = SignalRouter.finalize

    def counted(router: SignalRouter, *args: Any, **options: Any) -> Any:
        made.append(router)
        return finalize(router, *args, **options)

    async def handle(request: Request) -> HTTPResponse:
        return text("here")

    monkeypatch.setattr(SignalRouter, "finalize", counted)
    app: Sanic[Any, Any] = Sanic("extensions", configure_logging=False)
    extensions.install(app, ())
    for number in range(ROUTES):
        app.add_route(handle, f"/{number}", name=f"route{number}")
    extensions.add_head_and_options(app)
    async with serving(app) as client:
        for number in range(ROUTES):
            head, options = await client.head(f"/{number}"), await client.options(f"/{number}")
            assert (200, "4", "") == (head.status_code, head.headers["content-length"], head.text)
            assert "GET,HEAD,OPTIONS" == options.headers["allow"]
    assert len(made) < ROUTES
