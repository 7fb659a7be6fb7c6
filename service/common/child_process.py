"""A child process: started, supervised, stopped, and killed by the kernel if its parent dies."""

import asyncio
import ctypes
import os
import signal
import sys
import time
from abc import ABC, abstractmethod
from asyncio.subprocess import Process
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from service.common.tasks import cancel_and_wait

PR_SET_PDEATHSIG = 1

START_TIMEOUT = 30.0
"""Seconds until a child that is not ready counts as failed: an embedded database may have a long journal to replay."""
MIN_BACKOFF = 0.2
MAX_BACKOFF = 10.0
"""Seconds before a restart: the first value, doubled after each restart up to the second."""
STABLE_AFTER = 10.0
"""A child that ran for this many seconds restarts with the shortest backoff again."""

Log = Callable[[str], None]
"""Writes one line for the operator."""


class ChildFailed(Exception):
    """A child could not be started. The message says which, and how it ended."""


def die_with_parent() -> Callable[[], None] | None:
    """Return a `preexec_fn` that makes the kernel kill the child when its parent dies, even by kill -9.

    Only Linux supports this; elsewhere the result is None: a stop by signal still ends every child, but after a
    kill -9 of the parent the operator has to end its children. The kernel watches the *thread* that forks: call the
    result from a thread that lives as long as the process, such as the main thread's event loop.
    """
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl  # loaded before the fork: nothing may be loaded after it
    parent = os.getpid()

    def prepare() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # the parent died before prctl took effect
            os._exit(1)

    return prepare


def describe(returncode: int) -> str:
    """Describe how a process ended: `exit code 1`, `SIGKILL`."""
    if returncode >= 0:
        return f"exit code {returncode}"
    with suppress(ValueError):
        return signal.Signals(-returncode).name
    return f"signal {-returncode}"


class Child(ABC):
    """A named process. `start` it, run `supervise` in a task, and `stop` it after that task has been cancelled.

    `supervise` gives up after `attempts` failed starts in a row; None: never.
    """

    def __init__(self, name: str, log: Log, *, attempts: int | None = None) -> None:
        self.name = name
        self._log = log
        self._attempts = attempts
        self._process: Process | None = None

    @property
    def pid(self) -> int | None:
        """The id of the current process; None before the first start."""
        return self._process.pid if self._process else None

    @abstractmethod
    async def _spawn(self) -> Process: ...

    @abstractmethod
    async def _ready(self) -> None:
        """Return when the process is ready. It may wait for ever; an exception counts as a failed start."""

    async def _wedged(self) -> None:
        """Return when the process runs but will not work again without a restart; else wait for ever."""
        await asyncio.Event().wait()

    def _log_tail(self) -> str:
        """Return the end of the process's log, to explain a failed start."""
        return ""

    async def start(self) -> None:
        """Start the process and wait until it is ready. Raises ChildFailed; then no process is left."""
        await self.spawn()
        await self.wait_until_ready()

    async def spawn(self) -> None:
        """Start the process without waiting for it; `wait_until_ready` or `stop` must follow."""
        self._process = await self._spawn()

    async def wait_until_ready(self) -> None:
        """Wait until the spawned process is ready. Raises ChildFailed; then no process is left."""
        assert self._process is not None
        ended = asyncio.create_task(self._process.wait())
        ready = asyncio.create_task(self._ready())
        try:
            await asyncio.wait((ended, ready), timeout=START_TIMEOUT, return_when=asyncio.FIRST_COMPLETED)
            if ended.done():
                raise ChildFailed(f"{self.name} did not start ({describe(ended.result())}){self._log_tail()}")
            if not ready.done():
                raise ChildFailed(f"{self.name} was not ready within {START_TIMEOUT:.0f} s{self._log_tail()}")
            if error := ready.exception():
                raise ChildFailed(f"{self.name} did not start ({error}){self._log_tail()}")
        except BaseException:
            self.kill()
            await self._process.wait()
            raise
        finally:
            await cancel_and_wait(ended)
            await cancel_and_wait(ready)

    async def supervise(self) -> None:
        """Restart the process whenever it ends or is wedged, with a backoff, and log each restart. Never returns.

        Raises ChildFailed after too many failed starts in a row.
        """
        backoff, failures = MIN_BACKOFF, 0
        while True:
            began = time.monotonic()
            returncode = await self._wait_for_end()
            if time.monotonic() - began >= STABLE_AFTER:
                backoff = MIN_BACKOFF
            if not failures:
                self._log(f"{self.name} ended ({describe(returncode)}); it starts again in {backoff:.1f} s")
            await asyncio.sleep(backoff)
            backoff = min(backoff * 2, MAX_BACKOFF)
            try:
                await self.start()
            except ChildFailed as error:
                failures += 1
                if failures == self._attempts:
                    raise
                self._log(f"{error}; it is tried again in {backoff:.1f} s")
            else:
                failures = 0
                self._log(f"{self.name} runs again")

    async def _wait_for_end(self) -> int:
        """Wait until the process ends, killing it if it is wedged. Returns its return code."""
        assert self._process is not None
        ended = asyncio.create_task(self._process.wait())
        wedged = asyncio.create_task(self._wedged())
        try:
            await asyncio.wait((ended, wedged), return_when=asyncio.FIRST_COMPLETED)
            if not ended.done():
                self._log(f"{self.name} does not work any more, and is ended")
                self.kill()
            return await ended
        finally:
            await cancel_and_wait(ended)
            await cancel_and_wait(wedged)

    async def stop(self, timeout: float) -> None:
        """Send SIGTERM and wait for the end; after `timeout` seconds, kill the process."""
        if self._process is None:
            return
        self._signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(timeout):
                await self._process.wait()
        except TimeoutError:
            self.kill()
            await self._process.wait()

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        # Not Process.send_signal: it polls, and may thus reap the exit status that asyncio's child watcher waits for.
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self._process.pid, number)


async def run_all(steps: Sequence[Awaitable[None]]) -> None:
    """Await all `steps` concurrently. Raises the first error, after the steps still running have been cancelled."""
    tasks = [asyncio.ensure_future(step) for step in steps]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            await cancel_and_wait(task)


async def start_all(children: Sequence[Child]) -> None:
    """Start them concurrently. Raises the first error; the other starts are cancelled."""
    await run_all([child.start() for child in children])


async def stop_all(children: Sequence[Child], timeout: float) -> None:
    """Stop them concurrently; see `Child.stop`."""
    await asyncio.gather(*(child.stop(timeout) for child in children))
