"""What can be done to a server by those who hold a connection, or a thousand, and mean no good."""

import asyncio
import json
import os
import struct
from pathlib import Path
from urllib.parse import urlsplit

from websockets.asyncio.client import connect

from service.http.request_deadlines import MAX_IDLE
from tests.protocol.test_frames import frame
from tests.protocol.world import API, Person, World

MANY = 1500
"""Connections that say nothing: more than a process keeps. By hand as many as the machine lets one have."""
FLOOD = 20_000
GROWTH = 40 * 1024 * 1024
"""Bytes that a process may grow by while it is flooded with far more than that."""


def memory(world: World) -> int:
    """Of the one worker, in bytes."""
    (worker,) = world.server.workers
    return int(Path(f"/proc/{worker}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def test_compression_is_not_spoken(world: World, anna: Person) -> None:
    """It is offered and not taken: so there is no small frame that becomes a large message."""
    url = f"{world.server.websocket_url}{API}/ws/chat"
    async with connect(url, additional_headers=anna.bearer, proxy=None, compression="deflate") as socket:
        assert socket.response
        assert "permessage-deflate" in socket.request.headers["Sec-WebSocket-Extensions"]  # type: ignore[union-attr]
        assert "Sec-WebSocket-Extensions" not in socket.response.headers
        assert [] == list(socket.protocol.extensions)


async def test_a_compression_bomb_is_a_protocol_error(anna: Person) -> None:
    """A frame that says it is compressed is refused before anyone looks into it."""
    socket = await anna.chat()
    socket.websocket.transport.write(frame(0xC1, b"\xec\xc1\x01\x01"))
    assert 1002 == (await socket.closed())[0]


async def test_a_compressed_body_is_not_unpacked(anna: Person) -> None:
    """Over HTTP, too, what is packed is just no JSON."""
    bomb = b"\x1f\x8b\x08\x00" + b"\0" * 100
    headers = anna.bearer | {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    answer = await anna.world.call("POST", "/posts", headers=headers, content=bomb)
    assert (400, "malformed_json") == (answer.status_code, answer.json()["code"])


async def test_a_flood_of_pings_from_one_who_does_not_read(world: World, anna: Person, ben: Person) -> None:
    """Pongs do not pile up, and another's message takes its usual way meanwhile."""
    direct = await anna.talk(ben)
    flooder, listener = await anna.chat(), await ben.chat()
    transport = flooder.websocket.transport
    transport.pause_reading()
    before = memory(world)
    transport.write(frame(0x89, b"x" * 125) * FLOOD)
    transport.write(frame(0x81, b'{"type": "ping", "ref": "%b"}' % (b"x" * 64)) * FLOOD)
    said = await anna.say(direct)
    assert said == (await listener.event("new_message"))["data"]
    assert memory(world) - before < GROWTH
    transport.abort()


async def test_endless_pieces(world: World, anna: Person) -> None:
    """A message whose last piece never comes costs what a message may cost, and ends the connection at that."""
    before = memory(world)
    for first, more in ((frame(0x01, b"{"), frame(0x00, b"")), (frame(0x01, b"x" * 125), frame(0x00, b"x" * 125))):
        socket = await anna.chat()
        socket.websocket.transport.write(first + more * FLOOD)
        assert (1009, "too_large") == await socket.closed()
    assert memory(world) - before < GROWTH


async def test_a_frame_that_announces_too_much(anna: Person) -> None:
    """Its head is enough to refuse it: nobody waits for, or makes room for, what it says will come."""
    for length in (65537, 2**31, 2**62):
        socket = await anna.chat()
        socket.websocket.transport.write(struct.pack("!BBQ", 0x81, 0x80 | 127, length) + b"\0\0\0\0")
        assert (1009, "too_large") == await socket.closed()


async def test_deep_json(anna: Person) -> None:
    """Nesting without end is an error like any other."""
    socket = await anna.chat()
    for text in ("[" * 30_000, '{"a":' * 10_000, '{"type": "ping", "ref": ' + "[" * 20_000 + "]" * 20_000 + "}"):
        await socket.raw(text)
        assert "error" == (await socket.event("error"))["type"]
    await socket.fence()


async def test_thousands_who_say_nothing(world: World, anna: Person) -> None:
    """Connections that never ask anything are let go beyond a number, and those who ask are served meanwhile."""
    place = urlsplit(world.server.url)
    before = memory(world)
    opened = [await asyncio.open_connection(place.hostname, place.port) for _ in range(MANY)]
    gone = {asyncio.create_task(reader.read()) for reader, _ in opened}
    open_ = gone
    while len(open_) > MAX_IDLE:
        await anna.get("/users/me")
        done, open_ = await asyncio.wait(open_, timeout=20, return_when=asyncio.FIRST_COMPLETED)
        assert done, f"{len(open_)} connections are kept that have never said anything"
        assert {b""} == {task.result() for task in done}
    assert memory(world) - before < GROWTH
    socket = await anna.chat()
    await socket.fence()
    for _, writer in opened:
        writer.transport.abort()
    await asyncio.gather(*gone, return_exceptions=True)


async def test_a_socket_of_nobody_is_gone_at_once(world: World) -> None:
    """Without a credential no connection is kept: the socket is accepted only to be told why it is closed."""
    socket = await world.socket()
    assert (1008, "token_missing") == await socket.closed(within=5)
    assert [] == socket.seen


async def test_who_does_not_say_goodbye(world: World) -> None:
    """A refused socket whose client does not answer the close is cut off soon after."""
    place = urlsplit(world.server.url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    key = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
    head = f"GET {API}/ws/chat HTTP/1.1\r\nHost: x\r\nConnection: ConnectionOpener\r\nUpgrade: websocket\r\n{key}\r\n"
    writer.write(head.encode())
    said = await asyncio.wait_for(reader.read(), 20)
    assert said.startswith(b"HTTP/1.1 101 ")
    assert said.endswith(b"token_missing")
    writer.transport.abort()


async def test_other_sites_cannot_ride_along(world: World, anna: Person) -> None:
    """Cross-site hijacking: a foreign page has no cookie to send, and is refused before its token is looked at."""
    place = urlsplit(world.server.url)
    for origin in ("https://evil.example", "null", f"http://{place.hostname}.evil.example", f"{world.server.url}.evil"):
        for path in ("/ws/chat", "/ws/notifications", "/notifications/stream"):
            headers = {
                "Origin": origin,
                "Connection": "Upgrade",
                "Upgrade": "websocket",
                "Sec-WebSocket-Version": "13",
                "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
            }
            for token in (anna.token, "garbage"):
                answer = await world.http.get(API + path, params={"token": token}, headers=headers)
                assert (403, "origin_not_allowed") == (answer.status_code, json.loads(answer.text)["code"])
    answer = await world.http.post(
        API + "/auth/login", json={"username": anna.username, "password": anna.password}, headers={"Origin": "null"}
    )
    assert "Set-Cookie" not in answer.headers, "nothing is sent along by a browser on its own"
