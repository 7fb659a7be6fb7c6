"""The opening handshake: what completes it, and what is refused with which status."""

import pytest

from service.realtime.handshake import HandshakeRefused, accept
from tests.realtime.wire import HANDSHAKE

Headers = list[tuple[str, str]]


def replaced(name: str, *values: str) -> Headers:
    """Return the headers of a valid handshake with these values of one header."""
    return [(key, known) for key, known in HANDSHAKE if key != name] + [(name, value) for value in values]


def test_the_response_proves_that_the_key_was_read() -> None:
    """The example of RFC 6455, 1.3."""
    response, compressed = accept(replaced("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="))
    assert not compressed
    head, end, rest = response.partition(b"\r\n\r\n")
    assert (b"\r\n\r\n", b"") == (end, rest)
    status, *lines = head.split(b"\r\n")
    assert b"HTTP/1.1 101 Switching Protocols" == status
    assert {
        b"Upgrade: websocket",
        b"Connection: Upgrade",
        b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
    } == set(lines)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Upgrade", "WebSocket"),
        ("Upgrade", "websocket,"),
        ("Connection", "keep-alive, Upgrade"),
        ("Connection", "UPGRADE"),
        ("Sec-WebSocket-Protocol", "chat, superchat"),
        ("Sec-WebSocket-Extensions", "x-unknown; a=1"),
    ],
)
def test_a_variant_that_the_rfc_allows_is_accepted(name: str, value: str) -> None:
    """Without a subprotocol or an extension: the server may leave out what is offered (RFC 6455, 4.2.2)."""
    assert accept(HANDSHAKE) == accept([(key.lower(), known) for key, known in replaced(name, value)])


@pytest.mark.parametrize(
    ("name", "values", "status"),
    [
        ("Upgrade", [], 426),
        ("Upgrade", ["h2c"], 426),
        ("Upgrade", ["websocket", "h2c"], 426),
        ("Connection", [], 426),
        ("Connection", ["keep-alive"], 426),
        ("Sec-WebSocket-Key", [], 400),
        ("Sec-WebSocket-Key", [""], 400),
        ("Sec-WebSocket-Key", ["short"], 400),
        ("Sec-WebSocket-Key", ["A" * 24], 400),
        ("Sec-WebSocket-Key", ["A" * 21 + "ế=="], 400),
        ("Sec-WebSocket-Key", ["dGhlIHNhbXBsZSBub25jZQ=="] * 2, 400),
        ("Sec-WebSocket-Version", [], 400),
        ("Sec-WebSocket-Version", ["13", "13"], 400),
        ("Sec-WebSocket-Version", ["8"], 426),
        ("Sec-WebSocket-Version", ["13, 8"], 426),
        ("Sec-WebSocket-Extensions", ["permessage-deflate;"], 400),
        ("Sec-WebSocket-Extensions", ["permessage-deflate", "=1"], 400),
    ],
)
def test_an_invalid_handshake_is_refused(name: str, values: list[str], status: int) -> None:
    """With the status that RFC 6455 names."""
    with pytest.raises(HandshakeRefused) as refused:
        accept(replaced(name, *values))
    assert status == refused.value.status
    if status == 426:
        assert "websocket" == refused.value.headers["Upgrade"]


def test_another_version_is_answered_with_the_known_one() -> None:
    """RFC 6455, 4.4."""
    with pytest.raises(HandshakeRefused) as refused:
        accept(replaced("Sec-WebSocket-Version", "12"))
    assert "13" == refused.value.headers["Sec-WebSocket-Version"]


AGREED = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"


@pytest.mark.parametrize(
    "offers",
    [
        ["permessage-deflate"],
        ["permessage-deflate; client_max_window_bits"],
        ["permessage-deflate; client_max_window_bits=9; server_no_context_takeover; client_no_context_takeover"],
        ["x-unknown, permessage-deflate"],
        ["x-unknown", "permessage-deflate"],
        # The first offer that can be met: a parameter that is unknown or wrong declines one (RFC 7692, 7.1).
        ["permessage-deflate; unknown, permessage-deflate"],
        ["permessage-deflate; server_max_window_bits=9, permessage-deflate"],
        ["permessage-deflate; client_max_window_bits=16, permessage-deflate"],
        ["permessage-deflate; server_no_context_takeover; server_no_context_takeover, permessage-deflate"],
    ],
)
def test_compression_without_context_is_agreed_on(offers: list[str]) -> None:
    response, compressed = accept(replaced("Sec-WebSocket-Extensions", *offers))
    assert compressed
    assert f"\r\nSec-WebSocket-Extensions: {AGREED}".encode() in response


@pytest.mark.parametrize(
    "offer", ["permessage-deflate; server_max_window_bits=14", "permessage-deflate; unknown=1", "deflate", ""]
)
def test_other_offers_are_declined(offer: str) -> None:
    """Without compression the client connects all the same."""
    response, compressed = accept(replaced("Sec-WebSocket-Extensions", offer))
    assert not compressed
    assert b"Extensions" not in response
