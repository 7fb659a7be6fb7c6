"""Compression of JSON (DEFLATE, RFC 1951), for responses and for WebSocket messages.

The length of compressed data shows whether its parts are alike. An attacker who can put text beside a secret, and
observe the length of many encrypted answers, could guess the secret bit by bit (the attack BREACH). So the signatures
of attachments' URLs are stored as they are, without a reference from before them to behind them; every answer has
padding of a random length; and responses with a token are not compressed at all (`Operation.has_secret`).
"""

import re
import secrets
import struct
import zlib

MIN_BYTES = 1024
"""Compressing less saves no packet."""
LEVEL = 3
"""A fifth of the time of zlib's default, for 5 % more bytes."""
SIGNATURE = re.compile(rb"(?<=[?&]signature=)[A-Za-z0-9_-]{43}")
"""See AttachmentLinks."""
MAX_SIGNATURES = 300
"""In one answer. Each costs some microseconds, and anybody may write text that looks like one: with more of them, the
answer is not compressed."""
MAX_PADDING = 32
"""Bytes."""
GZIP_HEAD = b"\x1f\x8b\x08\x08" + bytes(5) + b"\xff"
"""RFC 1952, 2.3: a name follows; no time; an unknown system."""
END = struct.pack("<BHH", 1, 0, 0xFFFF)
"""A last block, without data."""


def gzip(data: bytes) -> bytes | None:
    """Return the JSON text `data`, compressed (RFC 1952), with padding as a file name. None: leave it as it is."""
    compressed = _compress(data)
    if compressed is None:
        return None
    return b"".join((GZIP_HEAD, _padding(), b"\0", compressed, END, struct.pack("<LL", zlib.crc32(data), len(data))))


def deflate_message(data: bytes) -> bytes | None:
    """Return the JSON text `data`, with spaces behind it as padding, compressed as the payload of a WebSocket message
    that refers to no other message (RFC 7692, 7.2.1). None: leave it as it is."""
    compressed = _compress(data)
    # The header of the empty block that ends the payload. Its other four bytes are left out: the peer appends them.
    return None if compressed is None else b"".join((compressed, _stored(_padding()), b"\x00"))


def _compress(data: bytes) -> bytes | None:
    """Return blocks that end at a byte and of which none is the last; None if there are too many signatures."""
    compressor = zlib.compressobj(LEVEL, wbits=-zlib.MAX_WBITS)
    parts: list[bytes] = []
    start = 0
    for number, match in enumerate(SIGNATURE.finditer(data)):
        if number == MAX_SIGNATURES:
            return None
        # After a full flush nothing refers to what came before, so what is inserted here shifts no reference.
        parts += (compressor.compress(data[start : match.start()]), compressor.flush(zlib.Z_FULL_FLUSH))
        parts.append(_stored(match[0]))
        start = match.end()
    parts += (compressor.compress(data[start:]), compressor.flush(zlib.Z_SYNC_FLUSH))
    return b"".join(parts)


def _stored(data: bytes) -> bytes:
    """Return `data` as one block that is not compressed (RFC 1951, 3.2.4)."""
    return struct.pack("<BHH", 0, len(data), len(data) ^ 0xFFFF) + data


def _padding() -> bytes:
    return b" " * secrets.randbelow(MAX_PADDING + 1)
