"""HTTP: HEAD, methods and paths that do not exist, and the headers of every response."""

import re

import pytest

from tests.protocol.clients import API, NO_ID, Clients, problem


async def test_head_answers_like_get_without_the_body(clients: Clients) -> None:
    anna = await clients.user()
    for path in ("/users/me", "/conversations", "/posts", "/notifications"):
        answer, got = await anna.call("HEAD", path), await anna.call("GET", path)
        assert (got.status_code, b"") == (answer.status_code, answer.content)
        assert got.headers["content-type"] == answer.headers["content-type"]
    assert 401 == (await clients.call("HEAD", "/users/me")).status_code


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", "/auth/register"),
        ("GET", "/auth/ticket"),
        ("DELETE", "/ws/notifications"),
        ("PUT", f"/conversations/{NO_ID}/participants"),
        ("GET", "/auth/login"),
        ("PUT", "/users/me"),
        ("PUT", "/conversations"),
        ("DELETE", "/posts"),
        ("POST", "/notifications/stream"),
        ("POST", "/ws/chat"),
        ("TRACE", "/users/me"),
        ("PUT", f"/users/{NO_ID}"),
        ("PUT", f"/conversations/{NO_ID}/messages/{NO_ID}"),
        ("POST", f"/conversations/{NO_ID}/messages/{NO_ID}/reactions/%F0%9F%91%8D"),
    ],
)
async def test_an_unsupported_method_gets_405_with_the_allowed_ones(clients: Clients, method: str, path: str) -> None:
    answer = await clients.call(method, path)
    body = problem(answer, 405, answer.json()["code"])
    assert body["code"] == "method_not_allowed"
    allowed = {name.strip() for name in answer.headers["Allow"].split(",")}
    # Exactly those that are answered in another way, by OPTIONS too.
    options = await clients.http.request("OPTIONS", API + path)
    assert allowed == set(options.headers["Allow"].split(","))
    for name in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
        other = await clients.http.request(name, API + path)
        assert (name in allowed) == (405 != other.status_code), name


@pytest.mark.parametrize("path", ["/", "/nothing", "/users/me/more", "/conversations//messages", "/../../etc/passwd"])
async def test_an_unknown_path_gets_404_without_quoting_it(clients: Clients, path: str) -> None:
    anna = await clients.user()
    answer = await clients.http.get(API + path, headers=anna.bearer)
    assert "nothing" not in str(problem(answer, 404, "not_found"))


async def test_every_response_has_a_request_id_and_security_headers(clients: Clients) -> None:
    """Responses with personal data are not cached."""
    anna = await clients.user()
    ids = set()
    for path, headers in (("/users/me", anna.bearer), ("/users/me", {}), ("/nothing", {})):
        answer = await clients.http.get(API + path, headers=headers)
        ids.add(answer.headers["X-Request-ID"])
        assert "nosniff" == answer.headers["X-Content-Type-Options"]
        assert "no-store" in answer.headers["Cache-Control"]
        assert "application/" in answer.headers["Content-Type"]
    assert 3 == len(ids)


async def test_a_valid_request_id_of_the_client_is_kept(clients: Clients) -> None:
    """Others could break a log line or a header."""
    sent = "3f2b1c9e-aaaa-bbbb-cccc-1234567890ab"
    answer = await clients.http.get("/healthz", headers={"X-Request-ID": sent})
    assert sent == answer.headers["X-Request-ID"]
    for bad in ("x" * 500, 'a"b', "{}"):
        back = (await clients.http.get("/healthz", headers={"X-Request-ID": bad})).headers["X-Request-ID"]
        assert bad != back
        assert re.fullmatch(r"[\w.-]{8,128}", back)


async def test_a_form_is_not_accepted_as_json(clients: Clients) -> None:
    answer = await clients.call("POST", "/auth/login", data={"username": "anna", "password": "x" * 8})
    assert answer.status_code in (400, 415, 422)
    assert "application/problem+json" == answer.headers["content-type"]
