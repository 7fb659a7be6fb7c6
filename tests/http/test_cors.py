"""Cross-origin requests: allowed for the origins that the operator names, and for nobody else."""

import pytest

from tests.http.conftest import ORIGIN, SIGNED_IN, build
from tests.rest import RestClient, serving

PREFLIGHT = {
    "Origin": ORIGIN,
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type,x-evil",
}


class TestAllowedOrigin:
    async def test_may_ask_first(self, client: RestClient) -> None:
        """The preflight says what the request may have; no token is needed for it."""
        response = await client.options("/api/v1/parcels", headers=PREFLIGHT)
        assert 204 == response.status_code
        assert ORIGIN == response.headers["access-control-allow-origin"]
        assert {"authorization", "content-type"} == set(response.headers["access-control-allow-headers"].split(","))
        assert "POST" in response.headers["access-control-allow-methods"].split(",")
        assert "600" == response.headers["access-control-max-age"]

    async def test_may_read_the_answer(self, client: RestClient) -> None:
        """Its body, and when to come back."""
        response = await client.post("/api/v1/parcels", json={"label": "x"}, headers={**SIGNED_IN, "Origin": ORIGIN})
        assert ORIGIN == response.headers["access-control-allow-origin"]
        assert "origin" == response.headers["vary"].lower()
        assert "retry-after" in response.headers["access-control-expose-headers"].split(",")

    @pytest.mark.parametrize("path", ["/api/v1/parcels", "/nowhere"])
    async def test_may_read_a_refusal(self, client: RestClient, path: str) -> None:
        """Or a client could not tell 401 from a broken network."""
        response = await client.post(path, json={}, headers={"Origin": ORIGIN})
        assert response.status_code in (401, 404)
        assert ORIGIN == response.headers["access-control-allow-origin"]

    async def test_gets_no_credentials(self, client: RestClient) -> None:
        """A browser that adds cookies of its own accord is not what we ask for."""
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
    async def test_is_told_nothing(self, client: RestClient, origin: str) -> None:
        """No header of CORS, neither before nor with the answer."""
        for response in (
            await client.options("/api/v1/parcels", headers=PREFLIGHT | {"Origin": origin}),
            await client.get("/api/v1/parcels", headers={"Origin": origin}),
        ):
            assert [] == [name for name in response.headers if name.startswith("access-control-allow-")]

    async def test_has_no_wildcard_by_default(self) -> None:
        """Without configured origins there is no CORS at all."""
        async with serving(build(allowed_origins=())) as client:
            response = await client.options("/api/v1/parcels", headers=PREFLIGHT)
        assert [] == [name for name in response.headers if name.startswith("access-control-")]
