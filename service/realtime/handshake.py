"""The opening handshake of a WebSocket (RFC 6455, 4.2)."""

import base64
import binascii
import hashlib
from collections.abc import Iterable
from typing import NamedTuple

from websockets.exceptions import InvalidHeader

from service.realtime import permessage_deflate

VERSION = "13"
GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
KEY_BYTES = 16


class HandshakeRefused(Exception):
    """The upgrade request violates RFC 6455, 4.2.1. `status` is 400, or 426 if the request asks for no upgrade."""

    def __init__(self, status: int, headers: dict[str, str]) -> None:
        super().__init__("The request is not a WebSocket handshake.")
        self.status = status
        self.headers = headers


class Handshake(NamedTuple):
    """`response` completes the handshake. `compressed`: whether both sides may compress messages."""

    response: bytes
    compressed: bool


def accept(headers: Iterable[tuple[str, str]]) -> Handshake:
    """Return the answer to a GET request with these `headers`.

    No subprotocol is agreed on, and no extension except permessage-deflate. Raises HandshakeRefused.
    """
    connection: list[str] = []
    upgrade: list[str] = []
    keys: list[str] = []
    versions: list[str] = []
    extensions: list[str] = []
    wanted = {
        "connection": connection,
        "upgrade": upgrade,
        "sec-websocket-key": keys,
        "sec-websocket-version": versions,
        "sec-websocket-extensions": extensions,
    }
    for name, value in headers:
        values = wanted.get(name.lower())
        if values is not None:
            values += [part.strip() for part in value.split(",")]
    if any(version != VERSION for version in versions):
        # RFC 6455, 4.2.2: the answer names the versions that the server speaks.
        raise HandshakeRefused(426, {"Upgrade": "websocket", "Sec-WebSocket-Version": VERSION})
    # Empty elements of a list do not count (RFC 9110, 5.6.1.2).
    protocols = [protocol.lower() for protocol in upgrade if protocol]
    is_upgrade = "upgrade" in map(str.lower, connection) and protocols == ["websocket"]
    if not is_upgrade:
        raise HandshakeRefused(426, {"Upgrade": "websocket"})
    if len(versions) != 1 or len(keys) != 1 or not _is_key(keys[0]):
        raise HandshakeRefused(400, {})
    try:
        extension = permessage_deflate.negotiate(", ".join(extensions)) if any(extensions) else None
    except InvalidHeader:
        raise HandshakeRefused(400, {}) from None  # RFC 6455, 9.1
    # The digest only proves that the key was read, for which SHA-1 suffices (RFC 6455, 10.8).
    digest = hashlib.sha1((keys[0] + GUID).encode(), usedforsecurity=False).digest()
    response = (
        b"HTTP/1.1 101 Switching Protocols\r\n"
        b"Upgrade: websocket\r\n"
        b"Connection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n"
    )
    if extension:
        response += b"Sec-WebSocket-Extensions: " + extension.encode() + b"\r\n"
    return Handshake(response + b"\r\n", extension is not None)


def _is_key(text: str) -> bool:
    """Return whether `text` is the base64 of KEY_BYTES bytes."""
    try:
        return len(base64.b64decode(text, validate=True)) == KEY_BYTES
    except (binascii.Error, ValueError):
        # ValueError: a character that is not ASCII.
        return False
