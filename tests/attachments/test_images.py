"""Processing of images: what is broken or too much is refused, and nothing else suffers."""

import asyncio
import io
import json
import random
import resource
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from functools import partial

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from service.attachments import image_worker, images
from service.attachments.images import ImageProcessor
from service.common.errors import Unavailable, ValidationFailed
from tests.attachments.conftest import encoded, photo

KINDS = ("JPEG", "PNG", "GIF", "WEBP", "AVIF")


Build = Callable[[], bytes]
"""Returns the content of a file. To build all of them takes a second, so each test builds its own."""


def broken() -> dict[str, tuple[str, Build]]:
    """Return formats and contents by name."""
    found: dict[str, tuple[str, Build]] = {}
    for kind in KINDS:
        whole = partial(encoded_photo, 200, 100, kind)
        found[f"{kind}-only-its-signature"] = kind, lambda whole=whole: whole()[:12]
        found[f"{kind}-cut-in-the-middle"] = kind, lambda whole=whole: whole()[: len(whole()) // 2]
        found[f"{kind}-of-zeros"] = kind, lambda whole=whole: whole()[:16] + bytes(1000)
        found[f"{kind}-another-format"] = kind, lambda: encoded(photo(), "BMP")
    found["empty"] = "PNG", bytes
    found["PNG-without-pixels"] = "PNG", lambda: encoded(photo(), "PNG")[:33]
    found["PNG-of-no-size"] = "PNG", lambda: png_header(0, 10)
    found["GIF-of-no-size"] = "GIF", lambda: b"GIF89a\0\0\0\0\0\0\0;"
    found["JPEG-inside-PNG"] = "PNG", lambda: encoded(photo(), "JPEG")
    found["HTML"] = "GIF", lambda: b"<html><script>alert(1)</script></html>"
    return found


def encoded_photo(width: int, height: int, kind: str) -> bytes:
    return encoded(photo(width, height), kind)


def png_header(width: int, height: int, *chunks: bytes) -> bytes:
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) + b"".join(chunks)
    )


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def long_animation() -> bytes:
    whole = encoded(Image.new("1", (1500, 1500)), "GIF")
    # Pillow would take a second to write eighty different frames.
    start = whole.index(struct.pack("<BHHHH", ord(","), 0, 0, 1500, 1500))
    return whole[:start] + whole[start:-1] * 80 + whole[-1:]


def huge_canvas_of_a_gif() -> bytes:
    frame = b"," + struct.pack("<HHHH", 0, 0, 65535, 65535) + b"\0\x02\x01\0\0;"
    return b"GIF89a" + struct.pack("<HH", 65535, 65535) + b"\0\0\0" + frame


BROKEN = broken()
BOMBS: dict[str, tuple[str, Build]] = {
    "a-huge-canvas": ("PNG", lambda: png_header(60_000, 60_000, chunk(b"IDAT", zlib.compress(b"")))),
    "many-zeros": ("PNG", lambda: encoded(Image.new("1", (6000, 6000)), "PNG")),
    "a-long-animation": ("GIF", long_animation),
    "a-huge-canvas-of-another-format": ("GIF", huge_canvas_of_a_gif),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_image_is_refused(name: str) -> None:
    """By the code of the process, which for this one runs here: starting one takes a while."""
    kind, build = BROKEN[name]
    with pytest.raises(Exception, match=r".*"):
        image_worker.process(kind, io.BytesIO(build()), io.BytesIO(), io.BytesIO())


@pytest.mark.parametrize("kind", KINDS)
def test_a_polyglot_is_an_image_and_nothing_else(kind: str) -> None:
    """What follows the pixels is not kept, and neither is what a format has room for beside them."""
    script = b"<script>alert(1)</script>"
    text = PngInfo()
    text.add_text("Comment", script)
    beside = {"PNG": {"pnginfo": text}, "JPEG": {"comment": script}, "GIF": {"comment": script}}
    content = encoded(photo(), kind, **beside.get(kind, {"xmp": script})) + script
    assert 2 == content.count(script)
    image, thumbnail = io.BytesIO(), io.BytesIO()
    image_worker.process(kind, io.BytesIO(content), image, thumbnail)
    for file in (image, thumbnail):
        assert script not in file.getvalue()
        assert (60, 40) == Image.open(file).size


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused(name: str) -> None:
    """Before it is decoded: by its size."""
    kind, build = BOMBS[name]
    content = build()
    assert len(content) < 300_000
    with pytest.raises(image_worker.Refused):
        image_worker.process(kind, io.BytesIO(content), io.BytesIO(), io.BytesIO())


def test_random_damage_is_refused_or_repaired() -> None:
    """Never anything else: no hang, no crash of the interpreter."""
    chance = random.Random(15)
    for kind in KINDS:
        whole = encoded(photo(64, 48), kind)
        for _ in range(20):
            damaged = bytearray(whole)
            for _ in range(4):
                damaged[chance.randrange(len(damaged))] = chance.randrange(256)
            try:
                size = image_worker.process(kind, io.BytesIO(damaged), io.BytesIO(), io.BytesIO())
            except Exception:
                continue
            assert size["width"] * size["height"] <= image_worker.MAX_JPEG_PIXELS


def test_the_process_has_limits() -> None:
    """Of memory, processor time and output: a decoder that exceeds them ends."""
    script = """
import sys
sys.path.insert(0, sys.argv[1])
import image_worker, resource as r
image_worker.limit_resources()
print([r.getrlimit(each)[0] for each in (r.RLIMIT_AS, r.RLIMIT_CPU, r.RLIMIT_FSIZE)])
bytearray(2 << 30)
"""
    command = [sys.executable, "-I", "-c", script, str(images.WORKER.parent)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert [image_worker.MAX_MEMORY, image_worker.MAX_CPU_SECONDS, image_worker.MAX_OUTPUT] == json.loads(ended.stdout)
    assert "MemoryError" in ended.stderr
    assert resource.getrlimit(resource.RLIMIT_AS) != (image_worker.MAX_MEMORY,) * 2


def test_a_large_photo_is_made_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is decoded at half of its size."""
    monkeypatch.setattr(image_worker, "MAX_PIXELS", 10_000)
    size = image_worker.process("JPEG", io.BytesIO(encoded(photo(200, 100), "JPEG")), io.BytesIO(), io.BytesIO())
    assert {"width": 100, "height": 50} == size


def test_the_thumbnail_of_a_picture_of_16_bits_is_as_bright_as_it() -> None:
    grey, thumbnail = Image.new("I;16", (60, 40), 128 * 257), io.BytesIO()
    image_worker.process("PNG", io.BytesIO(encoded(grey, "PNG")), io.BytesIO(), thumbnail)
    with Image.open(thumbnail) as shown:
        assert (128, 128, 128) == shown.getpixel((30, 20))


def test_the_transparent_shade_of_a_picture_of_16_bits_is_transparent_in_its_thumbnail() -> None:
    """And not the one that has its lower eight bits."""
    grey, thumbnail = Image.new("I;16", (60, 40), 0x1234), io.BytesIO()
    grey.paste(0x34 * 257, (30, 0, 60, 40))
    image_worker.process("PNG", io.BytesIO(encoded(grey, "PNG", transparency=0x1234)), io.BytesIO(), thumbnail)
    with Image.open(thumbnail) as shown:
        assert [0, 255] == [shown.getpixel((x, 20))[3] for x in (10, 50)]


async def test_a_process_that_takes_too_long_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "TIMEOUT", 0.01)
    with pytest.raises(Unavailable):
        await ImageProcessor().process(io.FileIO(0, closefd=False), "PNG")  # type: ignore[arg-type]


async def test_only_some_may_wait(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The others are asked to come back later."""
    monkeypatch.setattr(images, "MAX_WAITING", 1)
    processor = ImageProcessor()
    path = tmp_path_factory.mktemp("images") / "broken.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n")
    with path.open("rb") as first, path.open("rb") as second:
        outcomes = await asyncio.gather(
            processor.process(first, "PNG"), processor.process(second, "PNG"), return_exceptions=True
        )
    assert [ValidationFailed, Unavailable] == [type(outcome) for outcome in outcomes]
