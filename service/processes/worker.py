"""A worker process: one Sanic app on uvloop, serving on a socket that its parent has opened.

The app is served by `create_server` on a loop of our own, and not by `Sanic.serve_single`, for the sake of the end:
here the signals stay ours until the last connection is gone, and every step of it has a limit.
"""

# mypy: allow-untyped-calls

import asyncio
import gc
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

import structlog
import uvloop
from sanic.application.state import ApplicationServerInfo
from sanic.http.constants import HTTP
from sanic.server.protocols.http_protocol import HttpProtocol

from config.settings import Settings
from service.app import create_app
from service.common.tasks import cancel_and_wait
from service.http.request_deadlines import RequestDeadlines
from service.http.strict_protocol import StrictHttpProtocol
from service.processes.supervisor import BACKLOG
from service.telemetry import logs, multiprocess

log = structlog.get_logger()

FINISH_LIMIT = 4.0
"""Seconds for requests under way to get their answer. With the app's own drain before, at most 20 s, it stays below the
parent's limit."""
POLL_INTERVAL = 0.05
SWITCH_INTERVAL = 0.001
"""Seconds for which a thread may keep the interpreter while others want it, instead of Python's 0.005. The database's
answers are read by threads of its driver: while the loop writes to a thousand connections, each answer waited for the
whole interval, several times over."""


def run(settings: Settings, opened: socket.socket, report: socket.socket) -> None:
    """Serve on `opened` until SIGTERM or SIGINT. One byte goes to `report` when it is ready."""
    logs.configure(settings.log_level)
    sys.setswitchinterval(SWITCH_INTERVAL)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(settings, opened, report))


async def _run(settings: Settings, opened: socket.socket, report: socket.socket) -> None:
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        # Both may come, and come again: from the parent, from a terminal, from Heroku to every process at once.
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    try:
        async with serving(settings, opened):
            with report:
                report.send(b"\n")
            await told.wait()
    except Exception:
        log.exception("worker_failed")
        # What has been started may hold up an orderly end, and nothing is worth one: what was acknowledged is stored.
        os._exit(1)


@asynccontextmanager
async def serving(settings: Settings, opened: socket.socket) -> AsyncIterator[None]:
    """The app, serving on `opened` while the block runs; afterwards it drains, and is gone when this ends."""
    app = create_app(settings=settings)
    # Sanic fills this in when it serves by itself; without it, every answer has an empty Alt-Svc header.
    host, port = opened.getsockname()[:2]
    served = {"version": HTTP.VERSION_1, "host": host, "port": port, "sock": None, "unix": None, "ssl": None}
    app.state.server_info.append(ApplicationServerInfo(settings=served))
    server = await app.create_server(
        sock=opened,
        protocol=StrictHttpProtocol,
        backlog=BACKLOG,
        asyncio_server_kwargs={"start_serving": False},
    )
    assert server is not None
    await server.startup()
    await server.before_start()
    await server.start_serving()
    await server.after_start()
    # What is here by now stays: the collector of garbage need not look at it again and again.
    gc.collect()
    gc.freeze()
    deadlines = asyncio.create_task(RequestDeadlines(server.connections).run())
    yield
    await cancel_and_wait(deadlines)
    # The app drains. Requests are still answered meanwhile, so that a load balancer hears of it.
    await server.before_stop()
    server.close()
    await _finish(server.connections)
    await server.after_stop()
    multiprocess.remove_this_process()


async def _finish(connections: Collection[HttpProtocol]) -> None:
    """Close each connection as soon as its request has been answered; after the limit, close what is left."""
    deadline = asyncio.get_running_loop().time() + FINISH_LIMIT
    while connections and asyncio.get_running_loop().time() < deadline:
        for connection in list(connections):
            connection.close_if_idle()
        await asyncio.sleep(POLL_INTERVAL)
    if connections:
        log.warning("requests_cut", count=len(connections))
    for connection in list(connections):
        connection.abort()
