"""A client that sends one byte a second, so that a timeout which restarts with every byte would never fire."""

import asyncio
import time
from contextlib import suppress
from urllib.parse import urlsplit

from service.http.request_deadlines import CHECK_INTERVAL, DEADLINES
from tests.protocol.clients import API
from tests.running import Server

BYTE_INTERVAL = 1.0
"""Seconds between two bytes."""
TOLERANCE = 15.0
"""Seconds of tolerance for a machine that is busy with other tests."""
HEAD = f"GET {API}/users/me HTTP/1.1\r\nHost: x\r\nX-Slow: "
BODY = f"POST {API}/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 60000\r\n\r\n"


async def send_slowly(server: Server, phase: str) -> None:
    """Send the head or the body slowly until the server answers 408, neither too early nor too late."""
    address = urlsplit(server.url)
    limit = DEADLINES["head" if phase == "head" else "body"]
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    started = time.monotonic()
    writer.write((HEAD if phase == "head" else BODY).encode())
    response = asyncio.create_task(reader.read(65536))
    while not response.done():
        assert time.monotonic() - started < limit + 2 * CHECK_INTERVAL + TOLERANCE, "the connection is still open"
        writer.write(b"a")
        await asyncio.wait([response], timeout=BYTE_INTERVAL)
    assert time.monotonic() - started >= limit - CHECK_INTERVAL, "the connection was closed too early"
    with suppress(ConnectionResetError):
        assert (await response).startswith(b"HTTP/1.1 408 ")
    writer.transport.abort()
