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
from collections.abc import Iterator

import pytest
from PIL import Image

from service.attachments import image_worker, images
from service.attachments.images import ImageProcessor
from service.common.errors import Unavailable, ValidationFailed
from tests.attachments.conftest import encoded, photo

KINDS = ("JPEG", "PNG", "GIF", "WEBP", "AVIF")


def broken() -> Iterator[tuple[str, str, bytes]]:
    """Yield names, formats and contents."""
    for kind in KINDS:
        whole = encoded(photo(200, 100), kind)
        yield f"{kind}-only-its-signature", kind, whole[:12]
        yield f"{kind}-cut-in-the-middle", kind, whole[: len(whole) // 2]
        yield f"{kind}-of-zeros", kind, whole[:16] + bytes(1000)
        yield f"{kind}-another-format", kind, encoded(photo(), "BMP")
    yield "empty", "PNG", b""
    png = encoded(photo(), "PNG")
    yield "PNG-without-pixels", "PNG", png[:8] + png[8:33]
    yield "PNG-of-no-size", "PNG", png_header(0, 10)
    yield "GIF-of-no-size", "GIF", b"GIF89a\0\0\0\0\0\0\0;"
    yield "JPEG-inside-PNG", "PNG", encoded(photo(), "JPEG")
    yield "HTML", "GIF", b"<html><script>alert(1)</script></html>"


def png_header(width: int, height: int, *chunks: bytes) -> bytes:
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) + b"".join(chunks)
    )


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bombs() -> Iterator[tuple[str, str, bytes]]:
    yield "a-huge-canvas", "PNG", png_header(60_000, 60_000, chunk(b"IDAT", zlib.compress(b"")))
    yield "many-zeros", "PNG", encoded(Image.new("1", (6000, 6000)), "PNG")
    frames = [Image.new("1", (1500, 1500), each % 2) for each in range(80)]
    yield "a-long-animation", "GIF", encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    frame = b"," + struct.pack("<HHHH", 0, 0, 65535, 65535) + b"\0\x02\x01\0\0;"
    yield "a-huge-canvas-of-another-format", "GIF", b"GIF89a" + struct.pack("<HH", 65535, 65535) + b"\0\0\0" + frame


BROKEN, BOMBS = list(broken()), list(bombs())


@pytest.mark.parametrize(("kind", "content"), [each[1:] for each in BROKEN], ids=[each[0] for each in BROKEN])
def test_a_broken_image_is_refused(kind: str, content: bytes) -> None:
    """By the code of the process, which for this one runs here: starting one takes a while."""
    with pytest.raises(Exception, match=r".*"):
        image_worker.process(kind, io.BytesIO(content), io.BytesIO(), io.BytesIO())


@pytest.mark.parametrize(("kind", "content"), [each[1:] for each in BOMBS], ids=[each[0] for each in BOMBS])
def test_a_bomb_is_refused(kind: str, content: bytes) -> None:
    """Before it is decoded: by its size."""
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
