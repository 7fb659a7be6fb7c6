"""The security headers of every response of every route."""

import re

import httpx
import pytest

from tests.conftest import STATUS_TOKEN
from tests.protocol.clients import API, Clients
from tests.protocol.stream import Refused
from tests.running import Server
from tests.security.attack_surface import AttackSurface
from tests.security.scenario import Scenario

PAGES = [
    "/",
    "/client/index.js",
    "/docs",
    "/docs/openapi.json",
    "/asyncapi.json",
    "/metrics",
    "/healthz",
    "/readyz",
    "/status",
]
FILE = re.compile(rf"{API}/attachments/\w+(/thumbnail|/avatar)?")
"""What users have uploaded."""
BEHIND_TLS = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.1"}


def check(answer: httpx.Response) -> None:
    """Assert the headers that every response must have."""
    headers, request_line = answer.headers, f"{answer.request.method} {answer.request.url.path} {answer.status_code}"
    assert "nosniff" == headers.get("X-Content-Type-Options"), request_line
    assert "no-referrer" == headers.get("Referrer-Policy"), request_line
    assert "Server" not in headers, request_line
    assert "Set-Cookie" not in headers, request_line
    assert "Access-Control-Allow-Origin" not in headers, request_line
    policy = headers.get("Content-Security-Policy", "")
    if answer.is_success and FILE.fullmatch(answer.request.url.path):
        # Pages of other origins may show it, and it may be cached. It runs nothing.
        assert "sandbox" == policy, request_line
        return
    assert "frame-ancestors 'none'" in policy, request_line
    assert "unsafe-eval" not in policy, request_line
    assert "script-src 'unsafe-inline'" not in policy, request_line
    if answer.request.url.path.startswith(API):
        assert "no-store" == headers.get("Cache-Control"), request_line
        assert policy == "default-src 'none'; frame-ancestors 'none'", request_line


async def test_every_api_response_has_the_security_headers(scenario: Scenario, attack_surface: AttackSurface) -> None:
    """Covers a response and an error of each operation, signed in and not."""
    for operation in attack_surface.rest_operations:
        if not operation.path.startswith("/auth/"):
            check(await scenario.request(scenario.eve, operation))
        for method in (operation.method, "TRACE"):
            check(await scenario.clients.http.request(method, API + operation.url(scenario.values)))
    for operation in [operation for operation in attack_surface.operations if operation.streaming]:
        check(await scenario.clients.http.get(API + operation.path))
    check(await scenario.clients.http.get(API + "/nothing"))


async def test_every_page_has_the_security_headers(clients: Clients) -> None:
    """Covers the pages outside the API. The operator's metrics must not be stored by caches."""
    for path in [*PAGES, "/nothing", "/client/nothing.js", "/status/nothing.js"]:
        check(await clients.http.get(path))
    check(await clients.http.get("/status/metrics.json"))
    numbers = await clients.http.get("/status/metrics.json", headers={"Authorization": f"Bearer {STATUS_TOKEN}"})
    check(numbers)
    assert (200, "no-store") == (numbers.status_code, numbers.headers["Cache-Control"])


async def test_the_event_stream_has_the_security_headers(clients: Clients) -> None:
    """Event streams bypass the framework's response; they have the headers, too, and are not cached."""
    anna = await clients.user()
    headers = (await anna.stream()).response.headers
    assert "nosniff" == headers["X-Content-Type-Options"]
    assert "no-referrer" == headers["Referrer-Policy"]
    assert "no-cache, no-transform" == headers["Cache-Control"]
    with pytest.raises(Refused) as refused:
        await clients.stream(query={"token": "garbage"})
    assert "no-store" == refused.value.response.headers["Cache-Control"]


async def test_the_app_csp_allows_only_its_own_scripts(clients: Clients) -> None:
    """The page loads scripts only from this server, makes no markup of strings and submits forms nowhere else."""
    policy = (await clients.http.get("/")).headers["Content-Security-Policy"]
    directives = {part.split()[0]: part.split()[1:] for part in policy.split(";")}
    assert ["'self'"] == directives["default-src"]
    assert not {"script-src", "connect-src", "style-src"} & set(directives), "the default is the strictest"
    assert ["'self'", "https:", "blob:"] == directives["img-src"], "avatars are fetched over TLS only"
    assert ["'script'"] == directives["require-trusted-types-for"]
    assert ["'none'"] == directives["object-src"] == directives["base-uri"]


async def test_hsts_is_sent_behind_a_tls_proxy(proxied: Server) -> None:
    """HSTS is sent if the configured proxy reports https; over http it has no meaning."""
    async with httpx.AsyncClient(base_url=proxied.url) as http:
        for path in [*PAGES, API + "/users/me", API + "/nothing"]:
            answer = await http.get(path, headers=BEHIND_TLS)
            assert "max-age=31536000" == answer.headers.get("Strict-Transport-Security"), path
            assert "Strict-Transport-Security" not in (await http.get(path)).headers, path


async def test_hsts_is_not_sent_without_a_configured_proxy(clients: Clients) -> None:
    """Without a configured proxy the client invented the header."""
    answer = await clients.http.get("/", headers=BEHIND_TLS)
    assert "Strict-Transport-Security" not in answer.headers
