"""Headers of every response."""

import pytest

from tests.http.conftest import SIGNED_IN
from tests.rest import RestClient


class TestEveryResponse:
    @pytest.mark.parametrize(
        "path", ["/api/v1/parcels", "/api/v1/parcels/stream", "/nowhere", "/docs", "/docs/openapi.json"]
    )
    async def test_has_security_headers(self, client: RestClient, path: str) -> None:
        """No content sniffing, no referrer and no framing; also for errors."""
        headers = (await client.get(path)).headers
        assert "nosniff" == headers["x-content-type-options"]
        assert "no-referrer" == headers["referrer-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]

    async def test_of_the_api_is_not_cached(self, client: RestClient) -> None:
        """It is for its caller only, and may contain tokens."""
        response = await client.post("/api/v1/parcels", json={"label": "x"}, headers=SIGNED_IN)
        assert "no-store" == response.headers["cache-control"]

    async def test_keeps_headers_of_the_handler(self, client: RestClient) -> None:
        assert "max-age=5" == (await client.get("/api/v1/cached")).headers["cache-control"]

    async def test_outside_the_api_may_be_cached(self, client: RestClient) -> None:
        """The document is the same for everybody; a browser asks whether it has changed."""
        assert "no-cache" == (await client.get("/docs/openapi.json")).headers["cache-control"]
