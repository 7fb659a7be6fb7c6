"""The parent process: starts and supervises the embedded datastores and the worker processes that serve.

Why not Sanic's WorkerManager: it does not restart a worker that was killed by kill -9; it kills a worker that still
drains after 10 s; its workers outlive it if it is killed itself; and they restore the default signal handlers before
they drain, so that a second SIGTERM (Heroku sends one to every process) cuts the drain short.
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
from contextlib import AsyncExitStack

from config.settings import Settings
from service.common.child_process import Child, ChildFailed, Log, die_with_parent, run_all, stop_all
from service.datastores.data_directory import DataDirectory, DirectoryUnusable
from service.processes.control import FAILED, PREPARE, SERVE
from service.telemetry import multiprocess

BACKLOG = 1024
"""Length of the accept queue: a reconnect storm arrives faster than a worker accepts it."""
DRAIN_TIMEOUT = 25.0
"""Seconds that the workers have to drain: Heroku kills every process 30 s after its SIGTERM."""
START_ATTEMPTS = 4
"""Failed starts of one worker in a row after which the supervisor exits, for the platform to notice and react."""
SAME_CTRL_C = 0.5
"""Seconds within which a second SIGINT is the same Ctrl-C: once from the terminal, and again from a process manager
that forwards it."""

MAX_OPEN_FILES = 65_536
"""Open files per process, if the system allows it: the usual default of 1,024 would limit the clients to as many."""

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class CannotServe(Exception):
    """The service cannot start, or cannot go on. The message is for the operator; it is empty if a worker has printed
    one."""


def log_line(message: str) -> None:
    """Print one line for the operator."""
    print(f"loa: {message}", file=sys.stderr, flush=True)


def run(settings: Settings) -> int:
    """Serve until a signal arrives. Returns the exit code: 0, or 1 after a line that explains the failure."""
    return asyncio.run(Supervisor(settings).run())


class Supervisor:
    """Starts everything and, whatever the reason for stopping, stops it in reverse order. Signals: see `_on_signal`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._children: list[Child] = []
        self._stopping_since = 0.0

    async def run(self) -> int:
        """See the function `run`."""
        raise_open_files_limit()
        serving = asyncio.create_task(self._serve())
        for number in STOP_SIGNALS:
            if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:
                continue  # started by nohup: survives the terminal
            asyncio.get_running_loop().add_signal_handler(number, self._on_signal, number, serving)
        try:
            await serving
        except asyncio.CancelledError:
            return 0
        except (CannotServe, ChildFailed, DirectoryUnusable) as error:
            if str(error):
                log_line(str(error))
            return 1
        return 0

    def _on_signal(self, number: signal.Signals, serving: asyncio.Task[None]) -> None:
        """Begin an orderly stop; on a second Ctrl-C, kill every child, which loses no stored data."""
        if not self._stopping_since:
            self._stopping_since = time.monotonic()
            log_line("stopping; press Ctrl-C again to stop without draining the connections")
            serving.cancel()
        elif number == signal.SIGINT and time.monotonic() - self._stopping_since > SAME_CTRL_C:
            for child in self._children:
                child.kill()

    async def _serve(self) -> None:
        async with AsyncExitStack() as stack:
            settings = self._settings
            directory = DataDirectory(settings.data_dir)
            if settings.embeds:
                stack.enter_context(directory)
            listeners = listen(settings.host, settings.port, settings.web_concurrency)
            for listener in listeners:
                stack.enter_context(listener)
            datastores = None
            if settings.embeds:
                # Imported only here: if the datastores are elsewhere, this process does not need the module.
                from service.datastores.embedded import EmbeddedDatastores, NotInstalled

                try:
                    datastores = EmbeddedDatastores(settings, directory, log_line)
                except NotInstalled as error:
                    raise CannotServe(str(error)) from error
                settings = datastores.settings
                stack.push_async_callback(datastores.stop)
                self._children += datastores.servers
            stack.enter_context(multiprocess.share_metrics())
            environment = child_environment(settings, listeners[0].getsockname()[1])
            workers = [Worker(number, log_line, listener, environment) for number, listener in enumerate(listeners, 1)]
            self._children += workers
            # The workers load their modules while the datastores start.
            stack.push_async_callback(stop_all, workers, DRAIN_TIMEOUT)
            await run_all([worker.spawn() for worker in workers])
            if datastores:
                await datastores.start()
            await workers[0].prepare_database()
            await run_all([worker.wait_until_ready() for worker in workers])
            # In one write with its end: the workers write to the same file.
            sys.stdout.write(f"Loa is ready: {address(listeners[0])}{all_addresses(listeners[0])}\n")
            sys.stdout.flush()
            await run_all([child.supervise() for child in self._children])


def raise_open_files_limit() -> None:
    """Raise the open files limit of this process, which its children inherit, as far as the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(MAX_OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def listen(host: str, port: int, count: int) -> list[socket.socket]:
    """Open a listening socket for each of `count` workers on one address; port 0 means any free port.

    On Linux each worker has its own socket (SO_REUSEPORT), and the kernel distributes the connections evenly: on a
    shared socket the worker that wakes first accepts nearly all of them, and WebSockets stay with their worker. The
    parent keeps all of the sockets open, so that connections waiting in an accept queue survive a worker's restart.
    Raises CannotServe with a message that names the variable to change.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise CannotServe(f"HOST: {host}: {error.strerror}") from error
    except UnicodeError as error:
        raise CannotServe(f"HOST: {host}: it is not a host name or an address") from error
    family, _, _, _, resolved = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    try:
        # First without SO_REUSEPORT, which would also share the port with another program that uses the option.
        first = socket.create_server((str(resolved[0]), port), family=family, backlog=BACKLOG)
        if count == 1 or sys.platform != "linux":
            return [first] * count
        address = first.getsockname()[:2]
        first.close()
        return [socket.create_server(address, family=family, backlog=BACKLOG, reuse_port=True) for _ in range(count)]
    except OSError as error:
        variable = "HOST" if error.errno == errno.EADDRNOTAVAIL else "PORT"
        raise CannotServe(f"{variable}: {host}:{port}: {os.strerror(error.errno or errno.EINVAL)}") from error


def address(listener: socket.socket) -> str:
    """Return the URL to open in a browser on this machine."""
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):  # noqa: S104
        host = "127.0.0.1"
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def all_addresses(listener: socket.socket) -> str:
    """Return a remark if `listener` is open to other machines on every address of this one, else an empty string."""
    host, port = listener.getsockname()[:2]
    return f" (on every address of this machine: {host}:{port})" if host in ("0.0.0.0", "::") else ""  # noqa: S104


def child_environment(settings: Settings, port: int) -> dict[str, str]:
    """Return the environment for the workers: this process's own, with the settings found since it started."""
    return {
        **os.environ,
        "HOST": settings.host,
        "PORT": str(port),
        "MONGODB_URI": settings.mongodb_uri or "",
        "REDIS_URL": settings.redis_url or "",
        "JWT_SECRET": settings.jwt_secret,
        # Otherwise Sanic advises the reader of a terminal to use options that this command does not have.
        "SANIC_IGNORE_PRODUCTION_WARNING": "1",
    }


class Worker(Child):
    """A process that serves on a socket of this one: `python -m service worker <listener's fd> <control's fd>`.

    The protocol on the control socket is described in control.py.
    """

    def __init__(self, number: int, log: Log, listener: socket.socket, environment: dict[str, str]) -> None:
        super().__init__(f"worker {number}", log, attempts=START_ATTEMPTS)
        self._listener = listener
        self._environment = environment
        self._control: socket.socket | None = None

    async def prepare_database(self) -> None:
        """Let the worker, spawned but not serving yet, prepare the database. Raises CannotServe if it fails."""
        if await self._request(PREPARE) == FAILED:
            raise CannotServe

    async def _spawn(self) -> Process:
        if self._control:
            self._control.close()
        self._control, control = socket.socketpair()
        self._control.setblocking(False)
        with control:
            return await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "service", "worker", str(self._listener.fileno()), str(control.fileno())),
                env=self._environment,
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(self._listener.fileno(), control.fileno()),
                start_new_session=True,  # a terminal's Ctrl-C reaches only the parent, which passes it on once
                preexec_fn=die_with_parent(),
            )

    async def _ready(self) -> None:
        if not await self._request(SERVE):
            await asyncio.Event().wait()  # the worker has ended: its exit code, which arrives soon, explains more

    async def _request(self, request: bytes) -> bytes:
        """Send `request` and return the worker's answer; empty if the worker has ended."""
        assert self._control is not None
        loop = asyncio.get_running_loop()
        try:
            await loop.sock_sendall(self._control, request)
            return await loop.sock_recv(self._control, 1)
        except ConnectionError:
            return b""
