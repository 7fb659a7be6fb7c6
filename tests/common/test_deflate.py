"""Compressed JSON: a message is unchanged but for spaces behind it, and lengths tell nothing about signatures."""

import gzip
import json
import zlib
from collections.abc import Callable

import pytest
from bson import ObjectId
from hypothesis import given
from hypothesis import strategies as st

from service.attachments.links import AttachmentLinks
from service.common import deflate

SIGNATURE = AttachmentLinks("s" * 32).sign(str(ObjectId()), 2_000_000_000).encode()
TAIL = b"\x00\x00\xff\xff"


def inflate(payload: bytes) -> bytes:
    """As the peer of a WebSocket does (RFC 7692, 7.2.2)."""
    return zlib.decompressobj(wbits=-15).decompress(payload + TAIL)


CODINGS = [(deflate.gzip, gzip.decompress), (deflate.deflate_message, inflate)]
Compress, Decompress = Callable[[bytes], bytes | None], Callable[[bytes], bytes]


@pytest.mark.parametrize(("compress", "decompress"), CODINGS, ids=["gzip", "message"])
@given(
    parts=st.lists(
        st.sampled_from([b"?signature=" + SIGNATURE, b"&signature=", SIGNATURE, "ệ€😀".encode(), b"a" * 999])
    )
)
def test_nothing_changes_but_spaces_at_the_end(compress: Compress, decompress: Decompress, parts: list[bytes]) -> None:
    data = json.dumps(b"".join(parts).decode()).encode()
    compressed = compress(data)
    assert compressed is not None
    result = decompress(compressed)
    assert data == result.rstrip(b" ")
    assert len(result) <= len(data) + (deflate.MAX_PADDING if compress is deflate.deflate_message else 0)


def test_a_text_that_equals_a_signature_makes_nothing_shorter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither before nor behind it. Without that, the second text would be a reference of three bytes."""
    monkeypatch.setattr(deflate.secrets, "randbelow", lambda bound: 0)
    other = AttachmentLinks("t" * 32).sign(str(ObjectId()), 2_000_000_000).encode()

    def length(before: bytes, behind: bytes) -> int:
        payload = deflate.deflate_message(b'["%b","/file?expires=9&signature=%b","%b"]' % (before, SIGNATURE, behind))
        assert payload is not None
        assert SIGNATURE in payload
        return len(payload)

    guesses = [length(SIGNATURE, b""), length(b"", SIGNATURE)]
    wrong = [length(other, b""), length(b"", other)]
    assert all(abs(right - false) <= 4 for right, false in zip(guesses, wrong, strict=True))


def test_the_same_data_has_different_lengths() -> None:
    """So that one observation tells little."""
    assert 20 < len({len(deflate.gzip(b"[]") or b"") for _ in range(1000)}) <= deflate.MAX_PADDING + 1


def test_a_text_of_many_signatures_is_not_compressed() -> None:
    """Else anybody could write a message that takes long to compress."""
    text = b"?signature=" + SIGNATURE + b" "
    assert deflate.gzip(text * deflate.MAX_SIGNATURES) is not None
    assert deflate.gzip(text * (deflate.MAX_SIGNATURES + 1)) is None
