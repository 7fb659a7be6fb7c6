"""A browser's page may connect only from where the operator lets it."""

import pytest
from websockets.exceptions import InvalidStatus

from tests.protocol.clients import Clients, problem
from tests.protocol.conftest import ALLOWED_ORIGIN
from tests.protocol.contract import PROBLEM
from tests.protocol.stream import Refused

SOCKETS = [("/ws/chat", "chat"), ("/ws/notifications", "notification_socket")]


@pytest.mark.parametrize(("path", "channel"), SOCKETS)
@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "null", "http://127.0.0.1:1", "http://{host}.evil", "http://x@{host}/", "{friend}.evil"],
)
async def test_foreign_origins(clients: Clients, path: str, channel: str, origin: str) -> None:
    """A foreign origin gets 403 in place of the upgrade, and that before its credentials are looked at."""
    anna = await clients.user()
    host = clients.server.url.removeprefix("http://")
    with pytest.raises(InvalidStatus) as refused:
        await clients.socket(
            path, channel, origin=origin.format(host=host, friend=ALLOWED_ORIGIN), query={"token": anna.token}
        )
    response = refused.value.response
    assert 403 == response.status_code
    assert PROBLEM == response.headers["content-type"]
    assert b'"code":"origin_not_allowed"' in response.body.replace(b" ", b"")


@pytest.mark.parametrize(("path", "channel"), SOCKETS)
async def test_origins_that_may(clients: Clients, path: str, channel: str) -> None:
    """The server's own origin, one that is configured, and none, which is no browser, all connect."""
    anna = await clients.user()
    for origin in (None, clients.server.url, ALLOWED_ORIGIN, ALLOWED_ORIGIN.upper().replace("HTTPS", "https")):
        socket = await clients.socket(path, channel, origin=origin, query={"token": anna.token})
        await socket.event("hello")


async def test_cors(clients: Clients) -> None:
    """Another site's page may read answers only where it is configured; to no other a stream is so much as opened."""
    anna = await clients.user()
    for origin, allowed in ((ALLOWED_ORIGIN, ALLOWED_ORIGIN), ("https://evil.example", None)):
        answer = await clients.call("GET", "/users/me", headers=anna.bearer | {"Origin": origin})
        assert allowed == answer.headers.get("Access-Control-Allow-Origin")
    stream = await clients.stream(query={"token": anna.token}, headers={"Origin": ALLOWED_ORIGIN})
    assert ALLOWED_ORIGIN == stream.response.headers["Access-Control-Allow-Origin"]
    assert "Access-Control-Allow-Credentials" not in stream.response.headers
    with pytest.raises(Refused) as refused:
        await clients.stream(query={"token": anna.token}, headers={"Origin": "https://evil.example"})
    problem(refused.value.response, 403, "origin_not_allowed")


async def test_preflight(clients: Clients) -> None:
    """A browser may ask beforehand whether it may send its token and its JSON."""
    asked = {"Access-Control-Request-Method": "PATCH", "Access-Control-Request-Headers": "authorization,content-type"}
    answer = await clients.http.options("/api/v1/users/me", headers={"Origin": ALLOWED_ORIGIN, **asked})
    assert answer.is_success
    assert ALLOWED_ORIGIN == answer.headers["Access-Control-Allow-Origin"]
    assert "PATCH" in answer.headers["Access-Control-Allow-Methods"].upper()
    allowed = answer.headers["Access-Control-Allow-Headers"].lower()
    assert {"authorization", "content-type"} <= {name.strip() for name in allowed.split(",")}
