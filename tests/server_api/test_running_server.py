"""What only a whole server shows: its limits by key, its log, and what reaches every connection."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest

from service.http.limits import ANNOUNCING
from tests.conftest import SECRET, Datastores
from tests.protocol.clients import Clients
from tests.protocol.servers import check_log_for_secrets, load_contract
from tests.protocol.worker_lookup import one_per_worker
from tests.running import CHEAP_HASHES, Server, running
from tests.server_api.site import KEY, OTHER_KEY, PREFIX

REDIS = 6
"""Number of a Redis database that nothing else uses."""
ANNOUNCEMENTS = 10
"""In a minute, with one key."""


@pytest.fixture(scope="module")
def server(datastores: Datastores, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with two workers, rate limits and keys, of which its log must have none."""
    environment = {
        "MONGODB_URI": datastores.database(f"server_api_{uuid4().hex}"),
        "REDIS_URL": datastores.redis_database(REDIS),
        "JWT_SECRET": SECRET,
        "WEB_CONCURRENCY": "2",
        "API_KEYS": f"shop:{KEY},forum:{OTHER_KEY}",
        "LOG_LEVEL": "DEBUG",
        **CHEAP_HASHES,
    }
    with running(environment, tmp_path_factory.mktemp("server_api") / "server.log") as server:
        yield server
    for secret in (KEY, OTHER_KEY):
        assert secret[5:30] not in server.text
    check_log_for_secrets(server)


@pytest.fixture
async def clients(server: Server) -> AsyncIterator[Clients]:
    async with Clients(server, load_contract(server)) as clients:
        yield clients


async def call(clients: Clients, method: str, path: str, key: str = KEY, **arguments: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {key}", **arguments.pop("headers", {})}
    return await clients.call(method, f"{PREFIX.removeprefix('/api/v1')}{path}", headers=headers, **arguments)


async def test_the_log_has_the_name_of_the_key(clients: Clients) -> None:
    """And of nothing else of it, wherever the key is sent. What a token is is checked, too."""
    answers = [
        await call(clients, "PUT", "/users/7", json={"display_name": "Hương"}),
        await call(clients, "POST", "/users/7/tokens", OTHER_KEY, json={}),
        await call(clients, "GET", "/users/7", KEY[:-1]),
        await call(clients, "GET", "/users/7"),
        await call(clients, "POST", "/notifications", content=KEY, headers={"Content-Type": "application/json"}),
        await clients.http.get(f"{PREFIX}/users/7?key={KEY}"),
        await clients.http.get(f"{PREFIX}/{KEY}/{KEY}"),
    ]
    assert [201, 201, 401, 200, 400, 401, 404] == [answer.status_code for answer in answers]
    lines = [json.loads(line) for line in clients.server.text.splitlines() if line.startswith("{")]
    requests = [line for line in lines if line["event"] == "request" and line["path"].startswith(PREFIX)]
    assert ["shop", "forum", None, "shop", "shop", None, None] == [line.get("api_key") for line in requests]


async def test_announcements_reach_every_chat_socket_within_the_limit_of_a_key(clients: Clients) -> None:
    """On every worker. Beyond the limit the key gets 429, another key does not."""
    person = await clients.user()
    sockets = [*(await one_per_worker(clients.server, person.chat_socket, 2)).values()]
    message = "Mười phút nữa 🔧"
    answers = await asyncio.gather(
        *[call(clients, "POST", "/announcements", json={"message": message}) for _ in range(ANNOUNCEMENTS)]
    )
    assert {202} == {answer.status_code for answer in answers}
    for socket in sockets:
        for _ in range(ANNOUNCEMENTS):
            assert message == (await socket.event("announcement"))["data"]["message"]
    assert ANNOUNCING.limits.startswith(f"{ANNOUNCEMENTS}/minute")
    # Two workers count alone up to a tenth of the limit each; all of it while Redis is slow.
    for _ in range(ANNOUNCEMENTS + 1):
        refused = await call(clients, "POST", "/announcements", json={"message": message})
        if refused.status_code == 429:
            break
    assert 429 == refused.status_code
    assert int(refused.headers["Retry-After"]) > 0
    assert 202 == (await call(clients, "POST", "/announcements", OTHER_KEY, json={"message": message})).status_code


@pytest.mark.parametrize("message", ["", " ", "x" * 1001, "\u200b", None, 7])
async def test_an_announcement_without_a_text_is_refused(clients: Clients, message: object) -> None:
    answer = await call(clients, "POST", "/announcements", json={"message": message})
    assert 422 == answer.status_code


async def test_a_revoked_user_is_out_at_once_on_every_worker(clients: Clients) -> None:
    """Sockets and streams close, and no token issued before is good; one issued afterwards is."""
    created = (await call(clients, "PUT", "/users/revoked", json={"display_name": "Hương"})).json()

    async def token() -> str:
        return str((await call(clients, "POST", "/users/revoked/tokens", json={})).json()["access_token"])

    tokens = [await token(), await token()]
    sockets = [
        *(await one_per_worker(clients.server, lambda: clients.socket(query={"token": tokens[0]}), 2)).values(),
        await clients.socket(query={"token": tokens[1]}),
    ]
    stream = await clients.stream(query={"token": tokens[1]})
    await stream.event("hello")
    for socket in sockets:
        await socket.event("hello")
    assert 204 == (await call(clients, "POST", "/users/revoked/revoke")).status_code
    assert [(1008, "token_revoked")] * 3 == [await socket.closed() for socket in sockets]
    await stream.closed()
    for each in tokens:
        answer = await clients.call("GET", "/users/me", headers={"Authorization": f"Bearer {each}"})
        assert (401, "token_revoked") == (answer.status_code, answer.json()["code"])
    answer = await clients.call("GET", "/users/me", headers={"Authorization": f"Bearer {await token()}"})
    assert (200, created["id"]) == (answer.status_code, answer.json()["id"])
    assert 404 == (await call(clients, "POST", "/users/nobody/revoke")).status_code
