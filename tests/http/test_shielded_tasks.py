"""A change is completed although its client has disconnected; a read is not."""

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
    """An app whose handler signals its start, waits for permission to end, and records how it ended."""

    def __init__(self) -> None:
        self.started, self.may_end = asyncio.Event(), asyncio.Event()
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.error: Exception | None = None
        self.app: Sanic[Any, Any] = Sanic(f"shielded-tasks-{id(self)}", configure_logging=False)
        self.tasks = shielded_tasks.install(self.app)
        error_handler.install(self.app)
        bp = Blueprint("slow")

        @bp.route("/slow", methods=["GET", "POST"])
        @endpoint("Take long", tag="test", responses={204: None})
        async def act(request: Request) -> HTTPResponse:
            self.started.set()
            try:
                await self.may_end.wait()
            except asyncio.CancelledError:
                self.ended.set_result("cancelled")
                raise
            self.ended.set_result("done")
            if self.error:
                raise self.error
            return json_response()

        self.app.blueprint(bp)

    async def request_and_disconnect(self, client: RestClient, method: str) -> None:
        _, writer = await asyncio.open_connection(urlsplit(client.url("/")).hostname, client.port)
        writer.write(f"{method} /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode())
        await self.started.wait()
        server: Any = client._server
        (connection,) = server.connections
        request_task = connection._task
        writer.transport.abort()
        await asyncio.wait([request_task])


@pytest.fixture
async def slow() -> Slow:
    return Slow()


class TestHandler:
    async def test_a_change_is_completed_after_a_disconnect(self, slow: Slow) -> None:
        async with serving(slow.app) as client:
            await slow.request_and_disconnect(client, "POST")
            assert not slow.ended.done()
            slow.may_end.set()
            assert "done" == await slow.ended

    async def test_a_read_is_cancelled_by_a_disconnect(self, slow: Slow) -> None:
        async with serving(slow.app) as client:
            await slow.request_and_disconnect(client, "GET")
            assert "cancelled" == await slow.ended

    async def test_close_waits_for_running_changes(self, slow: Slow) -> None:
        """What they use is closed afterwards."""
        async with serving(slow.app) as client:
            await slow.request_and_disconnect(client, "POST")
            closing = asyncio.create_task(slow.tasks.close())
            await asyncio.wait([closing], timeout=0.05)
            assert not closing.done()
            slow.may_end.set()
            await closing
            assert slow.ended.done()

    @pytest.mark.parametrize(("error", "lines"), [(RuntimeError("unexpected"), 1), (NotFound(), 0)])
    async def test_an_unexpected_error_is_logged_after_a_disconnect(
        self, slow: Slow, error: Exception, lines: int
    ) -> None:
        """A domain error concerns only the client."""
        slow.error = error
        async with serving(slow.app) as client:
            await slow.request_and_disconnect(client, "POST")
            with capture_logs() as logged:
                slow.may_end.set()
                await slow.tasks.close()
                await asyncio.sleep(0)
            assert lines == len([line for line in logged if line["event"] == "request_failed"])
