"""An event: what one connection or a thousand are told, encoded once for each kind of transport."""

import struct
from collections.abc import Mapping
from enum import Enum
from typing import Any

from service.common.encoding import dumps


class Policy(Enum):
    """What a full queue does with an event."""

    DURABLE = "durable"
    """Never dropped: where it finds no room, the connection is closed with a reason and resumes."""
    EPHEMERAL = "ephemeral"
    """Dropped where it finds no room."""
    LATEST = "latest"
    """Takes the place of the one with the same `key` that still waits; dropped where it finds no room."""


class Event:
    """Immutable, and encoded on first use: as many connections as carry it share the same bytes.

    `type` and `body`: on a socket one JSON object, `{"type": type, **body}`; on an event stream the `body` under
    the name `type`, but for numbered events, which go unnamed, whole, and with their number as the id.
    `channel`: only connections of that channel carry it. `topic` and `sequence`: its place in an order without holes
    (sequence 0: it has none). `version`: which state it tells of (0: none). Of those with the same `key` none is
    delivered after one of a higher version; without a key, the version is only for the filter of a connection.
    """

    __slots__ = ("_body", "channel", "key", "policy", "sequence", "sse_bytes", "topic", "type", "version", "ws_frame")

    ws_frame: bytes
    """As an unmasked WebSocket text frame (RFC 6455, 5.2)."""
    sse_bytes: bytes
    """As a server-sent event (WHATWG HTML, 9.2.5). JSON holds no line break, so one `data` line is enough."""

    def __init__(
        self,
        type: str,
        body: Mapping[str, Any] | bytes,
        *,
        channel: str,
        policy: Policy = Policy.DURABLE,
        topic: str = "",
        sequence: int = 0,
        key: str = "",
        version: int = 0,
    ) -> None:
        self.type = type
        self.channel = channel
        self.policy = policy
        self.topic = topic
        self.sequence = sequence
        self.key = key
        self.version = version
        self._body = body if isinstance(body, bytes) else dumps(body).encode()

    @property
    def body(self) -> bytes:
        """The JSON object of all fields but `type`."""
        return self._body

    @property
    def json(self) -> bytes:
        """The whole event as one JSON object."""
        separator = b"," if len(self._body) > 2 else b""
        return b'{"type":"%b"%b%b' % (self.type.encode(), separator, self._body[1:])

    def __getattr__(self, name: str) -> bytes:
        # Called while the slot is empty only: a thousand connections read it at the speed of C, and a property's would
        # be a call for each of them.
        if name == "ws_frame":
            self.ws_frame = text_frame(self.json)
            return self.ws_frame
        if name == "sse_bytes":
            self.sse_bytes = self._encode_sse()
            return self.sse_bytes
        raise AttributeError(name)

    def _encode_sse(self) -> bytes:
        if self.sequence:
            return b"id: %d\ndata: %b\n\n" % (self.sequence, self.json)
        return b"event: %b\ndata: %b\n\n" % (self.type.encode(), self._body)


def text_frame(payload: bytes) -> bytes:
    size = len(payload)
    if size < 126:
        return b"\x81%c%b" % (size, payload)
    if size < 65536:
        return b"\x81\x7e" + struct.pack("!H", size) + payload
    return b"\x81\x7f" + struct.pack("!Q", size) + payload
