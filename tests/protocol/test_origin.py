"""The origins from which a browser's page may connect."""

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
async def test_a_foreign_origin_gets_403_before_its_credentials_are_checked(
    clients: Clients, path: str, channel: str, origin: str
) -> None:
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
async def test_own_configured_and_missing_origins_may_connect(clients: Clients, path: str, channel: str) -> None:
    anna = await clients.user()
    for origin in (None, clients.server.url, ALLOWED_ORIGIN, ALLOWED_ORIGIN.upper().replace("HTTPS", "https")):
        socket = await clients.socket(path, channel, origin=origin, query={"token": anna.token})
        await socket.event("hello")


async def test_only_configured_origins_may_read_responses(clients: Clients) -> None:
    """A stream is not even opened for others."""
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


async def test_a_preflight_allows_the_token_and_json(clients: Clients) -> None:
    asked = {"Access-Control-Request-Method": "PATCH", "Access-Control-Request-Headers": "authorization,content-type"}
    answer = await clients.http.options("/api/v1/users/me", headers={"Origin": ALLOWED_ORIGIN, **asked})
    assert answer.is_success
    assert ALLOWED_ORIGIN == answer.headers["Access-Control-Allow-Origin"]
    assert "PATCH" in answer.headers["Access-Control-Allow-Methods"].upper()
    allowed = answer.headers["Access-Control-Allow-Headers"].lower()
    assert {"authorization", "content-type"} <= {name.strip() for name in allowed.split(",")}
