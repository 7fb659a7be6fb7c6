"""A child process: started, waited for until it is ready, kept running, and never outliving its parent."""

import asyncio
import ctypes
import os
import signal
import sys
import time
from abc import ABC, abstractmethod
from asyncio.subprocess import Process
from collections.abc import Callable, Sequence
from contextlib import suppress

from service.common.tasks import cancel_and_wait

PR_SET_PDEATHSIG = 1

START_LIMIT = 30.0
"""Seconds until a child that is not ready counts as failed: an embedded database may have a long journal to replay."""
FIRST_PAUSE = 0.2
LAST_PAUSE = 10.0
STEADY = 10.0
"""A child that ran this many seconds has earned a quick restart; one that ends sooner waits twice as long each time."""

Say = Callable[[str], None]


class ChildFailed(Exception):
    """A child could not be started. The message says which, and how it ended."""


def die_with_parent() -> Callable[[], None] | None:
    """What a child has to run between fork and exec so that it ends with its parent, even by kill -9.

    Linux alone can do this. Elsewhere the answer is None: a stop by signal still ends every child, but after a kill -9
    of the parent its children have to be ended by hand. The kernel watches the *thread* that forks: call from one that
    stays, such as the main thread's event loop.
    """
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl  # found before the fork: after it nothing may be loaded
    parent = os.getpid()

    def prepare() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it ended before the kernel was told
            os._exit(1)

    return prepare


def describe(returncode: int) -> str:
    """How a process ended, in words: `exit code 1`, `SIGKILL`."""
    if returncode >= 0:
        return f"exit code {returncode}"
    with suppress(ValueError):
        return signal.Signals(-returncode).name
    return f"signal {-returncode}"


class Child(ABC):
    """One process under a name. `start` it, let `keep` watch it in a task, and after that task is gone, `stop` it.

    `keep` gives up after `attempts` failed starts in a row; None: never.
    """

    def __init__(self, name: str, say: Say, *, attempts: int | None = None) -> None:
        self.name = name
        self._say = say
        self._attempts = attempts
        self._process: Process | None = None

    @property
    def pid(self) -> int | None:
        """Of the process as it runs now; None before the first start."""
        return self._process.pid if self._process else None

    @abstractmethod
    async def _spawn(self) -> Process: ...

    @abstractmethod
    async def _ready(self) -> None:
        """Return as soon as the process does its work. It may wait for ever; what it raises is a failed start."""

    async def _beyond_help(self) -> None:
        """Return where it runs, and will not do its work again before it is started anew; else wait for ever."""
        await asyncio.Event().wait()

    def _evidence(self) -> str:
        """What a failed start left behind that explains it."""
        return ""

    async def start(self) -> None:
        """Start it and wait until it is ready. Raises ChildFailed; then no process is left."""
        self._process = await self._spawn()
        ended = asyncio.create_task(self._process.wait())
        ready = asyncio.create_task(self._ready())
        try:
            await asyncio.wait((ended, ready), timeout=START_LIMIT, return_when=asyncio.FIRST_COMPLETED)
            if ended.done():
                raise ChildFailed(f"{self.name} did not start ({describe(ended.result())}){self._evidence()}")
            if not ready.done():
                raise ChildFailed(f"{self.name} was not ready within {START_LIMIT:.0f} s{self._evidence()}")
            if error := ready.exception():
                raise ChildFailed(f"{self.name} did not start ({error}){self._evidence()}")
        except BaseException:
            self.kill()
            await self._process.wait()
            raise
        finally:
            await cancel_and_wait(ended)
            await cancel_and_wait(ready)

    async def keep(self) -> None:
        """Watch it for ever: where it ends, or has to be ended, say so and start it again, after a pause that grows.

        Raises ChildFailed where it will not start any more.
        """
        pause, failures = FIRST_PAUSE, 0
        while True:
            began = time.monotonic()
            returncode = await self._end()
            if time.monotonic() - began >= STEADY:
                pause = FIRST_PAUSE
            if not failures:
                self._say(f"{self.name} ended ({describe(returncode)}); it starts again in {pause:.1f} s")
            await asyncio.sleep(pause)
            pause = min(pause * 2, LAST_PAUSE)
            try:
                await self.start()
            except ChildFailed as error:
                failures += 1
                if failures == self._attempts:
                    raise
                self._say(f"{error}; it is tried again in {pause:.1f} s")
            else:
                failures = 0
                self._say(f"{self.name} runs again")

    async def _end(self) -> int:
        """Wait for its end, and bring it about where nothing else helps."""
        assert self._process is not None
        ended = asyncio.create_task(self._process.wait())
        beyond_help = asyncio.create_task(self._beyond_help())
        try:
            await asyncio.wait((ended, beyond_help), return_when=asyncio.FIRST_COMPLETED)
            if not ended.done():
                self._say(f"{self.name} does not work any more, and is ended")
                self.kill()
            return await ended
        finally:
            await cancel_and_wait(ended)
            await cancel_and_wait(beyond_help)

    async def stop(self, grace: float) -> None:
        """Ask it to end, and wait; after `grace` seconds, kill it."""
        if self._process is None:
            return
        self._signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(grace):
                await self._process.wait()
        except TimeoutError:
            self.kill()
            await self._process.wait()

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        # Not Process.send_signal: it polls, and may thus take the exit status from the watcher that waits for it.
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self._process.pid, number)


async def start_all(children: Sequence[Child]) -> None:
    """Start them side by side. Raises what the first to fail raised; the starts still under way are called off."""
    tasks = [asyncio.create_task(child.start()) for child in children]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            await cancel_and_wait(task)


async def stop_all(children: Sequence[Child], grace: float) -> None:
    """Stop them side by side; see `Child.stop`."""
    await asyncio.gather(*(child.stop(grace) for child in children))
