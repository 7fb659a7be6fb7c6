"""However slowly a client's bytes come, each phase of its request has an end."""

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
"""Seconds between two bytes: many times within each limit."""
FEW = 5
AT_MOST = 5.0


@pytest.fixture
async def client() -> AsyncIterator[RestClient]:
    """`POST /slow` reads its body; `GET /long` makes an answer for ever; `GET /large` has one of 40 MB."""
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
        looking = asyncio.create_task(RequestDeadlines(server.connections, SHORT, FEW).run(0.02))
        yield client
        looking.cancel()


class Trickle:
    """A client that sends a byte now and then."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def to(cls, client: RestClient) -> "Trickle":
        return cls(*await asyncio.open_connection(client.host, client.port))

    async def send(self, at_once: bytes, drop: Callable[[int], bytes]) -> tuple[float, bytes]:
        """`at_once`, then drops until the server has had enough: after how many seconds, and what it said."""
        begun = time.monotonic()
        self.writer.write(at_once)
        said = asyncio.create_task(self.rest())
        count = 0
        while not said.done() and time.monotonic() - begun < AT_MOST:
            self.writer.write(drop(count))
            count += 1
            await asyncio.wait([said], timeout=TRICKLE)
        assert said.done(), "it is still listened to"
        return time.monotonic() - begun, await said

    async def rest(self) -> bytes:
        """All that still comes. A byte that crosses with the server's end resets the connection."""
        said = b""
        with suppress(ConnectionResetError):
            while piece := await self.reader.read(65536):
                said += piece
        return said


def a(_: int) -> bytes:
    return b"a"


class TestASlowClient:
    async def test_gets_no_further_with_its_head(self, client: RestClient) -> None:
        """408 when the time is up, however steadily the bytes come."""
        after, said = await (await Trickle.to(client)).send(b"GET /long HTTP/1.1\r\nX: ", a)
        assert said.startswith(b"HTTP/1.1 408 ")
        assert SHORT["head"] <= after

    async def test_gets_no_further_with_endless_headers(self, client: RestClient) -> None:
        """Whole lines are no better than bytes."""
        _, said = await (await Trickle.to(client)).send(b"GET / HTTP/1.1\r\n", lambda n: b"X-%d: y\r\n" % n)
        assert said.startswith(b"HTTP/1.1 408 ")

    @pytest.mark.parametrize("length", [b"Content-Length: 60000", b"Transfer-Encoding: chunked"])
    async def test_gets_no_further_with_its_body(self, client: RestClient, length: bytes) -> None:
        """Nor with the body, of a known length or in chunks."""
        drop = a if b"Length" in length else lambda _: b"1\r\na\r\n"
        after, said = await (await Trickle.to(client)).send(b"POST /slow HTTP/1.1\r\n%b\r\n\r\n" % length, drop)
        assert said.startswith(b"HTTP/1.1 408 ")
        assert SHORT["body"] <= after

    async def test_gets_no_further_with_a_body_that_nobody_wants(self, client: RestClient) -> None:
        """What comes after a refusal is thrown away, but not for ever."""
        _, said = await (await Trickle.to(client)).send(b"POST /none HTTP/1.1\r\nContent-Length: 60000\r\n\r\n", a)
        assert said.startswith(b"HTTP/1.1 404 ")

    async def test_gets_no_further_by_talking_meanwhile(self, client: RestClient) -> None:
        """Bytes of a next request do not prolong the wait for an answer."""
        _, said = await (await Trickle.to(client)).send(b"GET /long HTTP/1.1\r\nHost: x\r\n\r\n", a)
        assert said.startswith(b"HTTP/1.1 503 ")

    async def test_does_not_read(self, client: RestClient) -> None:
        """Who does not take the answer is left, though it keeps talking."""
        trickle = await Trickle.to(client)
        trickle.writer.write(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        server: Any = client._server
        deadline = time.monotonic() + AT_MOST
        await asyncio.sleep(SHORT["response"] / 2)
        assert server.connections
        while server.connections and time.monotonic() < deadline:
            trickle.writer.write(b"a")
            await asyncio.sleep(TRICKLE)
        assert not server.connections


class TestAnHonestClient:
    async def test_may_take_as_long_as_it_says(self, client: RestClient) -> None:
        """Many requests on one connection, each within its time, together far beyond it."""
        trickle = await Trickle.to(client)
        begun = time.monotonic()
        while time.monotonic() - begun < 3 * SHORT["body"]:
            for piece in (b"POST /slow HTTP/1.1\r\nContent-", b"Length: 2\r\n\r\na", b"b"):
                trickle.writer.write(piece)
                await asyncio.sleep(TRICKLE)
            assert (await trickle.reader.readuntil(b"\r\n\r\n2")).startswith(b"HTTP/1.1 200 ")

    async def test_may_be_idle(self, client: RestClient) -> None:
        """Between two requests there is no hurry."""
        trickle = await Trickle.to(client)
        for _ in range(2):
            trickle.writer.write(b"POST /slow HTTP/1.1\r\nContent-Length: 0\r\n\r\n")
            assert (await trickle.reader.readuntil(b"\r\n\r\n0")).startswith(b"HTTP/1.1 200 ")
            await asyncio.sleep(2 * SHORT["head"])


class TestIdleConnections:
    async def test_are_bounded(self, client: RestClient) -> None:
        """Of too many the oldest go; one that asks something is not idle."""
        idle = [await Trickle.to(client) for _ in range(4 * FEW)]
        begun = time.monotonic()
        cut = [asyncio.create_task(trickle.reader.read()) for trickle in idle[: 3 * FEW]]
        assert [b""] * (3 * FEW) == await asyncio.wait_for(asyncio.gather(*cut), AT_MOST)
        assert time.monotonic() - begun >= SHORT["idle"] / 2, "newcomers have the time to ask for something"
        idle[-1].writer.write(b"POST /slow HTTP/1.1\r\nContent-Length: 0\r\n\r\n")
        assert (await idle[-1].reader.readline()).startswith(b"HTTP/1.1 200 ")


def test_the_limits_are_what_people_need() -> None:
    """Sanic's own, which tell a silent client sooner, are not longer; a look comes often enough to matter."""
    assert DEADLINES["head"] <= 30
    assert DEADLINES["body"] <= 60
    assert CHECK_INTERVAL <= min(DEADLINES.values()) / 5
