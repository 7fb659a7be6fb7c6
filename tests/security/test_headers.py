"""The headers of every answer of every route: what a browser may make of it, keep of it, and tell of it."""

import httpx
import pytest

from tests.conftest import STATUS_TOKEN
from tests.protocol.stream import Refused
from tests.protocol.world import API, World
from tests.running import Server
from tests.security.scene import Scene
from tests.security.surface import Surface

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
BEHIND_TLS = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.1"}


def check(answer: httpx.Response) -> None:
    """What every answer has, whatever it is."""
    headers, place = answer.headers, f"{answer.request.method} {answer.request.url.path} {answer.status_code}"
    assert "nosniff" == headers.get("X-Content-Type-Options"), place
    assert "no-referrer" == headers.get("Referrer-Policy"), place
    policy = headers.get("Content-Security-Policy", "")
    assert "frame-ancestors 'none'" in policy, place
    assert "unsafe-eval" not in policy, place
    assert "script-src 'unsafe-inline'" not in policy, place
    assert "Server" not in headers, place
    assert "Set-Cookie" not in headers, place
    assert "Access-Control-Allow-Origin" not in headers, place
    if answer.request.url.path.startswith(API):
        assert "no-store" == headers.get("Cache-Control"), place
        assert policy == "default-src 'none'; frame-ancestors 'none'", place


async def test_of_every_call(scene: Scene, surface: Surface) -> None:
    """An answer and a refusal of each call, signed in and not."""
    for call in surface.requests:
        if not call.path.startswith("/auth/"):
            check(await scene.make(scene.eve, call))
        for method in (call.method, "TRACE"):
            check(await scene.world.http.request(method, API + call.url(scene.values)))
    for call in [call for call in surface.calls if call.live]:
        check(await scene.world.http.get(API + call.path))
    check(await scene.world.http.get(API + "/nothing"))


async def test_of_every_page(world: World) -> None:
    """What is not the API's. The operator's numbers are kept by nobody."""
    for path in [*PAGES, "/nothing", "/client/nothing.js", "/status/nothing.js"]:
        check(await world.http.get(path))
    check(await world.http.get("/status/metrics.json"))
    numbers = await world.http.get("/status/metrics.json", headers={"Authorization": f"Bearer {STATUS_TOKEN}"})
    check(numbers)
    assert (200, "no-store") == (numbers.status_code, numbers.headers["Cache-Control"])


async def test_of_the_stream(world: World) -> None:
    """An event stream is written by a hand of our own; it has them too, and it is not stored either."""
    anna = await world.person()
    headers = (await anna.stream()).response.headers
    assert "nosniff" == headers["X-Content-Type-Options"]
    assert "no-referrer" == headers["Referrer-Policy"]
    assert "no-cache, no-transform" == headers["Cache-Control"]
    with pytest.raises(Refused) as refused:
        await world.stream(query={"token": "garbage"})
    assert "no-store" == refused.value.response.headers["Cache-Control"]


async def test_the_app_runs_no_script_but_its_own(world: World) -> None:
    """Its page takes scripts from this server alone, makes no markup of strings, and sends forms nowhere else."""
    policy = (await world.http.get("/")).headers["Content-Security-Policy"]
    directives = {part.split()[0]: part.split()[1:] for part in policy.split(";")}
    assert ["'self'"] == directives["default-src"]
    assert not {"script-src", "connect-src", "style-src"} & set(directives), "the default is the strictest"
    assert ["'script'"] == directives["require-trusted-types-for"]
    assert ["'none'"] == directives["trusted-types"] == directives["object-src"] == directives["base-uri"]


async def test_behind_tls_browsers_are_told_to_stay_there(proxied: Server) -> None:
    """HSTS where the proxy of ours says https; not over http, where it means nothing."""
    async with httpx.AsyncClient(base_url=proxied.url) as http:
        for path in [*PAGES, API + "/users/me", API + "/nothing"]:
            answer = await http.get(path, headers=BEHIND_TLS)
            assert "max-age=31536000" == answer.headers.get("Strict-Transport-Security"), path
            assert "Strict-Transport-Security" not in (await http.get(path)).headers, path


async def test_nobody_but_the_proxy_says_so(world: World) -> None:
    """Where no proxy is configured, the header is a client's own invention."""
    answer = await world.http.get("/", headers=BEHIND_TLS)
    assert "Strict-Transport-Security" not in answer.headers
