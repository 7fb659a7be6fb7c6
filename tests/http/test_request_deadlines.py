"""Each phase of a request has a deadline, however slowly the bytes arrive."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

import pytest
from sanic import HTTPResponse, Request, Sanic

from service.http import error_handler
from service.http.request_deadlines import CHECK_INTERVAL, DEADLINES, Phase, RequestDeadlines
from tests.rest import RestClient, serving

SHORT: dict[Phase, float] = {"idle": 0.2, "head": 0.4, "body": 0.4, "response": 0.4}
TRICKLE = 0.02
"""Seconds between two bytes, much shorter than each deadline."""
MAX_IDLE = 5
TIMEOUT = 5.0


@pytest.fixture
async def client() -> AsyncIterator[RestClient]:
    """`POST /slow` reads its body; `GET /long` takes a minute; `GET /large` has a response of 40 MB."""
    app: Sanic[Any, Any] = Sanic(f"deadlines-{time.monotonic_ns()}", configure_logging=False)
    error_handler.install(app)

    @app.post("/slow")
    async def slow(request: Request) -> HTTPResponse:
        return HTTPResponse(str(len(request.body)))

    @app.get("/long")
    async def long(request: Request) -> HTTPResponse:
        await asyncio.sleep(60)
        return HTTPResponse("late")

    @app.get("/large")
    async def large(request: Request) -> HTTPResponse:
        return HTTPResponse(b"x" * 40_000_000)

    async with serving(app) as client:
        server: Any = client._server
        checking = asyncio.create_task(RequestDeadlines(server.connections, SHORT, MAX_IDLE).run(0.02))
        yield client
        checking.cancel()


class Trickle:
    """A client that sends a few bytes now and then."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def to(cls, client: RestClient) -> "Trickle":
        return cls(*await asyncio.open_connection(client.host, client.port))

    async def send(self, start: bytes, piece: Callable[[int], bytes]) -> tuple[float, bytes]:
        """Write `start`, then `piece(n)` repeatedly until the server responds. Returns duration and response."""
        started = time.monotonic()
        self.writer.write(start)
        response = asyncio.create_task(self.rest())
        count = 0
        while not response.done() and time.monotonic() - started < TIMEOUT:
            self.writer.write(piece(count))
            count += 1
            await asyncio.wait([response], timeout=TRICKLE)
        assert response.done(), "the server still reads"
        return time.monotonic() - started, await response

    async def rest(self) -> bytes:
        """Read until the end. Bytes sent after the server has closed reset the connection."""
        response = b""
        with suppress(ConnectionResetError):
            while data := await self.reader.read(65536):
                response += data
        return response


def a(_: int) -> bytes:
    return b"a"


class TestSlowClient:
    async def test_slow_head_gets_408(self, client: RestClient) -> None:
        """However steadily the bytes arrive."""
        after, response = await (await Trickle.to(client)).send(b"GET /long HTTP/1.1\r\nX: ", a)
        assert response.startswith(b"HTTP/1.1 408 ")
        assert SHORT["head"] <= after

    async def test_endless_headers_get_408(self, client: RestClient) -> None:
        """Complete lines do not extend the deadline."""
        _, response = await (await Trickle.to(client)).send(b"GET / HTTP/1.1\r\n", lambda n: b"X-%d: y\r\n" % n)
        assert response.startswith(b"HTTP/1.1 408 ")

    @pytest.mark.parametrize("length", [b"Content-Length: 60000", b"Transfer-Encoding: chunked"])
    async def test_slow_body_gets_408(self, client: RestClient, length: bytes) -> None:
        """With a known length or in chunks."""
        piece = a if b"Length" in length else lambda _: b"1\r\na\r\n"
        after, response = await (await Trickle.to(client)).send(b"POST /slow HTTP/1.1\r\n%b\r\n\r\n" % length, piece)
        assert response.startswith(b"HTTP/1.1 408 ")
        assert SHORT["body"] <= after

    async def test_slow_body_after_an_error_is_aborted(self, client: RestClient) -> None:
        """The rest of the body is discarded, but only until the deadline."""
        _, response = await (await Trickle.to(client)).send(b"POST /none HTTP/1.1\r\nContent-Length: 60000\r\n\r\n", a)
        assert response.startswith(b"HTTP/1.1 404 ")

    async def test_sending_does_not_extend_the_response_deadline(self, client: RestClient) -> None:
        """Bytes of a next request do not count."""
        _, response = await (await Trickle.to(client)).send(b"GET /long HTTP/1.1\r\nHost: x\r\n\r\n", a)
        assert response.startswith(b"HTTP/1.1 503 ")

    async def test_client_that_does_not_read_is_disconnected(self, client: RestClient) -> None:
        """Even if it keeps sending."""
        trickle = await Trickle.to(client)
        trickle.writer.write(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        server: Any = client._server
        deadline = time.monotonic() + TIMEOUT
        await asyncio.sleep(SHORT["response"] / 2)
        assert server.connections
        while server.connections and time.monotonic() < deadline:
            trickle.writer.write(b"a")
            await asyncio.sleep(TRICKLE)
        assert not server.connections


class TestNormalClient:
    async def test_many_requests_on_one_connection_exceed_no_deadline(self, client: RestClient) -> None:
        """Each request has a deadline of its own."""
        trickle = await Trickle.to(client)
        started = time.monotonic()
        while time.monotonic() - started < 3 * SHORT["body"]:
            for data in (b"POST /slow HTTP/1.1\r\nContent-", b"Length: 2\r\n\r\na", b"b"):
                trickle.writer.write(data)
                await asyncio.sleep(TRICKLE)
            assert (await trickle.reader.readuntil(b"\r\n\r\n2")).startswith(b"HTTP/1.1 200 ")

    async def test_connection_may_be_idle_between_requests(self, client: RestClient) -> None:
        trickle = await Trickle.to(client)
        for _ in range(2):
            trickle.writer.write(b"POST /slow HTTP/1.1\r\nContent-Length: 0\r\n\r\n")
            assert (await trickle.reader.readuntil(b"\r\n\r\n0")).startswith(b"HTTP/1.1 200 ")
            await asyncio.sleep(2 * SHORT["head"])


class TestIdleConnections:
    async def test_are_limited(self, client: RestClient) -> None:
        """The longest idle connections beyond the limit are closed; one with a request is not idle."""
        idle = [await Trickle.to(client) for _ in range(4 * MAX_IDLE)]
        started = time.monotonic()
        closed = [asyncio.create_task(trickle.reader.read()) for trickle in idle[: 3 * MAX_IDLE]]
        assert [b""] * (3 * MAX_IDLE) == await asyncio.wait_for(asyncio.gather(*closed), TIMEOUT)
        assert time.monotonic() - started >= SHORT["idle"] / 2, "new connections have time to send a request"
        idle[-1].writer.write(b"POST /slow HTTP/1.1\r\nContent-Length: 0\r\n\r\n")
        assert (await idle[-1].reader.readline()).startswith(b"HTTP/1.1 200 ")


def test_deadlines_exceed_the_timeouts_of_sanic_and_are_checked_often() -> None:
    """Not much longer than Sanic's own timeouts, and checked often enough."""
    assert DEADLINES["head"] <= 30
    assert DEADLINES["body"] <= 60
    assert CHECK_INTERVAL <= min(DEADLINES.values()) / 5
