"""Requests that change state run to their end even if the client disconnects: a change must not be stored but not
published.

Sanic cancels a handler together with its connection, and a frame is abandoned together with its socket. Here the change
runs in a task of its own; the request or frame only waits for it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

import structlog
from sanic import Request, Sanic

from service.common.errors import LoaError
from service.common.tasks import count_failure
from service.http.safe_methods import SAFE_METHODS

log = structlog.get_logger()


class ShieldedTasks:
    """Owns the running tasks. Their number is bounded by the rate limits."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Future[Any]] = set()

    def spawn(self, work: Awaitable[Any]) -> None:
        """Run `work` in the background."""
        self._start(work).add_done_callback(_log_failure)

    async def run(self, work: Awaitable[Any]) -> Any:
        """Run `work` and return its result. If the caller is cancelled, `work` continues in the background."""
        task = self._start(work)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(_log_failure)
            raise

    def _start(self, work: Awaitable[Any]) -> "asyncio.Future[Any]":
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def close(self) -> None:
        """Wait for all tasks. The timeouts of the datastores bound how long that takes."""
        while self._tasks:
            await asyncio.wait(self._tasks)


def install(app: Sanic[Any, Any]) -> ShieldedTasks:
    """Add the ShieldedTasks that the endpoints of `app` use. The caller closes them before what the handlers need."""
    app.ctx.shielded_tasks = ShieldedTasks()
    return app.ctx.shielded_tasks  # type: ignore[no-any-return]


def shielded(handler: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """Wrap `handler(request, …)` so that it runs to its end unless the request's method is safe."""

    @wraps(handler)
    async def run(request: Request, *args: Any, **kwargs: Any) -> Any:
        if request.method in SAFE_METHODS:
            # If it is cancelled, only a response is lost that nobody would read.
            return await handler(request, *args, **kwargs)
        tasks: ShieldedTasks = request.app.ctx.shielded_tasks
        return await tasks.run(handler(request, *args, **kwargs))

    return run


def _log_failure(task: "asyncio.Future[Any]") -> None:
    """Log an unexpected error. A domain error was meant for the client, which has disconnected."""
    error = None if task.cancelled() else task.exception()
    if error is not None and not isinstance(error, LoaError):
        count_failure("request")
        log.error("request_failed", exc_info=error)
