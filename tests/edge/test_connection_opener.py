"""Opening WebSockets and event streams."""

from typing import Any

import pytest
from sanic import HTTPResponse, Request

from service.edge.connection_opener import ConnectionOpener
from service.http.authentication import Authentication
from service.http.limits import ConnectionLimit, RateLimits
from service.http.origin import OriginCheck
from service.realtime.bus import LocalBus
from service.realtime.registry import Registry
from service.realtime.timer_wheel import TimerWheel
from service.realtime.user_subscriptions import UserSubscriptions
from tests.http.conftest import OneVerifier, build
from tests.realtime.wire import HANDSHAKE
from tests.rest import serving


@pytest.mark.parametrize("kind", ["stream", "socket"])
async def test_a_connection_that_opens_while_the_server_begins_to_drain_is_refused(kind: str) -> None:
    """It would not be among the connections that are drained, and would end without a reason."""
    registry = Registry(TimerWheel())
    limit = ConnectionLimit(registry.connections, False)
    limits = RateLimits(None, False)
    subscriptions = UserSubscriptions(LocalBus(), registry)
    auth = Authentication(OneVerifier(), limits)
    opener = ConnectionOpener(registry, subscriptions, auth, OriginCheck(()), limits, limit)

    async def begin(_: Any) -> None:
        registry.draining = True

    app = build()

    @app.get("/live")
    async def live(request: Request) -> HTTPResponse:
        return await (opener.open_stream if kind == "stream" else opener.open_socket)(request, "chat", begin)

    async with serving(app) as client:
        answer = await client.get("/live?ticket=once", headers=dict(HANDSHAKE) if kind == "socket" else {})
        assert answer.status_code == 503
        assert len(registry) == 0
