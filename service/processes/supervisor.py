"""The parent of everything that runs here: the embedded datastores, and the worker processes that serve.

Why not Sanic's WorkerManager: a worker that was ended by kill -9 it does not start again; what is still draining after
10 s it kills; its workers outlive it where it is killed itself; and they give their signals back to the default
handlers before they drain, so that a second SIGTERM (Heroku sends one to every process) cuts the drain short.
"""

import asyncio
import errno
import os
import resource
import signal
import socket
import sys
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from config.settings import Settings
from service.common.child_process import Child, ChildFailed, Say, die_with_parent, start_all, stop_all
from service.common.tasks import cancel_and_wait
from service.datastores.data_directory import DataDirectory, DirectoryUnusable
from service.telemetry import multiprocess

BACKLOG = 1024
"""Connections that wait to be accepted: a reconnect storm arrives faster than it is let in."""
DRAIN_LIMIT = 25.0
"""Seconds that the workers have to drain: Heroku kills whatever is left 30 s after its SIGTERM."""
START_ATTEMPTS = 4
"""Failed starts of one worker in a row after which all of it ends, for the platform to see and to act."""
ONE_KEYSTROKE = 0.5
"""Seconds within which a second SIGINT is the same Ctrl-C: from the terminal, and again from whoever passes it on."""

DESCRIPTORS = 65_536
"""Open files for each process, where the system allows them: its usual default of 1,024 would be as many clients."""

STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class CannotServe(Exception):
    """The service cannot start, or cannot go on. The message is the operator's."""


def say(message: str) -> None:
    print(f"loa: {message}", file=sys.stderr, flush=True)


def run(settings: Settings) -> int:
    """Serve until a signal ends it. The exit code: 0, or 1 after a line that says why it could not go on."""
    return asyncio.run(Supervisor(settings).run())


class Supervisor:
    """Starts everything in order and stops it in the reverse one, whatever ends it. Signals: see `_on_signal`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._children: list[Child] = []
        self._told_at = 0.0

    async def run(self) -> int:
        """See `run`."""
        allow_descriptors()
        serving = asyncio.create_task(self._serve())
        for number in STOPS:
            if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:
                continue  # nohup: the terminal may go
            asyncio.get_running_loop().add_signal_handler(number, self._on_signal, number, serving)
        try:
            await serving
        except asyncio.CancelledError:
            return 0
        except (CannotServe, ChildFailed, DirectoryUnusable) as error:
            say(str(error))
            return 1
        return 0

    def _on_signal(self, number: signal.Signals, serving: asyncio.Task[None]) -> None:
        """The first one begins the orderly end; a second Ctrl-C ends it all at once, which loses nothing stored."""
        if not self._told_at:
            self._told_at = time.monotonic()
            say("stopping; Ctrl-C again does not wait for the connections to be told")
            serving.cancel()
        elif number == signal.SIGINT and time.monotonic() - self._told_at > ONE_KEYSTROKE:
            for child in self._children:
                child.kill()

    async def _serve(self) -> None:
        async with AsyncExitStack() as stack:
            settings = self._settings
            directory = DataDirectory(settings.data_dir)
            if settings.embeds:
                stack.enter_context(directory)
            opened = listen(settings.host, settings.port, settings.web_concurrency)
            for each in opened:
                stack.enter_context(each)
            if settings.embeds:
                # Imported only here: where the datastores are elsewhere, this process needs none of their drivers.
                from service.datastores.embedded import embedded

                settings, servers = await stack.enter_async_context(embedded(settings, directory, say))
                self._children += servers
            stack.enter_context(multiprocess.share_metrics())
            environment = environment_of(settings, opened[0].getsockname()[1])
            await release(environment)
            workers = [Worker(number, say, each, environment) for number, each in enumerate(opened, 1)]
            self._children += workers
            await stack.enter_async_context(serving(workers))
            print(f"Loa is ready: {address(opened[0])}", flush=True)
            await keep_all(self._children)


def allow_descriptors() -> None:
    """Raise this process's limit of open files, and with it that of everything it starts, as far as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def listen(host: str, port: int, count: int) -> list[socket.socket]:
    """A listening socket for each of `count` workers, on one address; port 0: any free one.

    On Linux each has its own, and the kernel deals the connections out evenly: of a common socket the worker that is
    quickest to wake takes nearly all, and WebSockets stay where they are. All of them stay open here, so that what
    waits on one outlives its worker. Raises CannotServe, naming the variable to change.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise CannotServe(f"HOST: {host}: {error.strerror}") from error
    family, _, _, _, place = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    try:
        # Alone at first: sockets that share a port would share it with those of another program, too.
        first = socket.create_server((str(place[0]), port), family=family, backlog=BACKLOG)
        if count == 1 or sys.platform != "linux":
            return [first] * count
        address = first.getsockname()[:2]
        first.close()
        return [socket.create_server(address, family=family, backlog=BACKLOG, reuse_port=True) for _ in range(count)]
    except OSError as error:
        variable = "HOST" if error.errno == errno.EADDRNOTAVAIL else "PORT"
        raise CannotServe(f"{variable}: {host}:{port}: {os.strerror(error.errno or errno.EINVAL)}") from error


def address(opened: socket.socket) -> str:
    """Where to point a browser on this machine."""
    host, port = opened.getsockname()[:2]
    if host in ("0.0.0.0", "::"):  # noqa: S104
        host = "127.0.0.1"
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def environment_of(settings: Settings, port: int) -> dict[str, str]:
    """The environment for what is started here: our own, completed by what has been found out since."""
    return {
        **os.environ,
        "HOST": settings.host,
        "PORT": str(port),
        "MONGODB_URI": settings.mongodb_uri or "",
        "REDIS_URL": settings.redis_url or "",
        "JWT_SECRET": settings.jwt_secret,
    }


async def release(environment: dict[str, str]) -> None:
    """Prepare the database, in a process of its own, which says itself what fails. Raises CannotServe."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "service", "release"),
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=die_with_parent(),
    )
    try:
        returncode = await process.wait()
    except BaseException:
        process.kill()
        await process.wait()
        raise
    if returncode:
        raise CannotServe("the database could not be prepared")


class Worker(Child):
    """A process that serves on a socket of ours: `python -m service worker <fd of the socket> <fd of the report>`."""

    def __init__(self, number: int, say: Say, opened: socket.socket, environment: dict[str, str]) -> None:
        super().__init__(f"worker {number}", say, attempts=START_ATTEMPTS)
        self._opened = opened
        self._environment = environment
        self._reports: socket.socket | None = None

    async def _spawn(self) -> Process:
        self._reports, report = socket.socketpair()
        with report:
            return await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "service", "worker", str(self._opened.fileno()), str(report.fileno())),
                env=self._environment,
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(self._opened.fileno(), report.fileno()),
                start_new_session=True,  # a terminal's Ctrl-C comes to the parent, which passes it on once
                preexec_fn=die_with_parent(),
            )

    async def _ready(self) -> None:
        reader, writer = await asyncio.open_connection(sock=self._reports)
        try:
            if not await reader.read(1):
                await asyncio.Event().wait()  # it has ended; its exit code, on the way, tells more than this silence
        finally:
            writer.close()


@asynccontextmanager
async def serving(workers: list[Worker]) -> AsyncIterator[None]:
    """The workers, ready when the block begins; drained and gone when it has ended. Raises ChildFailed."""
    try:
        await start_all(workers)
        yield
    finally:
        await stop_all(workers, DRAIN_LIMIT)


async def keep_all(children: list[Child]) -> None:
    """Keep every one of them running, for ever. Raises ChildFailed for the first that will not start any more."""
    tasks = [asyncio.create_task(child.keep()) for child in children]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            await cancel_and_wait(task)
