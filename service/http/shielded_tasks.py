"""What changes something runs to its end, though its client has hung up: else a change could be stored and not told.

Sanic cancels a handler with its connection, and a socket's frame is given up with the socket. Here the change is a task
of its own, which the request or the frame only waits for, or nobody.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

import structlog
from sanic import Request, Sanic

from service.common.errors import LoaError
from service.common.tasks import count_failure

log = structlog.get_logger()

READS = frozenset({"GET", "HEAD", "OPTIONS"})
"""The safe methods (RFC 9110, 9.2.1): nobody misses what they would have answered."""


class ShieldedTasks:
    """Owns the handlers that are under way. There are no more of them than the rate limits let in."""

    def __init__(self) -> None:
        self._under_way: set[asyncio.Future[Any]] = set()

    def begin(self, work: Awaitable[Any]) -> None:
        """Do `work`, for which nobody waits."""
        self._start(work).add_done_callback(_report)

    async def finish(self, work: Awaitable[Any]) -> Any:
        """The result of `work`, which goes on though the waiting for it is cancelled."""
        task = self._start(work)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(_report)
            raise

    def _start(self, work: Awaitable[Any]) -> "asyncio.Future[Any]":
        task = asyncio.ensure_future(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return task

    async def close(self) -> None:
        """Wait for those that nobody waits for any more. The datastores' own timeouts bound how long that takes."""
        while self._under_way:
            await asyncio.wait(self._under_way)


def install(app: Sanic[Any, Any]) -> ShieldedTasks:
    """For the endpoints of `app`. Whoever installs it closes it, before what the handlers stand on."""
    app.ctx.completion = ShieldedTasks()
    return app.ctx.completion  # type: ignore[no-any-return]


def completes(handler: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """`handler(request, …)`, run to its end where the request's method is not a safe one."""

    @wraps(handler)
    async def complete(request: Request, *args: Any, **kwargs: Any) -> Any:
        if request.method in READS:
            return await handler(request, *args, **kwargs)
        completion: ShieldedTasks = request.app.ctx.completion
        return await completion.finish(handler(request, *args, **kwargs))

    return complete


def _report(task: "asyncio.Future[Any]") -> None:
    """A refusal was for a client that has gone; a fault of ours is for the log, whoever is there."""
    error = None if task.cancelled() else task.exception()
    if error is not None and not isinstance(error, LoaError):
        count_failure("request")
        log.error("request_failed", exc_info=error)
