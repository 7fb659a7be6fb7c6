"""Downloads: who may, and how."""

from functools import partial

import pytest
from bson import ObjectId

from config.settings import Settings
from service.accounts.passwords import Passwords
from service.app import create_app
from service.attachments import routes
from service.attachments.storage import PIECE
from service.datastores.mongo import Mongo
from service.stores import Stores
from tests.attachments.conftest import encoded, photo, upload
from tests.notifications.api_user import ApiUser
from tests.rest import RestClient, serving


def path(attachment: dict[str, str]) -> str:
    return f"/attachments/{attachment['id']}"


async def test_a_file_is_read_by_its_url_or_by_its_uploader(client: RestClient) -> None:
    """Nobody else reads it before it is used."""
    user, other = await ApiUser.register(client), await ApiUser.register(client)
    attachment = await upload(user, encoded(photo(), "PNG"))
    assert 200 == (await client.get(attachment["url"])).status_code
    assert 200 == (await client.get(attachment["thumbnail_url"])).status_code
    for part in ("", "/thumbnail"):
        assert 200 == (await user.request("get", path(attachment) + part)).status_code
        assert 404 == (await other.request("get", path(attachment) + part)).status_code
        assert 401 == (await client.get("/api/v1" + path(attachment) + part)).status_code


@pytest.mark.parametrize(
    "change", ["expires=1", "expires=x", "expires=", "signature=", "signature=AAAA", "id", "more=1"]
)
async def test_a_forged_url_opens_nothing(client: RestClient, change: str) -> None:
    user = await ApiUser.register(client)
    url = (await upload(user, b"x"))["url"]
    name, _, value = change.partition("=")
    parameters = dict(part.split("=", 1) for part in url.partition("?")[2].split("&"))
    if name == "id":
        url = url.replace(url.split("/")[4].partition("?")[0], str(ObjectId()))
    elif name == "more":
        url += "&more=1"
    else:
        url = url.partition("?")[0] + "?" + "&".join(f"{k}={v}" for k, v in (parameters | {name: value}).items())
    assert (422 if name == "more" else 401) == (await client.get(url)).status_code


async def test_no_browser_runs_it(client: RestClient) -> None:
    user = await ApiUser.register(client)
    page = await client.get((await upload(user, b"<script>alert(1)</script>", "Trang.html"))["url"])
    assert "nosniff" == page.headers["x-content-type-options"]
    assert "sandbox" == page.headers["content-security-policy"]
    assert "private, max-age=3600, immutable" == page.headers["cache-control"]
    assert 'attachment; filename="Trang.html"' == page.headers["content-disposition"]
    assert "text/plain; charset=utf-8" == page.headers["content-type"]
    image = await client.get((await upload(user, encoded(photo(), "PNG"), "Ảnh.png"))["url"])
    assert image.headers["content-disposition"].startswith("inline; ")
    assert "sandbox" == image.headers["content-security-policy"]


async def test_a_part_is_read_by_range(client: RestClient) -> None:
    """Also across the chunks in which it is stored."""
    user = await ApiUser.register(client)
    content = bytes(range(256)) * 3000
    url = (await upload(user, content))["url"]
    whole = await client.get(url)
    assert (200, content, "bytes", str(len(content))) == (
        whole.status_code,
        whole.content,
        whole.headers["accept-ranges"],
        whole.headers["content-length"],
    )
    for header, start, end in (
        ("bytes=0-0", 0, 1),
        (f"bytes={PIECE - 1}-{PIECE}", PIECE - 1, PIECE + 1),
        (f"bytes={PIECE - 5}-", PIECE - 5, len(content)),
        ("bytes=-10", len(content) - 10, len(content)),
    ):
        response = await client.get(url, headers={"Range": header})
        assert (206, content[start:end]) == (response.status_code, response.content)
        assert f"bytes {start}-{end - 1}/{len(content)}" == response.headers["content-range"]
    behind = await client.get(url, headers={"Range": f"bytes={len(content)}-"})
    assert (416, f"bytes */{len(content)}") == (behind.status_code, behind.headers["content-range"])
    assert "range_not_satisfiable" == behind.json()["code"]
    etag = whole.headers["etag"]
    # Compared strongly (RFC 9110, 13.1.5).
    for condition, status in ((etag, 206), (f"W/{etag}", 200), ('"other"', 200)):
        headers = {"Range": "bytes=0-0", "If-Range": condition}
        assert status == (await client.get(url, headers=headers)).status_code


async def test_a_file_that_the_client_has_is_not_sent_again(client: RestClient) -> None:
    user = await ApiUser.register(client)
    url = (await upload(user, b"x"))["url"]
    etag = (await client.get(url)).headers["etag"]
    for known in (f'"other", {etag}', f"W/{etag}", "*"):
        response = await client.get(url, headers={"If-None-Match": known})
        assert (304, b"", etag) == (response.status_code, response.content, response.headers["etag"])
    assert 200 == (await client.get(url, headers={"If-None-Match": '"other"'})).status_code


async def test_head_has_the_headers_only(client: RestClient) -> None:
    user = await ApiUser.register(client)
    url = (await upload(user, b"xyz"))["url"]
    response = await client.head(url)
    assert (200, "3", b"") == (response.status_code, response.headers["content-length"], response.content)


async def test_the_downloads_of_one_client_are_limited(
    settings: Settings, mongo: Mongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By token and by signed URL: one that reads slowly leaves slots for others."""
    monkeypatch.setattr("service.services.Passwords", partial(Passwords, time_cost=1, memory_cost=64))
    monkeypatch.setattr(routes, "MAX_DOWNLOADS_PER_CLIENT", 0)
    await Stores.build(mongo.database).create_indexes()
    async with serving(create_app(settings=settings.model_copy(update={"rate_limits": "on"}))) as client:
        user = await ApiUser.register(client)
        attachment = await upload(user, b"xyz")
        assert 429 == (await user.request("get", path(attachment))).status_code
        assert 429 == (await client.get(attachment["url"])).status_code
        assert 200 == (await client.head(attachment["url"])).status_code


async def test_what_has_lost_its_bytes_is_not_found(client: RestClient, emptied: Mongo) -> None:
    user = await ApiUser.register(client)
    url = (await upload(user, b"xyz"))["url"]
    await emptied.database["attachments.chunks"].delete_many({})
    assert 404 == (await client.get(url)).status_code
    assert 404 == (await client.get(f"{url.partition('/thumbnail')[0]}".replace("?", "/thumbnail?"))).status_code
