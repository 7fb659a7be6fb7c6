"""A worker process: one Sanic app on uvloop, serving on a socket that its parent has opened.

`create_server` runs the app on this module's own loop, and not `Sanic.serve_single`, because of the shutdown: the
signal handlers stay in place until the last connection has gone, and every step has a time limit.
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
from typing import Any

import structlog
import uvloop
from pymongo.errors import PyMongoError
from sanic import Sanic
from sanic.application.state import ApplicationServerInfo
from sanic.http.constants import HTTP
from sanic.server.protocols.http_protocol import HttpProtocol

from config.settings import Settings
from service.app import create_app
from service.commands.release import CannotRelease, release
from service.common.tasks import cancel_and_wait
from service.datastores.failure_reason import failure_reason
from service.datastores.redis import InvalidRedisURL, verifies_certificate
from service.http.request_deadlines import RequestDeadlines
from service.http.strict_protocol import StrictHttpProtocol
from service.processes.control import DONE, FAILED, PREPARE
from service.processes.redis_check import redis_problem
from service.processes.supervisor import BACKLOG, log_line
from service.telemetry import logs, multiprocess

log = structlog.get_logger()

FINISH_TIMEOUT = 4.0
"""Seconds for requests in progress to be answered. Together with the app's own drain before, at most 20 s, it stays
below the parent's DRAIN_TIMEOUT."""
POLL_INTERVAL = 0.05
SWITCH_INTERVAL = 0.001
"""Seconds for which a thread may keep the interpreter while others want it, instead of Python's 0.005. Threads of the
database driver read its replies: while the loop writes to a thousand connections, each reply waited for the whole
interval, several times over."""

GC_THRESHOLDS = (2000, 5, 100)
"""New objects before Python looks for garbage among them, and looks of one kind before the next larger one, instead of
700, 10 and 10. The largest visits every object of every connection, for 70 ms with 2,000 of them, during which nothing
else happens. There is little to find, because what a connection held is freed when it closes; so the largest may be
rare. The second visits 12,000 objects."""


def run(settings: Settings, listener: socket.socket, control: socket.socket) -> int:
    """Serve on `listener` until SIGTERM or SIGINT, as the parent requests on `control`. Returns the exit code."""
    logs.configure(settings.log_level)
    sys.setswitchinterval(SWITCH_INTERVAL)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_run(settings, listener, control))


async def _run(settings: Settings, listener: socket.socket, control: socket.socket) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        # Both may arrive, and repeatedly: from the parent, from a terminal, from Heroku to every process at once.
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    control.setblocking(False)
    try:
        try:
            app = create_app(settings=settings)
        except (PyMongoError, InvalidRedisURL) as error:
            return await _fail(error, settings, control, stop)
        request = await _next_request(control, stop)
        if request == PREPARE:
            if not await _prepare(settings):
                control.send(FAILED)
                return 1
            control.send(DONE)
            request = await _next_request(control, stop)
        if not request:
            return 0
        async with serving(app, listener):
            with control:
                control.send(DONE)
            await stop.wait()
    except Exception:
        log.exception("worker_failed")
        # An orderly shutdown could hang on a part that has started, and is not needed: acknowledged data is stored.
        os._exit(1)
    return 0


async def _fail(error: Exception, settings: Settings, control: socket.socket, stop: asyncio.Event) -> int:
    """Answer the parent that a datastore's URL cannot be used. One worker of all prints why. Returns the exit code."""
    if await _next_request(control, stop) == PREPARE:
        if isinstance(error, PyMongoError):
            log_line(f"MONGODB_URI: the database cannot be used: {failure_reason(error, settings.mongodb_uri or '')}")
        else:
            log_line(f"REDIS_URL: Redis cannot be used: {error}")
        control.send(FAILED)
    return 1


async def _next_request(control: socket.socket, stop: asyncio.Event) -> bytes:
    """Wait for the parent's next request. Returns empty if a signal arrives first, or if the parent has ended."""
    loop = asyncio.get_running_loop()
    request = asyncio.ensure_future(loop.sock_recv(control, 1))
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait((request, stopping), return_when=asyncio.FIRST_COMPLETED)
        return b"" if stop.is_set() else request.result()
    finally:
        await cancel_and_wait(request)
        await cancel_and_wait(stopping)


async def _prepare(settings: Settings) -> bool:
    """Create the database's indexes, and try what the service needs of Redis. Prints what is wrong for the operator.

    Returns False if the database cannot be used. Without Redis, the service starts all the same.
    """
    assert settings.mongodb_uri
    assert settings.redis_url
    if not verifies_certificate(settings.redis_url):
        log.warning("redis_certificate_not_verified")
    checking = asyncio.create_task(redis_problem(settings))
    try:
        await release(settings.mongodb_uri)
        if problem := await checking:
            log_line(f"REDIS_URL: Redis cannot be used: {problem}")
    except CannotRelease as error:
        log_line(f"MONGODB_URI: {error}")
        return False
    finally:
        await cancel_and_wait(checking)
    return True


@asynccontextmanager
async def serving(app: Sanic[Any, Any], listener: socket.socket) -> AsyncIterator[None]:
    """Serve `app` on `listener` while the block runs; afterwards drain it and shut it down."""
    # Sanic fills this in when it serves by itself; without it, every answer has an empty Alt-Svc header.
    host, port = listener.getsockname()[:2]
    served = {"version": HTTP.VERSION_1, "host": host, "port": port, "sock": None, "unix": None, "ssl": None}
    app.state.server_info.append(ApplicationServerInfo(settings=served))
    server = await app.create_server(
        sock=listener,
        protocol=StrictHttpProtocol,
        backlog=BACKLOG,
        asyncio_server_kwargs={"start_serving": False},
    )
    assert server is not None
    await server.startup()
    await server.before_start()
    await server.start_serving()
    await server.after_start()
    # Objects that exist by now live as long as the process: the garbage collector need not visit them again. It does
    # not search them even once: it would take a sixth of the start to find 3,000 of 400,000.
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    gc.enable()
    deadlines = asyncio.create_task(RequestDeadlines(server.connections).run())
    yield
    await cancel_and_wait(deadlines)
    # The app drains. It still answers requests meanwhile, so that a load balancer's health checks see the drain.
    await server.before_stop()
    server.close()
    await _finish_requests(server.connections)
    await server.after_stop()
    multiprocess.remove_this_process()


async def _finish_requests(connections: Collection[HttpProtocol]) -> None:
    """Close each connection as soon as its request has been answered; abort those left after FINISH_TIMEOUT."""
    deadline = asyncio.get_running_loop().time() + FINISH_TIMEOUT
    while connections and asyncio.get_running_loop().time() < deadline:
        for connection in list(connections):
            connection.close_if_idle()
        await asyncio.sleep(POLL_INTERVAL)
    if connections:
        log.warning("requests_cut", count=len(connections))
    for connection in list(connections):
        connection.abort()
