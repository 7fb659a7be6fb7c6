"""The WebSocket protocol itself: what ends a connection, and with which code."""

import asyncio
import json
import struct
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from tests.protocol.clients import API, Clients, User, problem

MASK = b"\0\0\0\0"


def frame(head: int, payload: bytes = b"", *, masked: bool = True) -> bytes:
    """A frame as a client may not have built it: `head` is its whole first byte."""
    assert len(payload) < 126
    return struct.pack("!BB", head, len(payload) | (0x80 if masked else 0)) + (MASK if masked else b"") + payload


@pytest.mark.parametrize(
    "bad",
    [
        frame(0x83),
        frame(0x8B),
        frame(0x81, b"{}", masked=False),
        frame(0xC1, b"{}"),
        frame(0x91, b"{}"),
        frame(0x80, b"x"),
        frame(0x09, b"x"),
        frame(0x01, b"{") + frame(0x81, b"}"),
        frame(0x88, b"\x03"),
        frame(0x88, struct.pack("!H", 1005)),
        frame(0x88, struct.pack("!H", 999)),
        struct.pack("!BB", 0x89, 0x80 | 126) + struct.pack("!H", 126) + MASK + b"x" * 126,
    ],
    ids=[
        *("reserved opcode", "reserved control opcode", "not masked", "reserved bit 1", "reserved bit 3"),
        *("nothing to continue", "control in pieces", "another message inside", "close of one byte"),
        *("close with 1005", "close with 999", "control too long"),
    ],
)
async def test_bad_frames(anna: User, bad: bytes) -> None:
    """What RFC 6455 forbids ends the connection with 1002."""
    socket = await anna.chat_socket()
    socket.websocket.transport.write(bad)
    code, _ = await socket.closed()
    assert 1002 == code


async def test_binary(anna: User) -> None:
    """A binary frame ends the connection with 1003."""
    socket = await anna.chat_socket()
    await socket.websocket.send(b'{"type": "ping"}')
    assert 1003 == (await socket.closed())[0]


@pytest.mark.parametrize("text", [b"\xff", b'{"type": "\xc3"}', b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\xaf"])
async def test_text_that_is_not_utf8(anna: User, text: bytes) -> None:
    """It ends the connection with 1007."""
    socket = await anna.chat_socket()
    await socket.send_raw(text)
    assert 1007 == (await socket.closed())[0]


async def test_size(anna: User) -> None:
    """64 KiB pass, in one piece or in several; one byte more ends the connection with 1009."""
    socket = await anna.chat_socket()
    ping = json.dumps({"type": "ping"})
    await socket.send_raw(ping.ljust(65536))
    await socket.event("pong")
    padded = ping.ljust(65536)
    await socket.websocket.send([padded[:30000], padded[30000:60000], padded[60000:]])
    await socket.event("pong")
    await socket.send_raw(ping.ljust(65537))
    assert (1009, "too_large") == await socket.closed()


async def test_size_of_pieces(anna: User) -> None:
    """A message in many pieces is measured as a whole."""
    socket = await anna.chat_socket()

    async def pieces() -> Any:
        for _ in range(100):
            yield "x" * 1000

    sending = asyncio.create_task(socket.websocket.send(pieces()))
    assert (1009, "too_large") == await socket.closed()
    await asyncio.wait([sending])
    assert sending.exception() is None or "1009" in str(sending.exception())


async def test_pieces(anna: User) -> None:
    """A character may be cut in two, and a ping may come between."""
    socket = await anna.chat_socket()
    text = json.dumps({"type": "ping", "ref": "é"}, ensure_ascii=False).encode()
    cut = text.index("é".encode()) + 1
    write = socket.websocket.transport.write
    write(frame(0x01, text[:cut]))
    write(frame(0x89, b"between"))
    write(frame(0x80, text[cut:]))
    assert {"type": "pong", "ref": "é"} == await socket.event("pong")


async def test_goodbye(anna: User) -> None:
    """A client's close is answered with its own code."""
    socket = await anna.chat_socket()
    await socket.websocket.close(4001, "enough")
    assert 4001 == (await socket.closed())[0]


async def test_what_is_no_handshake(clients: Clients, anna: User) -> None:
    """An ordinary GET, and an upgrade to something else, are answered over HTTP."""
    for headers in (
        {},
        {"Connection": "Upgrade", "Upgrade": "h2c"},
        {"Connection": "Upgrade", "Upgrade": "websocket"},
        {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Key": "x", "Sec-WebSocket-Version": "13"},
        {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Key": "A" * 22 + "==",
            "Sec-WebSocket-Version": "12",
        },
    ):
        answer = await clients.call("GET", "/ws/chat", headers=anna.bearer | headers)
        assert 400 <= answer.status_code < 500, (headers, answer.status_code)
        problem(answer, answer.status_code, answer.json()["code"])


async def test_compression_is_not_forced(clients: Clients, anna: User) -> None:
    """A client that offers compression is serving_in_thread, with it or without."""
    from websockets.asyncio.client import connect

    url = f"{clients.server.websocket_url}{API}/ws/chat"
    async with connect(url, additional_headers=anna.bearer, proxy=None) as websocket:
        assert "hello" == json.loads(await websocket.recv())["type"]
        await websocket.send('{"type": "ping"}')
        assert "pong" == json.loads(await websocket.recv())["type"]


async def test_refused_upgrades_end_cleanly(clients: Clients) -> None:
    """A refused origin leaves an ordinary HTTP answer, after which the server goes on."""
    with pytest.raises(InvalidStatus) as refused:
        await clients.socket(origin="https://evil.example")
    assert "application/problem+json" == refused.value.response.headers["content-type"]
    assert (await clients.http.get("/healthz")).is_success
