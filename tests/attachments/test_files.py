"""What is known of a file by its bytes and its name, and how it is sent."""

import pytest

from service.attachments.file_type import file_type, is_inline
from service.http.byte_range import byte_range
from service.http.content_disposition import content_disposition
from service.http.errors import RangeNotSatisfiable


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"GIF89a", "image/gif"),
        (b"RIFF\0\0\0\0WEBP", "image/webp"),
        (b"\0\0\0\x20ftypavif", "image/avif"),
        (b"\0\0\0\x20ftypheic", "application/octet-stream"),
        (b"\0\0\0\x20ftypisom", "video/mp4"),
        (b"RIFF\0\0\0\0WAVE", "audio/wav"),
        (b"ID3\x03", "audio/mpeg"),
        (b"%PDF-1.7", "application/pdf"),
        (b"PK\x03\x04", "application/zip"),
        ("Chào\n".encode(), "text/plain; charset=utf-8"),
        ("Chào".encode()[:4] + b"\xe1\xba", "text/plain; charset=utf-8"),
        (b"MZ\x90\0", "application/octet-stream"),
        (b"", "text/plain; charset=utf-8"),
    ],
)
def test_the_type_is_found_in_the_bytes(head: bytes, expected: str) -> None:
    assert expected == file_type(head, "photo.jpg")


@pytest.mark.parametrize(
    "content",
    [
        b"<!DOCTYPE html><script>alert(1)</script>",
        b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
        b"<?xml version='1.0'?><html xmlns='http://www.w3.org/1999/xhtml'/>",
        b"alert(1)",
        b"\xef\xbb\xbf<html>",
        b"%PDF-1.7 <script>",
        b"PK\x03\x04<script>",
        b"\0<html>",
    ],
)
@pytest.mark.parametrize("name", ["page.html", "image.svg", "app.js", "photo.jpg"])
def test_nothing_that_a_browser_would_run_is_shown(content: bytes, name: str) -> None:
    """Neither by its bytes nor by its name."""
    kind = file_type(content, name)
    assert kind.partition(";")[0] in ("text/plain", "application/octet-stream", "application/pdf", "application/zip")
    assert not is_inline(kind)


def test_archives_are_told_apart_by_their_names() -> None:
    assert "wordprocessingml" in file_type(b"PK\x03\x04", "Report.DOCX")
    assert "application/zip" == file_type(b"PK\x03\x04", "report.exe")


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", None),
        ("bytes=0-3", (0, 4)),
        ("bytes=4-", (4, 10)),
        ("bytes=-3", (7, 10)),
        ("bytes=-30", (0, 10)),
        ("bytes=9-99", (9, 10)),
        ("Bytes=0-0", (0, 1)),
        ("bytes=3-1", None),
        ("bytes=-", None),
        ("bytes=0-1,3-4", None),
        ("lines=0-1", None),
        ("bytes=a-b", None),
    ],
)
def test_a_range_is_of_bytes(header: str, expected: tuple[int, int] | None) -> None:
    """RFC 9110, 14.1.2. What is malformed is ignored."""
    assert expected == byte_range(header, 10)


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=10-12", "bytes=-0"])
def test_a_range_behind_the_end_is_an_error(header: str) -> None:
    with pytest.raises(RangeNotSatisfiable):
        byte_range(header, 10)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a b.txt", 'inline; filename="a b.txt"'),
        ('a";b\\.txt', "inline; filename=\"a_;b_.txt\"; filename*=UTF-8''a%22%3Bb%5C.txt"),
        ("100%.txt", "inline; filename=\"100_.txt\"; filename*=UTF-8''100%25.txt"),
        ("Ảnh.png", "inline; filename=\"_nh.png\"; filename*=UTF-8''%E1%BA%A2nh.png"),
    ],
)
def test_any_name_fits_into_a_header(name: str, expected: str) -> None:
    """RFC 6266, 4.3, and RFC 8187."""
    assert expected == content_disposition("inline", name)
