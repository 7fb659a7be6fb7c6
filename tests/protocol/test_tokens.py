"""Rejected tokens at every endpoint, and their error codes."""

import base64
import json
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest

from tests.conftest import SECRET
from tests.protocol.authenticated_endpoints import CONNECTION_ENDPOINTS, ENDPOINTS, Endpoint
from tests.protocol.clients import NO_ID, Clients, User

CLAIMS = ["sub", "sid", "jti", "scope", "iat", "exp", "iss"]


def claims_of(token: str) -> dict[str, Any]:
    return dict(jwt.decode(token, options={"verify_signature": False}))


def signed(claims: dict[str, Any], key: str = SECRET, algorithm: str = "HS256") -> str:
    return jwt.encode(claims, key, algorithm)


def changed(**changes: Any) -> Callable[[User], str]:
    return lambda person: signed(claims_of(person.token) | changes)


def without(claim: str) -> Callable[[User], str]:
    return lambda person: signed({name: value for name, value in claims_of(person.token).items() if name != claim})


def unsigned(algorithm: str) -> Callable[[User], str]:
    """The famous forgery: a header that asks not to look."""

    def make(person: User) -> str:
        header = base64.urlsafe_b64encode(json.dumps({"alg": algorithm, "typ": "JWT"}).encode()).rstrip(b"=").decode()
        return f"{header}.{person.token.split('.')[1]}."

    return make


def tampered(person: User) -> str:
    """The signature of one body under another."""
    head, _, signature = person.token.split(".")
    body = base64.urlsafe_b64encode(json.dumps(claims_of(person.token) | {"sub": NO_ID}).encode()).rstrip(b"=")
    return f"{head}.{body.decode()}.{signature}"


BAD: dict[str, tuple[str, Callable[[User], str]]] = {
    "empty": ("token_missing token_invalid", lambda person: ","),
    "garbage": ("token_invalid", lambda person: "garbage"),
    "three parts of garbage": ("token_invalid", lambda person: "a.b.c"),
    "very long": ("token_invalid", lambda person: "x" * 5000),
    "another key": (
        "token_invalid",
        lambda person: signed(claims_of(person.token), "another secret of 32 bytes or so"),
    ),
    "tampered": ("token_invalid", tampered),
    "no signature": ("token_invalid", lambda person: person.token.rpartition(".")[0] + "."),
    "alg none": ("token_invalid", unsigned("none")),
    "alg None": ("token_invalid", unsigned("None")),
    "alg HS256 unsigned": ("token_invalid", unsigned("HS256")),
    "alg HS384": ("token_invalid", lambda person: signed(claims_of(person.token), SECRET, "HS384")),
    "alg HS512": ("token_invalid", lambda person: signed(claims_of(person.token), SECRET, "HS512")),
    **{f"no {claim}": ("token_invalid", without(claim)) for claim in CLAIMS},
    "sub not an id": ("token_invalid", changed(sub="me")),
    "sub an operator": ("token_invalid", changed(sub={"$gt": ""})),
    "sid an operator": ("token_invalid", changed(sid={"$gt": ""})),
    "a refresh token": ("token_invalid", lambda person: person.refresh_token),
    "another scope": ("token_invalid", changed(scope="admin")),
    "several scopes": ("token_invalid", changed(scope="access_token refresh_token")),
    "a foreign iss": ("token_invalid", changed(iss="someone-else")),
    "not yet": ("token_invalid", changed(nbf=int(time.time()) + 3600)),
    "expired": ("token_expired", changed(exp=int(time.time()) - 1)),
    "expired long ago": ("token_expired", changed(iat=1, exp=2)),
    "exp no number": ("token_invalid", changed(exp="tomorrow")),
}


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.__name__)
async def test_invalid_tokens_are_rejected_with_their_code(clients: Clients, anna: User, endpoint: Endpoint) -> None:
    """Altered, foreign, expired and refresh tokens."""
    found = {}
    for name, (codes, make) in BAD.items():
        code = await endpoint(clients, {"token": make(anna)})
        if code not in codes.split():
            found[name] = code or "it opens"
    assert {} == found
    assert "" == await endpoint(clients, {"token": anna.token})
    assert "" == await endpoint(clients, {"token": signed(claims_of(anna.token))}), (
        "a forgery that is right in all is a token"
    )


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.__name__)
async def test_a_missing_credential_is_named(clients: Clients, endpoint: Endpoint) -> None:
    assert "token_missing" == await endpoint(clients, {})


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.__name__)
async def test_tokens_of_ended_sessions_are_rejected_at_every_endpoint(
    clients: Clients, anna: User, endpoint: Endpoint
) -> None:
    """After a sign-out, after an end from another session, and after a password change."""
    out, ended, old = await anna.sign_in_again(), await anna.sign_in_again(), await anna.sign_in_again()
    await out.post("/auth/logout")
    await anna.delete(f"/auth/sessions/{claims_of(ended.token)['sid']}")
    assert "token_revoked" == await endpoint(clients, {"token": out.token})
    assert "token_revoked" == await endpoint(clients, {"token": ended.token})
    assert "" == await endpoint(clients, {"token": old.token})
    before = anna.token
    body = {"current_password": anna.password, "new_password": anna.password + "!"}
    anna.take_tokens(await anna.post("/auth/password", body))
    assert "token_revoked" == await endpoint(clients, {"token": old.token})
    assert "token_revoked" == await endpoint(clients, {"token": before})
    assert "" == await endpoint(clients, {"token": anna.token})


@pytest.mark.parametrize(
    "header", ["Bearer", "Bearer  ,", "Basic YTpi", "{token}", "Bearer {token} x", "Bearer {token},"]
)
async def test_authorization_headers_of_another_form_are_rejected(clients: Clients, anna: User, header: str) -> None:
    value = header.format(token=anna.token)
    answer = await clients.call("GET", "/users/me", headers={"Authorization": value})
    assert 401 == answer.status_code
    assert answer.json()["code"] in ("token_missing", "token_invalid")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


async def test_ordinary_requests_take_no_token_from_the_url(clients: Clients, anna: User) -> None:
    """URLs are logged."""
    for query in ({"token": anna.token}, {"ticket": await anna.ticket()}):
        assert (await clients.call("GET", "/users/me", params=query)).status_code in (401, 422)


@pytest.mark.parametrize("endpoint", CONNECTION_ENDPOINTS, ids=lambda endpoint: endpoint.__name__)
async def test_a_ticket_opens_one_connection(clients: Clients, anna: User, endpoint: Endpoint) -> None:
    answer = await anna.post("/auth/ticket")
    assert {"ticket", "expires_in"} == set(answer)
    assert 30 == answer["expires_in"]
    assert "" == await endpoint(clients, {"ticket": answer["ticket"]})
    assert "token_invalid" == await endpoint(clients, {"ticket": answer["ticket"]})


@pytest.mark.parametrize("endpoint", CONNECTION_ENDPOINTS, ids=lambda endpoint: endpoint.__name__)
async def test_unknown_tickets_and_tickets_of_ended_sessions_are_rejected(
    clients: Clients, anna: User, endpoint: Endpoint
) -> None:
    for made_up in ("garbage", "x" * 5000, "*", "{}", anna.token):
        assert "token_invalid" == await endpoint(clients, {"ticket": made_up}), made_up
    other = await anna.sign_in_again()
    ticket = await other.ticket()
    await other.post("/auth/logout")
    assert "token_revoked" == await endpoint(clients, {"ticket": ticket})


async def test_a_ticket_opens_either_a_socket_or_a_stream(clients: Clients, anna: User) -> None:
    """Also if both try it concurrently."""
    ticket = await anna.ticket()
    opened = [await endpoint(clients, {"ticket": ticket}) for endpoint in CONNECTION_ENDPOINTS]
    assert ["", "token_invalid", "token_invalid"] == opened


async def test_a_refresh_requires_a_valid_refresh_token(clients: Clients, anna: User) -> None:
    """Access tokens, forged and expired tokens get different codes."""
    refresh = claims_of(anna.refresh_token)
    for code, token in {
        "token_invalid": anna.token,
        "token_expired": signed(refresh | {"exp": int(time.time()) - 1}),
    }.items():
        answer = await clients.call("POST", "/auth/refresh", json={"refresh_token": token})
        assert (401, code) == (answer.status_code, answer.json()["code"])
    for token in ("garbage", signed(refresh, "another secret of 32 bytes or so"), unsigned("none")(anna)):
        answer = await clients.call("POST", "/auth/refresh", json={"refresh_token": token})
        assert (401, "token_invalid") == (answer.status_code, answer.json()["code"])
    await anna.refresh()
