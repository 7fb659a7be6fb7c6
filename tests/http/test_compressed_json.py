"""JSON responses are compressed if they are long, the client accepts that, and they have no secret."""

import httpx
import pytest

from service.common import deflate
from service.http.content_coding import accepted
from tests.http.conftest import ORIGIN, build
from tests.rest import RestClient, serving

LONG = "all of them " * (deflate.MIN_BYTES // 10)


async def find(client: RestClient, text: str, accept: str = "gzip, br", path: str = "") -> httpx.Response:
    headers = {"Accept-Encoding": accept}
    return await client.get(f"/api/v1/parcels{path}", params={"query": text}, headers=headers)


async def test_a_long_response_is_compressed(client: RestClient) -> None:
    plain = await find(client, LONG, "identity")
    compressed = await find(client, LONG)
    assert (None, "gzip") == tuple(each.headers.get("content-encoding") for each in (plain, compressed))
    assert plain.json() == compressed.json()
    sizes = [int(each.headers["content-length"]) for each in (plain, compressed)]
    assert sizes[0] == len(plain.content) > 5 * sizes[1]
    # For caches: the plain one depends on the request, too.
    assert all("Accept-Encoding, Origin" == each.headers["vary"] for each in (plain, compressed))


async def test_without_cors_it_varies_with_the_coding_alone() -> None:
    async with serving(build(allowed_origins=())) as client:
        assert "Accept-Encoding" == (await find(client, LONG)).headers["vary"]


async def test_a_short_one_is_not(client: RestClient) -> None:
    response = await find(client, "few")
    assert "content-encoding" not in response.headers
    assert "Origin" == response.headers["vary"]


async def test_one_with_a_secret_is_not(client: RestClient) -> None:
    """Its length would tell whether what others choose is like the secret."""
    response = await find(client, LONG, path="/claim")
    assert LONG == response.json()["label"]
    assert "content-encoding" not in response.headers


async def test_a_head_is_not(client: RestClient) -> None:
    url = "/api/v1/parcels/claim"
    response = await client.head(url, params={"query": LONG}, headers={"Accept-Encoding": "gzip", "Origin": ORIGIN})
    assert (200, None) == (response.status_code, response.headers.get("content-encoding"))


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", set()),
        ("identity", set()),
        ("gzip", {"gzip"}),
        ("GZIP;q=1.0 , br ; q=0.5", {"gzip", "br"}),
        ("gzip;q=0, br", {"br"}),
        ("gzip;q=0.000", set()),
        ("*", {"gzip", "br"}),
        ("gzip;q=0, *", {"br"}),
        ("*;q=0", set()),
        ("gzip;q=high", set()),
        (",,;=;", set()),
        ("xgzip, zstd", set()),
    ],
)
def test_the_header_says_which_codings_are_accepted(header: str, expected: set[str]) -> None:
    """RFC 9110, 12.5.3."""
    assert expected == accepted(header)
