"""The WebSocket protocol: what closes a connection, and with which code."""

import asyncio
import json
import struct
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from tests.protocol.clients import Clients, User, problem

MASK = b"\0\0\0\0"


def frame(head: int, payload: bytes = b"", *, masked: bool = True) -> bytes:
    """A frame as a client may not have built it: `head` is its whole first byte."""
    size = len(payload)
    length = bytes([size]) if size < 126 else b"\x7e" + struct.pack("!H", size)
    return bytes([head, length[0] | (0x80 if masked else 0)]) + length[1:] + (MASK if masked else b"") + payload


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
async def test_frames_that_rfc_6455_forbids_close_with_1002(anna: User, bad: bytes) -> None:
    socket = await anna.chat_socket()
    socket.websocket.transport.write(bad)
    code, _ = await socket.closed()
    assert 1002 == code


async def test_a_binary_frame_closes_with_1003(anna: User) -> None:
    socket = await anna.chat_socket()
    await socket.websocket.send(b'{"type": "ping"}')
    assert 1003 == (await socket.closed())[0]


@pytest.mark.parametrize("text", [b"\xff", b'{"type": "\xc3"}', b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\xaf"])
async def test_invalid_utf8_closes_with_1007(anna: User, text: bytes) -> None:
    socket = await anna.chat_socket()
    await socket.send_raw(text)
    assert 1007 == (await socket.closed())[0]


async def test_64_kib_are_accepted_and_one_byte_more_closes_with_1009(anna: User) -> None:
    """In one frame or in fragments."""
    socket = await anna.chat_socket()
    ping = json.dumps({"type": "ping"})
    await socket.send_raw(ping.ljust(65536))
    await socket.event("pong")
    padded = ping.ljust(65536)
    await socket.websocket.send([padded[:30000], padded[30000:60000], padded[60000:]])
    await socket.event("pong")
    await socket.send_raw(ping.ljust(65537))
    assert (1009, "too_large") == await socket.closed()


async def test_the_size_limit_applies_to_the_whole_fragmented_message(anna: User) -> None:
    socket = await anna.chat_socket()

    async def pieces() -> Any:
        for _ in range(100):
            yield "x" * 1000

    sending = asyncio.create_task(socket.websocket.send(pieces()))
    assert (1009, "too_large") == await socket.closed()
    await asyncio.wait([sending])
    assert sending.exception() is None or "1009" in str(sending.exception())


async def test_fragments_may_split_a_character_and_enclose_a_ping(anna: User) -> None:
    socket = await anna.chat_socket()
    text = json.dumps({"type": "ping", "ref": "é"}, ensure_ascii=False).encode()
    cut = text.index("é".encode()) + 1
    write = socket.websocket.transport.write
    write(frame(0x01, text[:cut]))
    write(frame(0x89, b"between"))
    write(frame(0x80, text[cut:]))
    assert {"type": "pong", "ref": "é"} == await socket.event("pong")


async def test_a_close_frame_is_answered_with_its_own_code(anna: User) -> None:
    socket = await anna.chat_socket()
    await socket.websocket.close(4001, "enough")
    assert 4001 == (await socket.closed())[0]


async def test_requests_that_are_no_websocket_handshake_are_answered_over_http(clients: Clients, anna: User) -> None:
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


async def test_who_agrees_on_compression_gets_the_same_events(anna: User, ben: User) -> None:
    """In both directions, short and long, and what is answered to one client as well as what all get."""
    direct = await anna.start_conversation(ben)
    compressed, plain = await ben.chat_socket(compression="deflate"), await ben.chat_socket()
    assert "permessage-deflate" in compressed.websocket.response.headers["Sec-WebSocket-Extensions"]
    assert "Sec-WebSocket-Extensions" not in plain.websocket.response.headers
    for content in ("short", "long and “ünïcode”, " * 150 + "the end"):
        await compressed.request("send_message", conversation_id=direct, content=content)
        for socket in (compressed, plain):
            assert content == (await socket.event("new_message"))["data"]["content"]
    answers = []
    for socket in (compressed, plain):
        await socket.request("sync", conversations={direct: 0})
        answers.append(await socket.event("sync"))
    assert 2 == len(answers[0]["data"]["messages"])
    assert answers[0] == answers[1]


async def test_a_rejected_upgrade_gets_a_complete_http_response(clients: Clients) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await clients.socket(origin="https://evil.example")
    assert "application/problem+json" == refused.value.response.headers["content-type"]
    assert (await clients.http.get("/healthz")).is_success
