"""Requests and frames of the clients, prepared in advance, with eight digits to fill in that number the message."""

import json
import struct
from typing import Any, NamedTuple

Address = tuple[str, int]

NUMBER_PLACEHOLDER = "########"
MARKER = f"@{NUMBER_PLACEHOLDER}@"
"""The marker by which a message is recognised when it arrives."""
TEXT_BYTES = 200

HEAD_ENDS = b"\r\n\r\n"
PONG = b"\x8a\x80\0\0\0\0"
"""An unsolicited pong as a keepalive (RFC 6455, 5.5.3)."""


class Template(NamedTuple):
    """Bytes to send, and the offsets of the digits in them."""

    data: bytes
    offsets: list[int]

    @classmethod
    def of(cls, data: bytes) -> "Template":
        offsets, at = [], data.find(NUMBER_PLACEHOLDER.encode())
        while at >= 0:
            offsets.append(at)
            at = data.find(NUMBER_PLACEHOLDER.encode(), at + len(NUMBER_PLACEHOLDER))
        return cls(data, offsets)


def marked_text(size: int = TEXT_BYTES) -> str:
    """Return a text of `size` bytes with a marker."""
    return MARKER + "x" * (size - len(MARKER))


def get(address: Address, path: str, *headers: str) -> bytes:
    host, port = address
    return "\r\n".join((f"GET {path} HTTP/1.1", f"Host: {host}:{port}", *headers, "", "")).encode()


def upgrade(address: Address, path: str, *headers: str) -> bytes:
    """A WebSocket handshake. Its key is RFC 6455's example; the clients do not check the response to it."""
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    wanted = ("Upgrade: websocket", "Connection: Upgrade", key, "Sec-WebSocket-Version: 13")
    return get(address, path, *wanted, *headers)


def stream(address: Address, path: str, *headers: str) -> bytes:
    return get(address, path, "Accept: text/event-stream", *headers)


def post(address: Address, path: str, body: str, *headers: str, kind: str = "application/json") -> bytes:
    host, port = address
    data = body.encode()
    lines = (f"POST {path} HTTP/1.1", f"Host: {host}:{port}", f"Content-Type: {kind}", f"Content-Length: {len(data)}")
    return "\r\n".join((*lines, *headers, "", "")).encode() + data


def bearer(token: str) -> str:
    return f"Authorization: Bearer {token}"


def frame(text: str | dict[str, Any]) -> bytes:
    """A client's text frame. The masking key is zero, so that the digits can be filled in as they are."""
    payload = (text if isinstance(text, str) else json.dumps(text)).encode()
    size = len(payload)
    head = bytes([0x81, 0x80 | size]) if size < 126 else b"\x81\xfe" + struct.pack("!H", size)
    return head + bytes(4) + payload
