"""Loa behind reverse proxies, with a browser's Origin: sockets, streams, and what Loa learns of the client."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import pytest
from sanic.compat import Header
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from service.http.proxy_headers import parse_forwarded
from tests.cluster import free_port
from tests.config.reverse_proxies import PROXIES, Site, running_proxy, self_signed
from tests.running import Server

# One kind is quick enough for every run of the tests. Varnish has no TLS.
KINDS = [(name, tls) for name in PROXIES for tls in (False, True) if (name, tls) != ("varnish", True)]
FRONTS = [
    pytest.param(kind, id=f"{kind[0]}-{'tls' if kind[1] else 'http'}", marks=pytest.mark.scenario if index else ())
    for index, kind in enumerate(KINDS)
]
TRUSTING = ssl.create_default_context()
TRUSTING.check_hostname = False
TRUSTING.verify_mode = ssl.CERT_NONE


class Front:
    """A proxy, and what a browser does through it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.http = httpx.AsyncClient(base_url=url, verify=TRUSTING, timeout=20)

    async def register(self) -> tuple[str, str]:
        """The id and the token of a new user."""
        body = {"username": "u" + uuid4().hex[:12], "password": "correct horse battery"}
        answer = (await self.http.post("/api/v1/auth/register", json=body)).raise_for_status().json()
        return answer["user"]["id"], answer["access_token"]

    async def post(self, token: str, path: str, body: dict[str, object]) -> dict[str, object]:
        headers = {"Authorization": f"Bearer {token}"}
        return dict((await self.http.post(f"/api/v1{path}", json=body, headers=headers)).raise_for_status().json())

    def socket(self, token: str, origin: str) -> connect:
        url = f"{self.url.replace('http', 'ws', 1)}/api/v1/ws/chat?token={token}"
        secure = TRUSTING if self.url.startswith("https") else None
        return connect(url, origin=origin, ssl=secure)  # type: ignore[arg-type]


@pytest.fixture(scope="module", params=FRONTS)
def url(request: pytest.FixtureRequest, server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    name, tls = request.param
    folder = tmp_path_factory.mktemp(name)
    certificate = self_signed(folder) if tls else None
    with running_proxy(name, Site(folder, free_port(), urlsplit(server.url).netloc, certificate)) as url:
        yield url


@pytest.fixture
async def front(url: str) -> AsyncIterator[Front]:
    front = Front(url)
    yield front
    await front.http.aclose()


async def test_a_page_of_this_origin_opens_a_socket(front: Front) -> None:
    """The port is part of the origin, and behind TLS the scheme."""
    (one, token), (other, _) = await front.register(), await front.register()
    conversation = await front.post(token, "/conversations", {"participant_ids": [other]})
    async with front.socket(token, front.url) as websocket:
        assert '"type":"hello"' in str(await websocket.recv())
        await front.post(token, f"/conversations/{conversation['id']}/messages", {"content": "through the proxy"})
        async with asyncio.timeout(10):
            assert "through the proxy" in str(await websocket.recv())
    assert one


@pytest.mark.parametrize("origin", ["http://elsewhere.example", "http://127.0.0.1", "null"])
async def test_a_page_of_another_origin_does_not(front: Front, origin: str) -> None:
    _, token = await front.register()
    with pytest.raises(InvalidStatus) as refused:
        await front.socket(token, origin)
    assert 403 == refused.value.response.status_code


async def test_the_stream_is_not_held_back(front: Front) -> None:
    _, author = await front.register()
    _, reader = await front.register()
    post = await front.post(author, "/posts", {"content": "a post"})
    async with front.http.stream("GET", f"/api/v1/notifications/stream?token={author}") as response:
        lines = response.aiter_lines()
        async with asyncio.timeout(5):
            while await anext(lines) != "event: hello":
                pass
        await front.post(reader, f"/posts/{post['id']}/comments", {"content": "a comment"})
        async with asyncio.timeout(5):
            while "NEW_COMMENT" not in await anext(lines):
                pass


async def test_a_body_that_is_too_large_gets_the_answer_of_loa(front: Front) -> None:
    answer = await front.http.post("/api/v1/auth/login", content=b"x" * 100_000)
    assert (413, "too_large") == (answer.status_code, answer.json()["code"])


@pytest.mark.parametrize("path", ["/metrics", "/status"])
async def test_the_pages_of_the_operator_are_closed(front: Front, path: str) -> None:
    assert 403 == (await front.http.get(path)).status_code


@asynccontextmanager
async def echo() -> AsyncIterator[tuple[str, asyncio.Queue[dict[str, list[str]]]]]:
    """An HTTP server that keeps the headers of each request."""
    heads: asyncio.Queue[dict[str, list[str]]] = asyncio.Queue()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
        head: dict[str, list[str]] = {}
        for line in lines:
            name, _, value = line.partition(":")
            head.setdefault(name.lower(), []).append(value.strip())
        if "x-probe" in head:
            heads.put_nowait(head)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}", heads


@pytest.mark.parametrize("kind", FRONTS)
async def test_only_the_entries_of_the_proxy_are_trusted(kind: tuple[str, bool], tmp_path: Path) -> None:
    """Entries that a client sends are replaced, or precede the entry of the proxy and are ignored."""
    name, tls = kind
    certificate = self_signed(tmp_path) if tls else None
    made_up = {
        "x-probe": "1",
        "X-Forwarded-For": "6.6.6.6",
        "X-Forwarded-Proto": "gopher",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Port": "666",
    }
    async with echo() as (upstream, heads):
        site = Site(tmp_path, free_port(), upstream, certificate)
        with running_proxy(name, site) as url:
            async with httpx.AsyncClient(verify=TRUSTING, timeout=20) as client:
                (await client.get(f"{url}/api/v1/probe", headers=made_up)).raise_for_status()
            head = await asyncio.wait_for(heads.get(), 5)
    sent = Header([(key, value) for key, values in head.items() for value in values])
    forwarded = parse_forwarded(sent, 1)
    assert "127.0.0.1" == forwarded["for"]
    assert forwarded.get("proto", "http") == ("https" if tls else "http")
    assert forwarded.get("host", head["host"][0]) == f"127.0.0.1:{site.port}"
    assert forwarded.get("port", site.port) == site.port
