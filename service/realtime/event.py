"""Events: what connections are sent, encoded once for each kind of transport."""

import struct
from collections.abc import Collection, Mapping
from enum import Enum
from typing import Any

from service.common.deflate import MIN_BYTES, deflate_message
from service.common.encoding import dumps

TEXT = b"\x81"
"""FIN and the opcode of a text message (RFC 6455, 5.2)."""
COMPRESSED_TEXT = b"\xc1"
"""The same with RSV1: the message is compressed (RFC 7692, 6)."""


class Policy(Enum):
    """What a connection's queue does with an event if it is full."""

    DURABLE = "durable"
    """Never dropped in silence: if the queue is full, the connection is closed with a reason, or the client is sent a
    `reset`. Either makes it fetch what it missed."""
    EPHEMERAL = "ephemeral"
    """Dropped if the queue is full."""
    LATEST = "latest"
    """Replaces a queued event with the same `key`; dropped if the queue is full."""


class Event:
    """An immutable event. Each encoding is made on first use and shared by all connections that carry the event.

    - `type`, `body`: on a WebSocket one JSON object, `{"type": type, **body}`. On an event stream an event named
      `type` with `body` as its data; an event with a sequence number has no name, the whole object as its data and the
      sequence number as its id.
    - `channel`: only connections to this channel carry the event.
    - `topic`, `sequence`: the position in an order without gaps (sequence 0: not part of one).
    - `key`: what the event describes the state of. See `Policy.LATEST` and `version`.
    - `substitute`: users, and the event that they get instead of this one. It has the same channel, topic and sequence.
    - `coalesced`: with a key: a connection gets at most one such event in a quarter of a second, the last one always.
    - `version`: which state the event describes (0: unknown). An event with a key is not delivered after one with the
      same key and a higher version. Without a key, the version only concerns the connection's `EventFilter`.
    """

    __slots__ = (
        "_body",
        "_sse_fields",
        "channel",
        "coalesced",
        "key",
        "policy",
        "sequence",
        "sse_bytes",
        "sse_chunk",
        "substitute",
        "topic",
        "type",
        "version",
        "ws_compressed",
        "ws_frame",
    )

    ws_frame: bytes
    """The event as an unmasked WebSocket text frame (RFC 6455, 5.2)."""
    ws_compressed: bytes
    """The same for sockets that agreed on permessage-deflate: compressed if that saves a packet."""
    sse_bytes: bytes
    """The event as a server-sent event (WHATWG HTML, 9.2.5). JSON contains no line break: one `data` line is enough."""
    sse_chunk: bytes
    """`sse_bytes` as one chunk of the chunked transfer coding (RFC 9112, 7.1)."""

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
        coalesced: bool = False,
        substitute: "tuple[Collection[str], Event] | None" = None,
        sse_fields: bytes = b"",
    ) -> None:
        """`body`: the fields other than `type`, or the same as encoded JSON. `sse_fields`: lines for an event stream
        alone, such as `retry: 3000`, each with its line break."""
        self.type = type
        self.channel = channel
        self.policy = policy
        self.topic = topic
        self.sequence = sequence
        self.key = key
        self.version = version
        self.coalesced = coalesced
        self.substitute = substitute
        self._sse_fields = sse_fields
        self._body = body if isinstance(body, bytes) else dumps(body).encode()

    @property
    def body(self) -> bytes:
        """The JSON object of all fields except `type`."""
        return self._body

    @property
    def json(self) -> bytes:
        """The whole event as one JSON object."""
        separator = b"," if len(self._body) > 2 else b""
        return b'{"type":"%b"%b%b' % (self.type.encode(), separator, self._body[1:])

    def __getattr__(self, name: str) -> bytes:
        # Only called while the slot is empty. A thousand connections then read the slot without a function call, which
        # a property would cost each of them.
        if name == "ws_frame":
            self.ws_frame = text_frame(self.json)
            return self.ws_frame
        if name == "ws_compressed":
            self.ws_compressed = compressed_text_frame(self.json) or self.ws_frame
            return self.ws_compressed
        if name == "sse_bytes":
            self.sse_bytes = self._encode_sse()
            return self.sse_bytes
        if name == "sse_chunk":
            self.sse_chunk = chunk(self.sse_bytes)
            return self.sse_chunk
        raise AttributeError(name)

    def _encode_sse(self) -> bytes:
        if self.sequence:
            return b"id: %d\ndata: %b\n\n" % (self.sequence, self.json)
        return b"%bevent: %b\ndata: %b\n\n" % (self._sse_fields, self.type.encode(), self._body)


def chunk(data: bytes) -> bytes:
    """Return `data`, which must not be empty, as one chunk of the chunked transfer coding (RFC 9112, 7.1)."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def text_frame(payload: bytes) -> bytes:
    """Return `payload` as one unmasked WebSocket text frame (RFC 6455, 5.2)."""
    return _frame(TEXT, payload)


def compressed_text_frame(payload: bytes) -> bytes | None:
    """Return `payload` as one compressed frame (RFC 7692, 7.2.1); None if it should not be compressed."""
    if len(payload) < MIN_BYTES or (compressed := deflate_message(payload)) is None:
        return None
    return _frame(COMPRESSED_TEXT, compressed)


def _frame(first: bytes, payload: bytes) -> bytes:
    """Return a frame with `first` as the first byte: flags and opcode."""
    size = len(payload)
    if size < 126:
        return b"%b%c%b" % (first, size, payload)
    if size < 65536:
        return first + b"\x7e" + struct.pack("!H", size) + payload
    return first + b"\x7f" + struct.pack("!Q", size) + payload
