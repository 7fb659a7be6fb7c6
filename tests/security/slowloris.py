"""A client that sends a byte a second, so that no timeout which begins anew with each of them ever ends."""

import asyncio
import time
from contextlib import suppress
from urllib.parse import urlsplit

from service.http.request_deadlines import INTERVAL, LIMITS
from tests.protocol.world import API
from tests.running import Server

DROP = 1.0
"""Seconds between two bytes."""
SLACK = 15.0
"""Seconds for a machine that is busy with other tests."""
HEAD = f"GET {API}/users/me HTTP/1.1\r\nHost: x\r\nX-Slow: "
BODY = f"POST {API}/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 60000\r\n\r\n"


async def trickle(server: Server, phase: str) -> None:
    """Be slow with the head or with the body, until the server has had enough: that is neither early nor late."""
    place = urlsplit(server.url)
    limit = LIMITS["head" if phase == "head" else "body"]
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    begun = time.monotonic()
    writer.write((HEAD if phase == "head" else BODY).encode())
    said = asyncio.create_task(reader.read(65536))
    while not said.done():
        assert time.monotonic() - begun < limit + 2 * INTERVAL + SLACK, "it is still listened to"
        writer.write(b"a")
        await asyncio.wait([said], timeout=DROP)
    assert time.monotonic() - begun >= limit - INTERVAL, "it was not given its time"
    with suppress(ConnectionResetError):
        assert (await said).startswith(b"HTTP/1.1 408 ")
    writer.transport.abort()
