"""Attacks by clients that hold one WebSocket or many connections."""

import asyncio
import json
import os
import struct
import zlib
from pathlib import Path
from urllib.parse import urlsplit

from service.http.request_deadlines import MAX_IDLE
from service.realtime.websocket import MAX_MESSAGE_BYTES
from tests.protocol.clients import API, Clients, User
from tests.protocol.test_frames import frame

CONNECTIONS = 1500
"""Connections that send nothing: more than a process keeps. `tests/faults` opens as many as the machine allows."""
FLOOD = 20_000
BOMB_MEGABYTES = 32
GROWTH = 40 * 1024 * 1024
"""Bytes by which a process may grow while it is flooded with far more."""


def memory(clients: Clients) -> int:
    """The resident memory of the one worker, in bytes."""
    (worker,) = clients.server.workers
    return int(Path(f"/proc/{worker}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def test_a_compression_bomb_closes_with_1009(clients: Clients, anna: User) -> None:
    """No more of it is expanded than a message may have."""
    compressor = zlib.compressobj(9, wbits=-15)
    bomb = b"".join(compressor.compress(bytes(1 << 20)) for _ in range(BOMB_MEGABYTES)) + compressor.flush()
    before = memory(clients)
    socket = await anna.chat_socket(compression="deflate")
    assert len(bomb) < MAX_MESSAGE_BYTES
    socket.websocket.transport.write(frame(0xC1, bomb))
    assert 1009 == (await socket.closed())[0]
    assert memory(clients) - before < BOMB_MEGABYTES * 1024 * 1024 / 4


async def test_a_compressed_frame_without_negotiation_closes_with_1002(anna: User) -> None:
    """A frame with the compression bit is rejected before its payload is read."""
    socket = await anna.chat_socket()
    socket.websocket.transport.write(frame(0xC1, b"\xec\xc1\x01\x01"))
    assert 1002 == (await socket.closed())[0]


async def test_broken_compression_closes_with_1002(anna: User) -> None:
    socket = await anna.chat_socket(compression="deflate")
    socket.websocket.transport.write(frame(0xC1, b"\xff" * 20))
    assert 1002 == (await socket.closed())[0]


async def test_a_gzip_body_is_rejected_without_decompression(anna: User) -> None:
    """Compressed bytes over HTTP are simply invalid JSON."""
    bomb = b"\x1f\x8b\x08\x00" + b"\0" * 100
    headers = anna.bearer | {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    answer = await anna.clients.call("POST", "/posts", headers=headers, content=bomb)
    assert (400, "malformed_json") == (answer.status_code, answer.json()["code"])


async def test_pings_from_a_client_that_does_not_read_use_bounded_memory(
    clients: Clients, anna: User, ben: User
) -> None:
    """Pongs do not accumulate, and another user's message is delivered meanwhile."""
    direct = await anna.start_conversation(ben)
    flooder, listener = await anna.chat_socket(), await ben.chat_socket()
    transport = flooder.websocket.transport
    transport.pause_reading()
    before = memory(clients)
    transport.write(frame(0x89, b"x" * 125) * FLOOD)
    transport.write(frame(0x81, b'{"type": "ping", "ref": "%b"}' % (b"x" * 64)) * FLOOD)
    message = await anna.send_message(direct)
    assert message == (await listener.event("new_message"))["data"]
    assert memory(clients) - before < GROWTH
    transport.abort()


async def test_a_message_with_endless_fragments_closes_with_1009(clients: Clients, anna: User) -> None:
    """A message whose last fragment never comes uses no more memory than a complete one, then the connection is
    closed."""
    before = memory(clients)
    for first, more in ((frame(0x01, b"{"), frame(0x00, b"")), (frame(0x01, b"x" * 125), frame(0x00, b"x" * 125))):
        socket = await anna.chat_socket()
        socket.websocket.transport.write(first + more * FLOOD)
        assert (1009, "too_large") == await socket.closed()
    assert memory(clients) - before < GROWTH


async def test_a_frame_header_over_64_kib_closes_with_1009(anna: User) -> None:
    """The frame header suffices to reject it: the server neither waits for the payload nor allocates memory for it."""
    for length in (65537, 2**31, 2**62):
        socket = await anna.chat_socket()
        socket.websocket.transport.write(struct.pack("!BBQ", 0x81, 0x80 | 127, length) + b"\0\0\0\0")
        assert (1009, "too_large") == await socket.closed()


async def test_deeply_nested_json_is_answered_with_an_error(anna: User) -> None:
    """Deep nesting is answered like any other invalid input."""
    socket = await anna.chat_socket()
    for text in ("[" * 30_000, '{"a":' * 10_000, '{"type": "ping", "ref": ' + "[" * 20_000 + "]" * 20_000 + "}"):
        await socket.send_raw(text)
        assert "error" == (await socket.event("error"))["type"]
    await socket.flush()


async def test_idle_connections_beyond_the_limit_are_closed(clients: Clients, anna: User) -> None:
    """Connections that send nothing are closed beyond a limit, and others are served meanwhile."""
    address = urlsplit(clients.server.url)
    before = memory(clients)
    opened = [await asyncio.open_connection(address.hostname, address.port) for _ in range(CONNECTIONS)]
    gone = {asyncio.create_task(reader.read()) for reader, _ in opened}
    open_ = gone
    while len(open_) > MAX_IDLE:
        await anna.get("/users/me")
        done, open_ = await asyncio.wait(open_, timeout=20, return_when=asyncio.FIRST_COMPLETED)
        assert done, f"{len(open_)} idle connections are kept"
        assert {b""} == {task.result() for task in done}
    assert memory(clients) - before < GROWTH
    socket = await anna.chat_socket()
    await socket.flush()
    for _, writer in opened:
        writer.transport.abort()
    await asyncio.gather(*gone, return_exceptions=True)


async def test_a_socket_without_credentials_is_closed_immediately(clients: Clients) -> None:
    """The handshake is accepted only to send the close code and reason."""
    socket = await clients.socket()
    assert (1008, "token_missing") == await socket.closed(within=5)
    assert [] == socket.received


async def test_a_rejected_client_that_sends_no_close_frame_is_disconnected(clients: Clients) -> None:
    """A rejected client that does not answer the close frame is cut off soon after."""
    address = urlsplit(clients.server.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    key = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
    head = f"GET {API}/ws/chat HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{key}\r\n"
    writer.write(head.encode())
    response = await asyncio.wait_for(reader.read(), 20)
    assert response.startswith(b"HTTP/1.1 101 ")
    assert response.endswith(b"token_missing")
    writer.transport.abort()


async def test_foreign_origins_are_rejected_before_the_token_is_checked(clients: Clients, anna: User) -> None:
    """Cross-site WebSocket hijacking: there are no cookies, and the origin is checked before the token."""
    address = urlsplit(clients.server.url)
    for origin in (
        "https://evil.example",
        "null",
        f"http://{address.hostname}.evil.example",
        f"{clients.server.url}.evil",
    ):
        for path in ("/ws/chat", "/ws/notifications", "/notifications/stream"):
            headers = {
                "Origin": origin,
                "Connection": "Upgrade",
                "Upgrade": "websocket",
                "Sec-WebSocket-Version": "13",
                "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
            }
            for token in (anna.token, "garbage"):
                answer = await clients.http.get(API + path, params={"token": token}, headers=headers)
                assert (403, "origin_not_allowed") == (answer.status_code, json.loads(answer.text)["code"])
    answer = await clients.http.post(
        API + "/auth/login", json={"username": anna.username, "password": anna.password}, headers={"Origin": "null"}
    )
    assert "Set-Cookie" not in answer.headers, "there must be no cookie that a browser sends by itself"
