"""A change goes on when its client has hung up; a look does not."""

import asyncio
from typing import Any
from urllib.parse import urlsplit

import pytest
from sanic import Blueprint, HTTPResponse, Request, Sanic
from structlog.testing import capture_logs

from service.common.errors import NotFound
from service.http import error_handler, shielded_tasks
from service.http.endpoint import endpoint, json_response
from tests.rest import RestClient, serving


class Slow:
    """An app whose handler says when it has begun, ends when it is let, and notes how it ended."""

    def __init__(self) -> None:
        self.begun, self.let = asyncio.Event(), asyncio.Event()
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.fault: Exception | None = None
        self.app: Sanic[Any, Any] = Sanic(f"shielded-tasks-{id(self)}", configure_logging=False)
        self.under_way = shielded_tasks.install(self.app)
        error_handler.install(self.app)
        bp = Blueprint("slow")

        @bp.route("/slow", methods=["GET", "POST"])
        @endpoint("Take long", tag="test", responses={204: None})
        async def act(request: Request) -> HTTPResponse:
            self.begun.set()
            try:
                await self.let.wait()
            except asyncio.CancelledError:
                self.ended.set_result("cancelled")
                raise
            self.ended.set_result("done")
            if self.fault:
                raise self.fault
            return json_response()

        self.app.blueprint(bp)

    async def ask_and_hang_up(self, client: RestClient, method: str) -> None:
        _, writer = await asyncio.open_connection(urlsplit(client.url("/")).hostname, client.port)
        writer.write(f"{method} /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode())
        await self.begun.wait()
        server: Any = client._server
        (connection,) = server.connections
        request_task = connection._task
        writer.transport.abort()
        await asyncio.wait([request_task])


@pytest.fixture
async def slow() -> Slow:
    return Slow()


class TestAHandler:
    async def test_goes_on_with_a_change(self, slow: Slow) -> None:
        """The request is over, and the change is not."""
        async with serving(slow.app) as client:
            await slow.ask_and_hang_up(client, "POST")
            assert not slow.ended.done()
            slow.let.set()
            assert "done" == await slow.ended

    async def test_does_not_go_on_with_a_look(self, slow: Slow) -> None:
        """Nobody is there for what it would find."""
        async with serving(slow.app) as client:
            await slow.ask_and_hang_up(client, "GET")
            assert "cancelled" == await slow.ended

    async def test_is_waited_for_at_the_end(self, slow: Slow) -> None:
        """What it stands on is closed after it."""
        async with serving(slow.app) as client:
            await slow.ask_and_hang_up(client, "POST")
            closing = asyncio.create_task(slow.under_way.close())
            await asyncio.wait([closing], timeout=0.05)
            assert not closing.done()
            slow.let.set()
            await closing
            assert slow.ended.done()

    @pytest.mark.parametrize(("fault", "lines"), [(RuntimeError("a fault of ours"), 1), (NotFound(), 0)])
    async def test_tells_of_its_fault(self, slow: Slow, fault: Exception, lines: int) -> None:
        """A fault that no client saw is still in the log; a refusal concerned nobody else."""
        slow.fault = fault
        async with serving(slow.app) as client:
            await slow.ask_and_hang_up(client, "POST")
            with capture_logs() as logged:
                slow.let.set()
                await slow.under_way.close()
                await asyncio.sleep(0)
            assert lines == len([line for line in logged if line["event"] == "request_failed"])
