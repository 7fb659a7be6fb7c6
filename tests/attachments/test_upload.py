"""Uploads: streamed, detected, processed, limited."""

import asyncio
import io
import json
from collections.abc import AsyncIterator

import pytest
from PIL import Image

from service.attachments import routes
from service.attachments.transfer_slots import TransferSlots
from service.common.errors import RateLimited, Unavailable
from service.datastores.mongo import Mongo
from tests.attachments.conftest import MAX_BYTES, encoded, photo, upload
from tests.notifications.api_user import ApiUser
from tests.rest import RestClient

EXIF = Image.Exif()
EXIF[0x0112] = 6
"""Orientation: turned by 90 degrees."""
EXIF[0x010E] = "SECRET PLACE"
XMP = b"<x:xmpmeta>SECRET PLACE</x:xmpmeta>"


async def test_a_file_is_stored_and_described(client: RestClient) -> None:
    user = await ApiUser.register(client)
    attachment = await upload(user, b"Hello\n", "a/b\u202e.txt")
    assert {"name": "a_b.txt", "content_type": "text/plain; charset=utf-8", "size": 6} == {
        name: attachment[name] for name in ("name", "content_type", "size")
    }
    assert [None] * 3 == [attachment[name] for name in ("width", "height", "thumbnail_url")]
    assert b"Hello\n" == (await client.get(attachment["url"])).content


async def test_an_image_is_described_by_its_owner_before_it_is_used(client: RestClient) -> None:
    user, other = await ApiUser.register(client), await ApiUser.register(client)
    attachment = await upload(user, encoded(photo(), "PNG"))
    assert attachment["description"] is None
    path = f"/attachments/{attachment['id']}"
    await other.call("patch", path, 404, json={"description": "Mine"})
    for text in ("x" * 251, "\0", "\u200b"):
        await user.call("patch", path, 422, json={"description": text})
    other_file = f"/attachments/{(await upload(user, b'x'))['id']}"
    problem = await user.call("patch", other_file, 422, json={"description": "A text"})
    assert [{"field": "description", "message": "Only an image has a description."}] == problem["errors"]
    await other.call("patch", other_file, 404, json={"description": "A text"})
    for text, stored in ((" Red ", "Red"), (" ", None), ("Red and blue", "Red and blue")):
        assert stored == (await user.call("patch", path, 200, json={"description": text}))["description"]
    post = await user.call("post", "/posts", 201, json={"content": "", "attachments": [attachment["id"]]})
    await user.call("patch", path, 404, json={"description": "Green"})
    shown = (await other.call("get", f"/posts/{post['id']}", 200))["attachments"]
    assert ["Red and blue"] == [each["description"] for each in shown]


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {"exif": EXIF, "comment": b"SECRET PLACE", "xmp": XMP}),
        ("PNG", {"exif": EXIF}),
        ("WEBP", {"exif": EXIF, "xmp": XMP}),
        ("AVIF", {"exif": EXIF, "xmp": XMP}),
    ],
)
async def test_an_image_loses_its_metadata_and_is_turned_upright(
    client: RestClient, kind: str, options: dict[str, bytes]
) -> None:
    user = await ApiUser.register(client)
    original = encoded(photo(1200, 600), kind, **options)
    assert b"SECRET PLACE" in original
    attachment = await upload(user, original, "photo")
    assert (600, 1200) == (attachment["width"], attachment["height"])
    assert f"image/{kind.lower()}" == attachment["content_type"]
    for url, size, expected in (
        (attachment["url"], (600, 1200), kind),
        (attachment["thumbnail_url"], (240, 480), "WEBP"),
    ):
        content = (await client.get(url)).content
        assert b"SECRET" not in content
        with Image.open(io.BytesIO(content)) as image:
            assert (expected, size) == (image.format, image.size)
            assert not image.getexif()
            # The left half was red: turned clockwise, it is on top.
            red, _, blue = image.convert("RGB").getpixel((size[0] // 2, 10))  # type: ignore[misc]
            assert red > 200 > 60 > blue
    assert attachment["size"] == len((await client.get(attachment["url"])).content)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
async def test_an_animation_stays_one(client: RestClient, kind: str) -> None:
    user = await ApiUser.register(client)
    frames = [Image.new("RGB", (30, 20), color) for color in ("red", "green", "blue")]
    animated = encoded(frames[0], kind, save_all=True, append_images=frames[1:], duration=[40, 80, 120], loop=0)
    attachment = await upload(user, animated, "a.gif")
    with Image.open(io.BytesIO((await client.get(attachment["url"])).content)) as image:
        assert 3 == image.n_frames  # type: ignore[attr-defined]
        image.seek(1)
        image.load()
        assert (80, 0) == (image.info["duration"], image.info["loop"])


async def test_what_cannot_be_decoded_is_refused(client: RestClient, emptied: Mongo) -> None:
    """It would keep its metadata."""
    user = await ApiUser.register(client)
    problem = await upload(user, encoded(photo(), "JPEG")[:200], status=422)
    assert [{"field": "body", "message": "The image is damaged."}] == problem["errors"]
    assert 0 == await emptied.database["attachments"].count_documents({})


async def test_an_upload_has_a_limit(client: RestClient, emptied: Mongo) -> None:
    """Whether or not the client says beforehand how much it is."""
    user = await ApiUser.register(client)

    async def chunked() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x" * 100_000

    assert "too_large" == (await upload(user, b"x" * (MAX_BYTES + 1), status=413))["code"]
    response = await user.request("post", "/attachments", content=chunked())
    assert (413, "too_large") == (response.status_code, response.json()["code"])
    assert 422 == (await user.request("post", "/attachments", content=b"")).status_code
    assert MAX_BYTES == (await upload(user, b"x" * MAX_BYTES))["size"]
    assert 1 == await emptied.database["attachments"].count_documents({})


async def test_an_upload_needs_a_token(client: RestClient) -> None:
    assert 401 == (await client.post("/api/v1/attachments", content=b"x")).status_code


async def test_an_upload_that_breaks_off_leaves_nothing(client: RestClient, emptied: Mongo) -> None:
    """No document, no chunk; the server goes on."""
    user = await ApiUser.register(client)
    _, writer = await asyncio.open_connection(client.host, client.port)
    head = (
        f"POST /api/v1/attachments HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {user.token}\r\nContent-Length: 900000"
    )
    writer.write(head.encode() + b"\r\n\r\n" + b"x" * 300_000)
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    await upload(user, b"x" * 10)
    names = ("attachments", "attachments.files", "attachments.chunks")
    assert [1, 1, 1] == [await emptied.database[name].count_documents({}) for name in names]


async def test_an_upload_that_stalls_is_ended(client: RestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "PATIENCE", 0.1)
    user = await ApiUser.register(client)
    reader, writer = await asyncio.open_connection(client.host, client.port)
    head = (
        f"POST /api/v1/attachments HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {user.token}\r\nContent-Length: 900000"
    )
    writer.write(head.encode() + b"\r\n\r\n" + b"x")
    async with asyncio.timeout(5):
        assert (await reader.readline()).startswith(b"HTTP/1.1 408")
    writer.close()


def test_transfers_at_the_same_time_are_limited() -> None:
    slots = TransferSlots(3, 2)
    with slots.take("a"), slots.take("a"):
        with pytest.raises(RateLimited), slots.take("a"):
            pass
        with slots.take("b"), pytest.raises(Unavailable), slots.take("c"):
            pass
    with slots.take("a"), slots.take("b"), slots.take("c"):
        pass


async def test_uploads_are_counted(client: RestClient) -> None:
    names = ('uploads_total{outcome="stored"}', 'uploads_total{outcome="refused"}', "loa_image_seconds_count")

    async def counts() -> list[float]:
        lines = (await client.get("/metrics")).text.splitlines()
        return [sum(float(line.rpartition(" ")[2]) for line in lines if name in line) for name in names]

    before = await counts()
    user = await ApiUser.register(client)
    await upload(user, b"x")
    await upload(user, b"\xff\xd8\xff", status=422)
    assert [1, 1, 1] == [after - count for after, count in zip(await counts(), before, strict=True)]


async def test_the_document_says_what_is_sent(client: RestClient) -> None:
    """The body is any file, and so is what is downloaded."""
    document = json.loads((await client.get("/docs/openapi.json")).text)
    described = document["paths"]["/api/v1/attachments"]["post"]
    assert "binary" == described["requestBody"]["content"]["*/*"]["schema"]["format"]
    download = document["paths"]["/api/v1/attachments/{attachment_id}"]["get"]["responses"]
    assert {"200", "206", "304", "401", "404", "416"} <= download.keys()
    assert "*/*" in download["206"]["content"]
