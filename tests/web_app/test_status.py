"""The status page: access and headers."""

import httpx
import pytest

from config.settings import Settings
from service.app import create_app
from service.datastores.mongo import Mongo
from tests.rest import RestClient, serving

TOKEN = "open-sesame-and-quickly"
PATHS = ("/status", "/status/status.js", "/status/metrics.json")


def authorization(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def test_page_does_not_exist_unless_a_token_is_set(settings: Settings, mongo: Mongo) -> None:
    """Nor do its files, with whatever token a request has."""
    async with serving(create_app(settings=settings)) as client:
        for path in PATHS:
            for token in ("None", TOKEN):
                assert 404 == (await client.get(path, headers=authorization(token))).status_code


@pytest.fixture
def settings_with_token(settings: Settings, mongo: Mongo) -> Settings:
    return settings.model_copy(update={"status_token": TOKEN})


async def test_metrics_require_the_token(settings_with_token: Settings) -> None:
    """The page and its files are public; the metrics are never cached."""
    async with serving(create_app(settings=settings_with_token)) as client:
        await client.get("/healthz")
        response = await client.get("/status/metrics.json", headers=authorization(TOKEN))
        assert (200, "no-store") == (response.status_code, response.headers["cache-control"])
        samples = response.json()["samples"]
        labels = {"method": "GET", "route": "/healthz", "status": "200"}
        assert {
            "metric": "loa_http_requests",
            "name": "loa_http_requests_total",
            "labels": labels,
            "value": 1.0,
        } in samples
        assert [1.0] == [sample["value"] for sample in samples if sample["name"] == "loa_bus_connected"]

        rejected = [
            await client.get("/status/metrics.json"),
            await client.get(f"/status/metrics.json?token={TOKEN}"),
            *[
                await client.get("/status/metrics.json", headers=[(b"Authorization", b"Bearer " + token)])
                for token in (TOKEN[:-1].encode(), TOKEN.encode() + b"x", TOKEN.upper().encode(), b"\xe1\xba\xbf")
            ],
        ]
        codes = [(response.status_code, response.json()["code"]) for response in rejected]
        assert [(401, "token_missing")] * 2 + [(401, "token_invalid")] * 4 == codes

        await check_files(client)
        assert 404 == (await client.get("/status/routes.py")).status_code
        assert 404 == (await client.get("/status/..%2Froutes.py")).status_code


async def check_files(client: RestClient) -> None:
    """Assert that the page has a strict content security policy, no inline code, and that its files exist."""
    page: httpx.Response = await client.get("/status")
    policy = page.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "require-trusted-types-for 'script'" in policy
    assert "unsafe" not in policy
    assert "<style" not in page.text
    assert " style=" not in page.text
    assert page.text.count("<script") == page.text.count('<script type="module" src=') == 1
    for name in ("status.js", "chart.js", "samples.js", "status.css"):
        assert 200 == (await client.get(f"/status/{name}")).status_code


async def test_guessing_the_token_is_rate_limited(settings_with_token: Settings) -> None:
    """Requests with the right token are not limited."""
    async with serving(create_app(settings=settings_with_token)) as client:
        statuses = {
            (await client.get("/status/metrics.json", headers=authorization(f"guess-number-{n}"))).status_code
            for n in range(250)
        }
        assert {401, 429} == statuses
        assert 200 == (await client.get("/status/metrics.json", headers=authorization(TOKEN))).status_code
