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
    `feed`: only connections of that feed carry it. `topic` and `number`: its place in an order without holes
    (number 0: it has none). `rank`: of those with the same `key` it is later than any of a lower one, and says all that
    they do (0: it has none).
    """

    __slots__ = ("_body", "feed", "frame", "key", "number", "policy", "rank", "stream", "topic", "type")

    frame: bytes
    """As an unmasked WebSocket text frame (RFC 6455, 5.2)."""
    stream: bytes
    """As a server-sent event (WHATWG HTML, 9.2.5). JSON holds no line break, so one `data` line is enough."""

    def __init__(
        self,
        type: str,
        body: Mapping[str, Any] | bytes,
        *,
        feed: str,
        policy: Policy = Policy.DURABLE,
        topic: str = "",
        number: int = 0,
        key: str = "",
        rank: int = 0,
    ) -> None:
        self.type = type
        self.feed = feed
        self.policy = policy
        self.topic = topic
        self.number = number
        self.key = key
        self.rank = rank
        self._body = body if isinstance(body, bytes) else dumps(body).encode()

    @property
    def body(self) -> bytes:
        """The JSON object of all fields but `type`."""
        return self._body

    @property
    def text(self) -> bytes:
        """The whole event as one JSON object."""
        separator = b"," if len(self._body) > 2 else b""
        return b'{"type":"%b"%b%b' % (self.type.encode(), separator, self._body[1:])

    def __getattr__(self, name: str) -> bytes:
        # Called while the slot is empty only: a thousand connections read it at the speed of C, and a property's would
        # be a call for each of them.
        if name == "frame":
            self.frame = text_frame(self.text)
            return self.frame
        if name == "stream":
            self.stream = self._as_stream()
            return self.stream
        raise AttributeError(name)

    def _as_stream(self) -> bytes:
        if self.number:
            return b"id: %d\ndata: %b\n\n" % (self.number, self.text)
        return b"event: %b\ndata: %b\n\n" % (self.type.encode(), self._body)


def text_frame(payload: bytes) -> bytes:
    size = len(payload)
    if size < 126:
        return b"\x81%c%b" % (size, payload)
    if size < 65536:
        return b"\x81\x7e" + struct.pack("!H", size) + payload
    return b"\x81\x7f" + struct.pack("!Q", size) + payload
