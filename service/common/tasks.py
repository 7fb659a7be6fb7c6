"""Tasks that someone owns: whoever starts one keeps it, and cancels and awaits it in the end."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

import structlog

log = structlog.get_logger()

Count = Callable[[str], None]

FIRST_PAUSE = 0.25
LAST_PAUSE = 10.0


_counting: list[Count] = []
"""Of the whole process, as the log is: what fails in the background concerns nobody who waits."""


def on_failure(count: Count) -> None:
    """From now on, call `count(name)` for each failure in the background."""
    _counting.append(count)


def remove_on_failure(count: Count) -> None:
    _counting.remove(count)


def count_failure(name: str) -> None:
    """Something in the background failed that nobody waits for. `name` is one of few; the log says more."""
    for count in _counting:
        count(name)


async def cancel_and_wait(task: asyncio.Task[Any] | None) -> None:
    """Cancel `task` and wait until it has ended; its own errors were its owner's to report."""
    while task is not None and not task.done():
        task.cancel()
        # Once is not always enough: a cancellation that meets redis-py while it connects gets lost in there.
        await asyncio.wait([task], timeout=1.0)


async def run_forever(step: Callable[[], Awaitable[None]], name: str, longest: float = LAST_PAUSE) -> None:
    """Run `step` again and again. One that fails is reported, and tried again after a jittered pause that grows, up to
    `longest` seconds."""
    while True:
        await retry_until_done(step, name, longest)


async def retry_until_done(step: Callable[[], Awaitable[None]], name: str, longest: float = LAST_PAUSE) -> None:
    """Run `step` until it ends without an error, with pauses as in `forever`."""
    pause = min(FIRST_PAUSE, longest)
    while True:
        try:
            await step()
        except Exception as error:
            count_failure(name)
            log.warning("task_failed", task=name, error=type(error).__name__, retry_in=round(pause, 2))
            await asyncio.sleep(random.uniform(pause / 2, pause))  # noqa: S311
            pause = min(pause * 2, longest)
        else:
            return
