"""A browser's page may connect only from where the operator lets it."""

import pytest
from websockets.exceptions import InvalidStatus

from tests.protocol.conftest import FRIEND
from tests.protocol.contract import PROBLEM
from tests.protocol.stream import Refused
from tests.protocol.world import World, problem

SOCKETS = [("/ws/chat", "chat"), ("/ws/notifications", "notification_socket")]


@pytest.mark.parametrize(("path", "channel"), SOCKETS)
@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "null", "http://127.0.0.1:1", "http://{host}.evil", "http://x@{host}/", "{friend}.evil"],
)
async def test_foreign_origins(world: World, path: str, channel: str, origin: str) -> None:
    """A foreign origin gets 403 in place of the upgrade, and that before its credentials are looked at."""
    anna = await world.person()
    host = world.server.url.removeprefix("http://")
    with pytest.raises(InvalidStatus) as refused:
        await world.socket(path, channel, origin=origin.format(host=host, friend=FRIEND), query={"token": anna.token})
    response = refused.value.response
    assert 403 == response.status_code
    assert PROBLEM == response.headers["content-type"]
    assert b'"code":"origin_not_allowed"' in response.body.replace(b" ", b"")


@pytest.mark.parametrize(("path", "channel"), SOCKETS)
async def test_origins_that_may(world: World, path: str, channel: str) -> None:
    """The server's own origin, one that is configured, and none, which is no browser, all connect."""
    anna = await world.person()
    for origin in (None, world.server.url, FRIEND, FRIEND.upper().replace("HTTPS", "https")):
        socket = await world.socket(path, channel, origin=origin, query={"token": anna.token})
        await socket.event("hello")


async def test_cors(world: World) -> None:
    """Another site's page may read answers only where it is configured; to no other a stream is so much as opened."""
    anna = await world.person()
    for origin, allowed in ((FRIEND, FRIEND), ("https://evil.example", None)):
        answer = await world.call("GET", "/users/me", headers=anna.bearer | {"Origin": origin})
        assert allowed == answer.headers.get("Access-Control-Allow-Origin")
    stream = await world.stream(query={"token": anna.token}, headers={"Origin": FRIEND})
    assert FRIEND == stream.response.headers["Access-Control-Allow-Origin"]
    assert "Access-Control-Allow-Credentials" not in stream.response.headers
    with pytest.raises(Refused) as refused:
        await world.stream(query={"token": anna.token}, headers={"Origin": "https://evil.example"})
    problem(refused.value.response, 403, "origin_not_allowed")


async def test_preflight(world: World) -> None:
    """A browser may ask beforehand whether it may send its token and its JSON."""
    asked = {"Access-Control-Request-Method": "PATCH", "Access-Control-Request-Headers": "authorization,content-type"}
    answer = await world.http.options("/api/v1/users/me", headers={"Origin": FRIEND, **asked})
    assert answer.is_success
    assert FRIEND == answer.headers["Access-Control-Allow-Origin"]
    assert "PATCH" in answer.headers["Access-Control-Allow-Methods"].upper()
    allowed = answer.headers["Access-Control-Allow-Headers"].lower()
    assert {"authorization", "content-type"} <= {name.strip() for name in allowed.split(",")}
