"""HTTP itself: HEAD, methods that a resource does not have, paths that nobody has, and the headers of every answer."""

import re

import pytest

from tests.protocol.clients import API, NO_ID, Clients, problem


async def test_head(clients: Clients) -> None:
    """HEAD answers as GET does, without the body."""
    anna = await clients.user()
    for path in ("/users/me", "/conversations", "/posts", "/notifications"):
        answer, got = await anna.call("HEAD", path), await anna.call("GET", path)
        assert (got.status_code, b"") == (answer.status_code, answer.content)
        assert got.headers["content-type"] == answer.headers["content-type"]
    assert 401 == (await clients.call("HEAD", "/users/me")).status_code


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/auth/login"),
        ("DELETE", "/users/me"),
        ("PUT", "/conversations"),
        ("DELETE", "/posts"),
        ("POST", "/notifications/stream"),
        ("POST", "/ws/chat"),
        ("TRACE", "/users/me"),
        ("PUT", f"/users/{NO_ID}"),
        ("GET", f"/conversations/{NO_ID}/messages/{NO_ID}"),
        ("POST", f"/conversations/{NO_ID}/messages/{NO_ID}/reactions/%F0%9F%91%8D"),
    ],
)
async def test_a_method_that_is_not_there(clients: Clients, method: str, path: str) -> None:
    """405 as a problem document, with the methods that there are."""
    answer = await clients.call(method, path)
    body = problem(answer, 405, answer.json()["code"])
    assert body["code"] == "method_not_allowed"
    allowed = {name.strip() for name in answer.headers["Allow"].split(",")}
    assert allowed
    assert method not in allowed


@pytest.mark.parametrize("path", ["/", "/nothing", "/users/me/more", "/conversations//messages", "/../../etc/passwd"])
async def test_a_path_that_is_not_there(clients: Clients, path: str) -> None:
    """404 as a problem document that does not quote the path."""
    anna = await clients.user()
    answer = await clients.http.get(API + path, headers=anna.bearer)
    assert "nothing" not in str(problem(answer, 404, "not_found"))


async def test_headers_of_every_answer(clients: Clients) -> None:
    """Each answer has an id of its own, is not guessed at by browsers, and one with personal data is not stored."""
    anna = await clients.user()
    ids = set()
    for path, headers in (("/users/me", anna.bearer), ("/users/me", {}), ("/nothing", {})):
        answer = await clients.http.get(API + path, headers=headers)
        ids.add(answer.headers["X-Request-ID"])
        assert "nosniff" == answer.headers["X-Content-Type-Options"]
        assert "no-store" in answer.headers["Cache-Control"]
        assert "application/" in answer.headers["Content-Type"]
    assert 3 == len(ids)


async def test_request_id(clients: Clients) -> None:
    """A client's own request id comes back where it is one; what would break a log or a header does not."""
    sent = "3f2b1c9e-aaaa-bbbb-cccc-1234567890ab"
    answer = await clients.http.get("/healthz", headers={"X-Request-ID": sent})
    assert sent == answer.headers["X-Request-ID"]
    for bad in ("x" * 500, 'a"b', "{}"):
        back = (await clients.http.get("/healthz", headers={"X-Request-ID": bad})).headers["X-Request-ID"]
        assert bad != back
        assert re.fullmatch(r"[\w.-]{8,128}", back)


async def test_not_json(clients: Clients) -> None:
    """A form is not taken for JSON."""
    answer = await clients.call("POST", "/auth/login", data={"username": "anna", "password": "x" * 8})
    assert answer.status_code in (400, 415, 422)
    assert "application/problem+json" == answer.headers["content-type"]
