"""Background tasks. The object that starts a task keeps a reference to it, and cancels and awaits it in the end."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import structlog

log = structlog.get_logger()

FailureCallback = Callable[[str], None]

INITIAL_BACKOFF = 0.25
MAX_BACKOFF = 10.0
"""Seconds."""


_failure_callbacks: list[FailureCallback] = []
"""Global like the log, because a failure in the background has no caller to report to."""


def on_failure(callback: FailureCallback) -> None:
    """Call `callback(name)` for each failure of a background task."""
    _failure_callbacks.append(callback)


def remove_on_failure(callback: FailureCallback) -> None:
    _failure_callbacks.remove(callback)


def count_failure(name: str) -> None:
    """Report a failure that no caller waits for. `name` is a metric label from a fixed set; the log has the details."""
    for callback in _failure_callbacks:
        callback(name)


async def cancel_and_wait(task: asyncio.Task[Any] | None) -> None:
    """Cancel `task` and wait until it has ended. Its exception is ignored: its owner reports it."""
    while task is not None and not task.done():
        task.cancel()
        # Repeated, because redis-py swallows a cancellation that arrives while it connects.
        await asyncio.wait([task], timeout=1.0)


async def run_forever(step: Callable[[], Awaitable[None]], name: str, max_backoff: float = MAX_BACKOFF) -> None:
    """Call `step` repeatedly. After a failure it is counted, logged and called again with jittered exponential backoff
    of at most `max_backoff` seconds."""
    while True:
        await retry_until_done(step, name, max_backoff)


async def retry_until_done(step: Callable[[], Awaitable[None]], name: str, max_backoff: float = MAX_BACKOFF) -> None:
    """Call `step` until it succeeds, with the backoff of `run_forever`."""
    backoff = min(INITIAL_BACKOFF, max_backoff)
    while True:
        try:
            await step()
        except Exception as error:
            count_failure(name)
            log.warning("task_failed", task=name, error=type(error).__name__, retry_in=round(backoff, 2))
            await asyncio.sleep(random.uniform(backoff / 2, backoff))  # noqa: S311
            backoff = min(backoff * 2, max_backoff)
        else:
            return


async def run_together(*coroutines: Coroutine[Any, Any, None]) -> None:
    """Run the coroutines until one of them ends or fails, and cancel the others then. Raises what that one raised."""
    running = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        ended, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        for task in ended:
            task.result()
    finally:
        for task in running:
            task.cancel()
        await asyncio.wait(running)
