"""Users of another site: their tokens open everything that Loa's own access tokens open."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest

from tests.conftest import Datastores
from tests.identity_provider import ISSUER, jwks_server, public_jwk, public_pem, token
from tests.protocol.clients import NO_ID, Clients, User
from tests.protocol.servers import load_contract, serving, serving_in_thread
from tests.protocol.stream import Refused
from tests.running import Server

SERVER_KEY = "the-key-of-the-servers-of-the-site"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, datastores: Datastores) -> Iterator[Server]:
    """A server without accounts of its own that accepts tokens of a site. It has two workers."""
    variables = {
        "MONGODB_URI": datastores.database(f"site_{uuid4().hex}"),
        "WEB_CONCURRENCY": "2",
        "AUTH_ISSUER": ISSUER,
        "AUTH_KEY": public_pem("p256"),
        "AUTH_AUDIENCE": "loa",
        "LOCAL_ACCOUNTS": "off",
        "API_KEYS": f"shop:{SERVER_KEY}",
    }
    with serving(tmp_path_factory.mktemp("site"), **variables) as server:
        yield server


@pytest.fixture
async def site_clients(site: Server) -> AsyncIterator[Clients]:
    async with Clients(site, load_contract(site)) as clients:
        yield clients


async def visitor(clients: Clients, sub: str = "", key: str = "p256", **claims: Any) -> User:
    """Somebody who comes with a token of the site. `sub`: a new person by default."""
    text = token(sub or f"auth0|{uuid4().hex}", key, **{"aud": "loa", **claims})
    answer = await clients.call("GET", "/users/me", headers={"Authorization": f"Bearer {text}"})
    assert answer.status_code == 200, answer.text
    return User(clients, "", {"user": answer.json(), "access_token": text, "refresh_token": ""})


async def test_a_token_of_the_site_opens_everything(site_clients: Clients) -> None:
    """In the header, in the URL and by a ticket; requests, sockets, the stream."""
    anna, ben = [await visitor(site_clients, name=name, preferred_username=name) for name in ("Anna", "Ben")]
    conversation = await anna.start_conversation(ben)
    sockets = [
        await site_clients.socket(headers=ben.bearer),
        await site_clients.socket(query={"token": ben.token}),
        await site_clients.socket(query={"ticket": await ben.ticket()}),
    ]
    for socket in sockets:
        assert ben.id == (await socket.event("hello"))["user_id"]
    await site_clients.socket("/ws/notifications", "notification_socket", query={"token": ben.token})
    for query in ({"token": ben.token}, {"ticket": await ben.ticket()}):
        stream = await site_clients.stream(query=query)
        await stream.event("hello")
    sent = await anna.send_message(conversation)
    for socket in sockets:
        assert sent["id"] == (await socket.event("new_message"))["data"]["id"]


async def test_a_fresh_token_extends_the_connection(site_clients: Clients) -> None:
    """Also one of another session of the same person, but nobody else's, and none that is forged."""
    sub = f"auth0|{uuid4().hex}"
    expires_at = int(time.time()) + 30
    anna = await visitor(site_clients, sub, sid="laptop", exp=expires_at)
    socket = await anna.chat_socket()
    await socket.event("token_expiring")
    other = await visitor(site_clients)
    forged = token(sub, "p384", aud="loa", kid="p256")
    for wrong in (other.token, forged, token(sub, "p256", aud="another service")):
        await socket.expect_error("token_invalid", "authenticate", token=wrong)
    fresh = token(sub, "p256", aud="loa", sid="phone", exp=expires_at + 300)
    answer = await socket.request("authenticate", token=fresh)
    assert answer["data"]["token_expires_at"] > socket.hello["token_expires_at"]


async def test_a_connection_ends_with_its_token(site_clients: Clients) -> None:
    anna = await visitor(site_clients, exp=int(time.time()) + 3)
    socket = await anna.chat_socket()
    assert (1008, "token_expired") == await socket.closed()


async def test_a_session_of_the_site_is_ended_like_any_other(site_clients: Clients) -> None:
    """On both workers, for sockets and for requests."""
    sub, earlier = f"auth0|{uuid4().hex}", int(time.time()) - 5
    laptop = await visitor(site_clients, sub, sid="laptop", iat=earlier)
    phone = await visitor(site_clients, sub, sid="phone", iat=earlier)
    sockets = [await laptop.chat_socket() for _ in range(6)]
    listed = (await phone.get("/auth/sessions"))["items"]
    assert 2 == len(listed)
    [session] = [each["id"] for each in listed if not each["current"]]
    await phone.delete(f"/auth/sessions/{session}")
    for socket in sockets:
        assert (1008, "token_revoked") == await socket.closed()
    for _ in range(6):
        assert 401 == (await laptop.call("GET", "/users/me")).status_code
        assert 200 == (await phone.call("GET", "/users/me")).status_code
    with pytest.raises(Refused):
        await site_clients.stream(query={"token": laptop.token})
    await phone.call("POST", "/auth/logout")
    assert "token_revoked" == (await phone.call("GET", "/users/me")).json()["code"]


async def test_a_server_of_the_site_ends_everything_issued_so_far(site_clients: Clients) -> None:
    """On both workers, for tokens of both issuers; those that are issued later are valid, with the same `sid`."""
    sub, earlier = f"auth0|{uuid4().hex}", int(time.time()) - 5
    path, by_key = f"/server/users/{quote(sub, safe='')}", {"Authorization": f"Bearer {SERVER_KEY}"}
    anna = await visitor(site_clients, sub, sid="laptop", iat=earlier)
    issued = await site_clients.call("POST", f"{path}/tokens", headers=by_key, json={})
    by_server = User(site_clients, "", {"user": anna.profile, "refresh_token": "", **issued.json()})
    sockets = [await user.chat_socket() for user in (anna, by_server) * 3]
    assert 204 == (await site_clients.call("POST", f"{path}/revoke", headers=by_key)).status_code
    for socket in sockets:
        assert (1008, "token_revoked") == await socket.closed()
    unseen = token(sub, "p256", aud="loa", sid="phone", iat=earlier)
    for text in (anna.token, by_server.token, unseen) * 3:
        answer = await site_clients.call("GET", "/users/me", headers={"Authorization": f"Bearer {text}"})
        assert (401, "token_revoked") == (answer.status_code, answer.json()["code"])
    for _ in range(4):
        assert anna.id == (await visitor(site_clients, sub, sid="laptop", iat=int(time.time()) + 2)).id
    answer = await site_clients.call("POST", "/server/users/nobody/revoke", headers=by_key)
    assert (404, "not_found") == (answer.status_code, answer.json()["code"])
    answer = await site_clients.call("POST", f"{path}/revoke", headers=anna.bearer)
    assert (401, "key_invalid") == (answer.status_code, answer.json()["code"])


async def test_a_changed_claim_reaches_the_users_tabs(site_clients: Clients) -> None:
    sub = f"auth0|{uuid4().hex}"
    anna = await visitor(site_clients, sub, name="Anna", iat=int(time.time()) - 5)
    tabs = [await anna.chat_socket() for _ in range(4)]
    await visitor(site_clients, sub, name="Ánna")
    for tab in tabs:
        assert "Ánna" == (await tab.event("profile_updated"))["data"]["display_name"]


async def test_people_without_accounts_of_their_own_cannot_sign_in_here(site_clients: Clients) -> None:
    """Nor does a token with Loa's own name as issuer open anything, signed with any key."""
    anna = await visitor(site_clients)
    for path in ("register", "login", "refresh", "password"):
        for headers in ({}, anna.bearer):
            answer = await site_clients.http.post(f"/api/v1/auth/{path}", json={}, headers=headers)
            assert (404, "not_found") == (answer.status_code, answer.json()["code"])
    documented = (await site_clients.http.get("/docs/openapi.json")).json()["paths"]
    assert "/api/v1/auth/logout" in documented
    assert not [path for path in documented if path.endswith(("/register", "/login", "/refresh", "/password"))]
    own_name = token(NO_ID, "p256", iss="loa", sid=NO_ID, jti="a" * 22, scope="access_token", kid=None)
    answer = await site_clients.call("GET", "/users/me", headers={"Authorization": f"Bearer {own_name}"})
    assert (401, "token_invalid") == (answer.status_code, answer.json()["code"])


async def test_keys_come_from_a_url_and_rotate(tmp_path: Path, datastores: Datastores) -> None:
    """Loa starts without them: tokens are 503 until they are there, with `Retry-After`, and no connection opens."""
    async with jwks_server() as issuer:
        variables = {
            "MONGODB_URI": datastores.database(f"jwks_{uuid4().hex}"),
            "AUTH_ISSUER": ISSUER,
            "AUTH_JWKS_URL": issuer.url,
        }
        broken = asyncio.Event()

        async def hang_up(_: asyncio.StreamWriter) -> None:
            broken.set()

        issuer.answer = hang_up
        async with (
            serving_in_thread(tmp_path, **variables) as server,
            Clients(server, load_contract(server)) as clients,
        ):
            bearer = {"Authorization": f"Bearer {token()}"}
            await broken.wait()
            answer = await clients.call("GET", "/users/me", headers=bearer)
            assert (503, "unavailable") == (answer.status_code, answer.json()["code"])
            assert int(answer.headers["Retry-After"]) >= 1
            # An account of Loa's own is as good as before.
            await (await clients.user()).chat_socket()
        issuer.answer = None
        issuer.keys = [public_jwk("rsa"), public_jwk("ed25519")]
        async with (
            serving_in_thread(tmp_path, **variables) as server,
            Clients(server, load_contract(server)) as clients,
        ):
            for key in ("rsa", "ed25519"):
                await (await visitor(clients, key=key)).chat_socket()
            unknown = {"Authorization": f"Bearer {token(key='p384')}"}
            assert 401 == (await clients.call("GET", "/users/me", headers=unknown)).status_code
