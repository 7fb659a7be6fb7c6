"""What the browser is given, and what it is not."""

import asyncio
import gzip
import re
import socket

import httpx
import pytest

from service.web.routes import FOLDERS, ROOT
from tests.rest import RestClient

FILES = ["/app/main.js", "/app/css/tokens.css", "/app/icon.svg", "/app/messages/vi.json", "/client/package.json"]
PLAIN = {"Accept-Encoding": "identity"}


def policy(response: httpx.Response) -> dict[str, str]:
    directives = (directive.split(" ", 1) for directive in response.headers["content-security-policy"].split("; "))
    return {name: rest[0] if rest else "" for name, *rest in directives}


class TestPage:
    async def test_is_html(self, client: RestClient) -> None:
        """The address of the site alone is enough."""
        response = await client.get("/")
        assert 200 == response.status_code
        assert "text/html; charset=utf-8" == response.headers["content-type"]
        assert "<title>Loa</title>" in response.text

    async def test_names_all_its_modules(self, client: RestClient) -> None:
        """They come at once, and not each after the one that imports it."""
        named = set(re.findall(r'<link rel="modulepreload" href="/([^"]+)" />', (await client.get("/")).text))
        there = {file.relative_to(ROOT).as_posix() for folder in FOLDERS for file in (ROOT / folder).rglob("*.js")}
        assert there == named

    async def test_runs_only_what_is_ours(self, client: RestClient) -> None:
        """No inline script or style, no frame, no base, no form to elsewhere, and no string becomes markup."""
        directives = policy(await client.get("/"))
        assert "'self'" == directives["default-src"]
        assert "'self' https: http: data:" == directives["img-src"]
        assert "'none'" == directives["frame-ancestors"] == directives["base-uri"] == directives["object-src"]
        assert "'self'" == directives["form-action"]
        assert "'script'" == directives["require-trusted-types-for"]
        assert "unsafe" not in str(directives)

    async def test_has_no_inline_script_or_style(self) -> None:
        """The policy would stop them, and the page with them."""
        page = (ROOT / "app/index.html").read_text()
        assert "<style" not in page
        assert " style=" not in page
        assert page.count("<script") == page.count('<script type="module" src=')


class TestFile:
    @pytest.mark.parametrize(
        ("path", "kind"),
        [
            ("/app/main.js", "text/javascript; charset=utf-8"),
            ("/app/css/tokens.css", "text/css; charset=utf-8"),
            ("/app/icon.svg", "image/svg+xml"),
            ("/app/messages/en.json", "application/json"),
            ("/app/loa.webmanifest", "application/manifest+json"),
        ],
    )
    async def test_says_what_it_is(self, client: RestClient, path: str, kind: str) -> None:
        """A browser that may not guess runs no module that does not say that it is one."""
        response = await client.get(path)
        assert (200, kind) == (response.status_code, response.headers["content-type"])
        assert "nosniff" == response.headers["x-content-type-options"]

    @pytest.mark.parametrize("path", FILES)
    async def test_is_sent_as_it_is(self, client: RestClient, path: str) -> None:
        """Byte for byte, packed or not."""
        wanted = (ROOT / path.lstrip("/")).read_bytes()
        assert wanted == (await client.get(path, headers=PLAIN)).content
        packed = await client.get(path, headers={"Accept-Encoding": "gzip, br"})
        assert "gzip" == packed.headers["content-encoding"]
        assert wanted == packed.content
        assert int(packed.headers["content-length"]) == len(gzip.compress(wanted, mtime=0))

    async def test_is_asked_for_again_and_not_sent_again(self, client: RestClient) -> None:
        """After a deployment nobody runs an old module beside a new one; without one it costs a 304."""
        first = await client.get("/app/main.js")
        assert "no-cache" == first.headers["cache-control"]
        tag = first.headers["etag"]
        for known in (tag, f"W/{tag}", f'"other", {tag}'):
            again = await client.get("/app/main.js", headers={"If-None-Match": known})
            assert (304, b"", tag) == (again.status_code, again.content, again.headers["etag"])
        assert 200 == (await client.get("/app/main.js", headers={"If-None-Match": '"other"'})).status_code

    async def test_has_a_tag_for_each_form(self, client: RestClient) -> None:
        """A cache must not take the packed bytes for the plain ones."""
        packed = await client.get("/app/main.js", headers={"Accept-Encoding": "gzip"})
        plain = await client.get("/app/main.js", headers=PLAIN)
        assert packed.headers["etag"] != plain.headers["etag"]
        assert "Accept-Encoding" == plain.headers["vary"]

    @pytest.mark.parametrize("path", ["/", "/app/main.js"])
    async def test_has_a_head(self, client: RestClient, path: str) -> None:
        """The same headers, and nothing after them."""
        whole, head = await client.get(path), await client.head(path)
        assert (200, b"") == (head.status_code, head.content)
        for name in ("content-type", "etag", "cache-control", "content-security-policy"):
            assert whole.headers[name] == head.headers[name]

    @pytest.mark.parametrize(
        "path",
        [
            "/app/../routes.py",
            "/app/%2e%2e/routes.py",
            "/app/..%2froutes.py",
            "/app/..\\routes.py",
            "/app/%00main.js",
            "/app//etc/passwd",
            "/client/../../../etc/passwd",
            "/app/./main.js",
            "/app/messages",
            "/app/",
            "/app/nothing.js",
            "/appmain.js",
            "/web/routes.py",
        ],
    )
    async def test_is_one_of_those_known(self, client: RestClient, path: str) -> None:
        """Whatever way a path takes, it leads to no other file. It is written to the wire as it is."""
        with socket.create_connection((client.host, client.port)) as connection:
            connection.setblocking(False)
            head = await exchange(connection, f"GET {path} HTTP/1.1\r\nHost: loa\r\nConnection: close\r\n\r\n")
        assert head.split(b" ")[1] in (b"404", b"400")

    async def test_is_not_in_the_document(self, client: RestClient) -> None:
        """The API's description is of the API."""
        assert {} == (await client.get("/docs/openapi.json")).json()["paths"]


async def exchange(connection: socket.socket, request: str) -> bytes:
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(connection, request.encode())
    return await loop.sock_recv(connection, 4096)
