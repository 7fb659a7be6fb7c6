"""The operator's status page: who gets what of it."""

import httpx
import pytest

from config.settings import Settings
from service.app import create_app
from service.datastores.mongo import Mongo
from tests.rest import RestClient, forget_documents, serving

TOKEN = "open-sesame-and-quickly"
PATHS = ("/status", "/status/status.js", "/status/metrics.json")


def authorization(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def test_without_a_token_set_there_is_no_such_page(settings: Settings, mongo: Mongo) -> None:
    """Nor a part of it, whatever is shown."""
    forget_documents()
    async with serving(create_app(settings=settings)) as client:
        for path in PATHS:
            for token in ("None", TOKEN):
                assert 404 == (await client.get(path, headers=authorization(token))).status_code


@pytest.fixture
def guarded(settings: Settings, mongo: Mongo) -> Settings:
    return settings.model_copy(update={"status_token": TOKEN})


async def test_it_shows_its_numbers_to_who_has_the_token(guarded: Settings) -> None:
    """Those of the metrics, and never stored on the way."""
    forget_documents()
    async with serving(create_app(settings=guarded)) as client:
        await client.get("/healthz")
        answer = await client.get("/status/metrics.json", headers=authorization(TOKEN))
        assert (200, "no-store") == (answer.status_code, answer.headers["cache-control"])
        samples = answer.json()["samples"]
        counted = {"method": "GET", "route": "/healthz", "status": "200"}
        assert {
            "metric": "loa_http_requests",
            "name": "loa_http_requests_total",
            "labels": counted,
            "value": 1.0,
        } in samples
        assert [1.0] == [sample["value"] for sample in samples if sample["name"] == "loa_bus_connected"]

        refused = [
            await client.get("/status/metrics.json"),
            await client.get(f"/status/metrics.json?token={TOKEN}"),
            *[
                await client.get("/status/metrics.json", headers=[(b"Authorization", b"Bearer " + token)])
                for token in (TOKEN[:-1].encode(), TOKEN.encode() + b"x", TOKEN.upper().encode(), b"\xe1\xba\xbf")
            ],
        ]
        codes = [(answer.status_code, answer.json()["code"]) for answer in refused]
        assert [(401, "token_missing")] * 2 + [(401, "token_invalid")] * 4 == codes

        await check_parts(client)
        assert 404 == (await client.get("/status/routes.py")).status_code
        assert 404 == (await client.get("/status/..%2Froutes.py")).status_code


async def check_parts(client: RestClient) -> None:
    """The page runs only what is ours, from files, and names nothing that is not there."""
    page: httpx.Response = await client.get("/status")
    policy = page.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "require-trusted-types-for 'script'" in policy
    assert "unsafe" not in policy
    assert "<style" not in page.text
    assert " style=" not in page.text
    assert page.text.count("<script") == page.text.count('<script type="module" src=') == 1
    for part in ("status.js", "chart.js", "samples.js", "status.css"):
        assert 200 == (await client.get(f"/status/{part}")).status_code


async def test_guessing_is_slowed_down(guarded: Settings) -> None:
    """Per address; who has the token is not kept out by it."""
    forget_documents()
    async with serving(create_app(settings=guarded)) as client:
        statuses = {
            (await client.get("/status/metrics.json", headers=authorization(f"guess-number-{n}"))).status_code
            for n in range(250)
        }
        assert {401, 429} == statuses
        assert 200 == (await client.get("/status/metrics.json", headers=authorization(TOKEN))).status_code
