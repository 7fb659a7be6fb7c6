"""The way to sockets and streams."""

from typing import Any

import pytest
from sanic import HTTPResponse, Request

from service.edge.connection_opener import ConnectionOpener
from service.http.authentication import Authentication
from service.http.limits import ConnectionLimit, RateLimits
from service.http.origin import OriginCheck
from service.realtime.registry import Registry
from service.realtime.timer_wheel import TimerWheel
from tests.http.conftest import OneVerifier, build
from tests.realtime.wire import HANDSHAKE
from tests.rest import serving


@pytest.mark.parametrize("kind", ["stream", "socket"])
async def test_who_is_on_the_way_in_when_the_server_begins_to_stop_is_turned_away(kind: str) -> None:
    """Those who are told to go have been counted: one that came after would be cut off without a word."""
    registry = Registry(TimerWheel())
    bound = ConnectionLimit(registry.connections, False)
    limits = RateLimits(None, False)
    upgrade = ConnectionOpener(registry, Authentication(OneVerifier(), limits), OriginCheck(()), limits, bound)

    async def begin(_: Any) -> None:
        registry.draining = True

    app = build()

    @app.get("/live")
    async def live(request: Request) -> HTTPResponse:
        return await (upgrade.open_stream if kind == "stream" else upgrade.open_socket)(request, "chat", begin)

    async with serving(app) as client:
        answer = await client.get("/live?ticket=once", headers=dict(HANDSHAKE) if kind == "socket" else {})
        assert answer.status_code == 503
        assert len(registry) == 0
