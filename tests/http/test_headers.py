"""What every answer carries."""

import pytest

from tests.http.conftest import SIGNED_IN
from tests.rest import RestClient


class TestEveryAnswer:
    @pytest.mark.parametrize(
        "path", ["/api/v1/parcels", "/api/v1/parcels/stream", "/nowhere", "/docs", "/docs/openapi.json"]
    )
    async def test_is_not_made_more_of_than_it_is(self, client: RestClient, path: str) -> None:
        """No guessing of types, no referrer with a token in it, no frame around it; refusals too."""
        headers = (await client.get(path)).headers
        assert "nosniff" == headers["x-content-type-options"]
        assert "no-referrer" == headers["referrer-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]

    async def test_of_the_api_is_not_stored(self, client: RestClient) -> None:
        """It is its caller's alone; tokens are among them."""
        response = await client.post("/api/v1/parcels", json={"label": "x"}, headers=SIGNED_IN)
        assert "no-store" == response.headers["cache-control"]

    async def test_keeps_what_the_handler_says(self, client: RestClient) -> None:
        """A handler knows better."""
        assert "max-age=5" == (await client.get("/api/v1/cached")).headers["cache-control"]

    async def test_elsewhere_may_be_stored(self, client: RestClient) -> None:
        """The document is the same for all."""
        assert "cache-control" not in (await client.get("/docs/openapi.json")).headers
