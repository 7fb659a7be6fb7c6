"""The browser app's page and static files."""

import asyncio
import re
import socket

import httpx
import pytest

from service.common.text import reaction
from service.web.routes import FOLDERS, ROOT
from tests.rest import RestClient

FILES = ["/app/main.js", "/app/css/tokens.css", "/app/icon.svg", "/app/messages/vi.json", "/client/package.json"]
UNCOMPRESSED = {"Accept-Encoding": "identity"}


def policy(response: httpx.Response) -> dict[str, str]:
    directives = (directive.split(" ", 1) for directive in response.headers["content-security-policy"].split("; "))
    return {name: rest[0] if rest else "" for name, *rest in directives}


class TestPage:
    async def test_root_serves_the_page(self, client: RestClient) -> None:
        response = await client.get("/")
        assert 200 == response.status_code
        assert "text/html; charset=utf-8" == response.headers["content-type"]
        assert "<title>Loa</title>" in response.text

    async def test_loads_one_script_and_one_stylesheet(self, client: RestClient) -> None:
        """A first visit on a slow line would otherwise wait for over a hundred requests."""
        page = (await client.get("/")).text
        assert 1 == page.count("<script ") == page.count('rel="stylesheet"')
        assert "modulepreload" not in page

    async def test_for_developers_it_preloads_every_module(self, client: RestClient) -> None:
        """Otherwise the browser would discover nested imports one level after the other."""
        page = (await client.get("/?modules")).text
        assert '<script type="module" src="/app/main.js">' in page
        preloaded = set(re.findall(r'<link rel="modulepreload" href="/([^"]+)" />', page))
        existing = {file.relative_to(ROOT).as_posix() for folder in FOLDERS for file in (ROOT / folder).rglob("*.js")}
        assert existing == preloaded

    async def test_content_security_policy_allows_only_own_scripts(self, client: RestClient) -> None:
        """It also forbids inline code, frames, `<base>`, foreign form targets, and markup from strings."""
        directives = policy(await client.get("/"))
        assert "'self'" == directives["default-src"]
        assert "'self' https: blob:" == directives["img-src"]
        assert "'none'" == directives["frame-ancestors"] == directives["base-uri"] == directives["object-src"]
        assert "'self'" == directives["form-action"]
        assert "'script'" == directives["require-trusted-types-for"]
        assert "unsafe" not in str(directives)

    async def test_has_no_inline_script_or_style(self) -> None:
        """The content security policy would block them."""
        page = (ROOT / "app/index.html").read_text()
        assert "<style" not in page
        assert " style=" not in page
        assert page.count("<script") == page.count('<script type="module" src=')


class TestBundle:
    @staticmethod
    async def paths(client: RestClient) -> tuple[str, str]:
        """Return the paths of the script and of the sheet that the page loads."""
        sheet, script = re.findall(r'"(/bundle/[^"]+/app[^"]+)"', (await client.get("/")).text)
        return script, sheet

    async def test_is_cached_for_good(self, client: RestClient) -> None:
        """Its URL changes with its content, so a second visit requests only the page (RFC 8246)."""
        for path in await self.paths(client):
            response = await client.get(path)
            assert 200 == response.status_code
            assert "public, max-age=31536000, immutable" == response.headers["cache-control"]

    async def test_of_another_version_is_not_stored(self, client: RestClient) -> None:
        """During a deployment, a process may be asked for the bundle that another version's page names."""
        script, _ = await self.paths(client)
        other = await client.get(f"/bundle/{'0' * 32}/app.js")
        assert (200, "no-store") == (other.status_code, other.headers["cache-control"])
        assert (await client.get(script)).content == other.content

    async def test_what_is_loaded_later_belongs_to_one_version(self, client: RestClient) -> None:
        """It uses the modules of the script that loads it."""
        script, _ = await self.paths(client)
        (later,) = re.findall(r"`(/bundle/\w+/later\.js)\?", (await client.get(script)).text)
        assert "immutable" in (await client.get(f"{later}?0")).headers["cache-control"]
        assert 404 == (await client.get(f"/bundle/{'0' * 32}/later.js")).status_code

    async def test_the_emoji_are_cached_for_good_and_all_of_them_are_reactions(self, client: RestClient) -> None:
        (path,) = re.findall(r'name="loa:emoji" content="([^"]+)"', (await client.get("/")).text)
        response = await client.get(path)
        assert "immutable" in response.headers["cache-control"]
        emoji = [row[0] for group in response.json()["groups"] for row in group["emoji"]]
        assert [] == [text for text in emoji if reaction(text) is None]
        assert 1900 < len(emoji)

    async def test_stylesheets_keep_their_order(self, client: RestClient) -> None:
        """A later rule wins over an earlier one of the same weight."""
        _, sheet = await self.paths(client)
        names = re.findall(r'href="/app/css/([^"]+)"', (ROOT / "app/index.html").read_text())
        assert "".join((ROOT / "app/css" / name).read_text() for name in names) == (await client.get(sheet)).text

    async def test_other_names_are_not_found(self, client: RestClient) -> None:
        script, _ = await self.paths(client)
        for path in ("/bundle/", "/bundle/app.js", script.replace("app.js", "main.js"), f"{script}/x"):
            assert 404 == (await client.get(path)).status_code, path


class TestFile:
    @pytest.mark.parametrize(
        ("path", "content_type"),
        [
            ("/app/main.js", "text/javascript; charset=utf-8"),
            ("/app/css/tokens.css", "text/css; charset=utf-8"),
            ("/app/icon.svg", "image/svg+xml"),
            ("/app/messages/en.json", "application/json"),
            ("/app/loa.webmanifest", "application/manifest+json"),
        ],
    )
    async def test_has_a_content_type(self, client: RestClient, path: str, content_type: str) -> None:
        """With `nosniff`, a browser runs a module only if it has a JavaScript content type."""
        response = await client.get(path)
        assert (200, content_type) == (response.status_code, response.headers["content-type"])
        assert "nosniff" == response.headers["x-content-type-options"]

    @pytest.mark.parametrize("path", FILES)
    async def test_content_is_unchanged_in_each_coding(self, client: RestClient, path: str) -> None:
        expected = (ROOT / path.lstrip("/")).read_bytes()
        assert expected == (await client.get(path, headers=UNCOMPRESSED)).content
        sizes = []
        for accept, coding in (("gzip", "gzip"), ("gzip, br", "br"), ("br;q=0, *;q=0.1", "gzip")):
            coded = await client.get(path, headers={"Accept-Encoding": accept})
            assert coding == coded.headers["content-encoding"]
            assert expected == coded.content
            sizes.append(int(coded.headers["content-length"]))
        assert len(expected) > sizes[0] == sizes[2] > sizes[1]

    async def test_is_revalidated_with_its_etag(self, client: RestClient) -> None:
        """A page never mixes modules of two deployments; an unchanged file costs a 304."""
        first = await client.get("/app/main.js")
        assert "no-cache" == first.headers["cache-control"]
        etag = first.headers["etag"]
        for value in (etag, f"W/{etag}", f'"other", {etag}'):
            again = await client.get("/app/main.js", headers={"If-None-Match": value})
            assert (304, b"", etag) == (again.status_code, again.content, again.headers["etag"])
        assert 200 == (await client.get("/app/main.js", headers={"If-None-Match": '"other"'})).status_code

    async def test_has_an_etag_per_encoding(self, client: RestClient) -> None:
        """A cache must not mistake the compressed bytes for the plain ones."""
        gzipped = await client.get("/app/main.js", headers={"Accept-Encoding": "gzip"})
        plain = await client.get("/app/main.js", headers=UNCOMPRESSED)
        assert gzipped.headers["etag"] != plain.headers["etag"]
        assert "Accept-Encoding" == plain.headers["vary"]

    @pytest.mark.parametrize("path", ["/", "/app/main.js"])
    async def test_head_returns_the_headers_of_get(self, client: RestClient, path: str) -> None:
        get, head = await client.get(path), await client.head(path)
        assert (200, b"") == (head.status_code, head.content)
        for name in ("content-type", "etag", "cache-control", "content-security-policy"):
            assert get.headers[name] == head.headers[name]

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
    async def test_other_paths_are_not_found(self, client: RestClient, path: str) -> None:
        """Path traversal reaches no other file. The request is sent raw: an HTTP client would normalise the path."""
        with socket.create_connection((client.host, client.port)) as connection:
            connection.setblocking(False)
            head = await exchange(connection, f"GET {path} HTTP/1.1\r\nHost: loa\r\nConnection: close\r\n\r\n")
        assert head.split(b" ")[1] in (b"404", b"400")

    async def test_routes_are_not_in_the_openapi_document(self, client: RestClient) -> None:
        assert {} == (await client.get("/docs/openapi.json")).json()["paths"]


class TestUnknownUrl:
    NAVIGATION = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"

    @pytest.mark.parametrize("path", ["/settings", "/app/nothing", "/client", "/index.html", "/a/b?c=d"])
    async def test_a_browser_gets_a_page(self, client: RestClient, path: str) -> None:
        response = await client.get(path, headers={"Accept": self.NAVIGATION})
        assert (404, "text/html; charset=utf-8") == (response.status_code, response.headers["content-type"])
        assert "Page not found" in response.text
        assert "'self'" == policy(response)["default-src"]
        assert "Accept" in response.headers["vary"]

    @pytest.mark.parametrize("accept", ["*/*", "application/json", "image/avif,*/*;q=0.8", "text/html;q=0, */*", ""])
    async def test_other_clients_get_a_problem_document(self, client: RestClient, accept: str) -> None:
        response = await client.get("/settings", headers={"Accept": accept})
        assert "application/problem+json" == response.headers["content-type"]
        assert (404, "not_found") == (response.status_code, response.json()["code"])

    @pytest.mark.parametrize(("method", "path"), [("get", "/api/v1/nothing"), ("post", "/settings")])
    async def test_the_api_and_other_methods_get_a_problem_document(
        self, client: RestClient, method: str, path: str
    ) -> None:
        response = await getattr(client, method)(path, headers={"Accept": self.NAVIGATION})
        assert (404, "application/problem+json") == (response.status_code, response.headers["content-type"])

    async def test_the_page_needs_nothing_that_the_policy_forbids(self) -> None:
        page = (ROOT / "app/not-found.html").read_text()
        assert not re.search(r"<script|<style| style=", page)
        for path in re.findall(r'href="/([^"]+)"', page):
            assert (ROOT / path).exists()


async def exchange(connection: socket.socket, request: str) -> bytes:
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(connection, request.encode())
    return await loop.sock_recv(connection, 4096)
