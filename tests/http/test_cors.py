"""CORS: for the configured origins only."""

import pytest

from tests.http.conftest import ORIGIN, SIGNED_IN, build
from tests.rest import RestClient, serving

PREFLIGHT = {
    "Origin": ORIGIN,
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type,x-evil",
}


class TestAllowedOrigin:
    async def test_preflight_needs_no_token(self, client: RestClient) -> None:
        """The response lists the allowed headers and methods."""
        response = await client.options("/api/v1/parcels", headers=PREFLIGHT)
        assert 204 == response.status_code
        assert ORIGIN == response.headers["access-control-allow-origin"]
        assert {"authorization", "content-type"} == set(response.headers["access-control-allow-headers"].split(","))
        assert "POST" in response.headers["access-control-allow-methods"].split(",")
        assert "600" == response.headers["access-control-max-age"]

    async def test_response_is_readable(self, client: RestClient) -> None:
        """With its body and Retry-After."""
        response = await client.post("/api/v1/parcels", json={"label": "x"}, headers={**SIGNED_IN, "Origin": ORIGIN})
        assert ORIGIN == response.headers["access-control-allow-origin"]
        assert "origin" == response.headers["vary"].lower()
        assert "retry-after" in response.headers["access-control-expose-headers"].split(",")

    @pytest.mark.parametrize("path", ["/api/v1/parcels", "/nowhere"])
    async def test_error_is_readable(self, client: RestClient, path: str) -> None:
        """Otherwise a client could not tell a 401 from a network failure."""
        response = await client.post(path, json={}, headers={"Origin": ORIGIN})
        assert response.status_code in (401, 404)
        assert ORIGIN == response.headers["access-control-allow-origin"]

    async def test_a_cached_asset_can_be_used(self, client: RestClient) -> None:
        """A page imports the client library; a cache keeps its responses apart by encoding, too."""
        path, headers = "/docs/openapi.json", {"Origin": ORIGIN}
        first = await client.get(path, headers=headers)
        again = await client.get(path, headers=headers | {"If-None-Match": first.headers["etag"]})
        assert (200, 304) == (first.status_code, again.status_code)
        for response in (first, again):
            assert ORIGIN == response.headers["access-control-allow-origin"]
            assert "Accept-Encoding, Origin" == response.headers["vary"]

    async def test_credentials_are_not_allowed(self, client: RestClient) -> None:
        """No cookies are involved."""
        response = await client.options("/api/v1/parcels", headers=PREFLIGHT)
        assert "access-control-allow-credentials" not in response.headers


class TestOtherOrigin:
    @pytest.mark.parametrize(
        "origin",
        [
            "https://evil.example",
            "null",
            "https://front.example.evil.example",
            "https://frontxexample",
            "http://front.example",
            "https://front.example:8443",
        ],
    )
    async def test_gets_no_cors_headers(self, client: RestClient, origin: str) -> None:
        """Neither in a preflight nor in a response."""
        for response in (
            await client.options("/api/v1/parcels", headers=PREFLIGHT | {"Origin": origin}),
            await client.get("/api/v1/parcels", headers={"Origin": origin}),
        ):
            assert [] == [name for name in response.headers if name.startswith("access-control-allow-")]

    async def test_caches_keep_its_responses_apart(self, client: RestClient) -> None:
        """Otherwise a cache could hand a response without CORS headers to a page of an allowed origin."""
        for headers in ({}, {"Origin": "https://evil.example"}):
            assert "Origin" == (await client.get("/api/v1/parcels", headers=headers)).headers["vary"]

    async def test_no_cors_without_configured_origins(self) -> None:
        async with serving(build(allowed_origins=())) as client:
            response = await client.options("/api/v1/parcels", headers=PREFLIGHT)
        assert [] == [name for name in response.headers if name.startswith("access-control-")]
