"""`python -m service` as a whole: start, restarts, stop, and that it leaves nothing behind."""

import asyncio
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from uuid import uuid4

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.cluster import free_port
from tests.commands.conftest import Command, command
from tests.conftest import RUN_REDIS, SECRET, Datastores, Run
from tests.running import CHEAP_HASHES, ROOT, Server, alive, eventually, running, spawn

__all__ = ["command"]

EMBEDDED = {"MONGODB_URI": None, "REDIS_URL": None, "JWT_SECRET": None}
PASSWORD = "correct horse"

BROKEN_WORKER = "import os, sys; 'worker' in sys.orig_argv and os._exit(5)"
"""A `sitecustomize.py` on PYTHONPATH, which every Python process runs first: with it, a worker exits at once."""


def register(server: Server, username: str) -> str:
    """Return the access token of a new account."""
    return str(server.post("/api/v1/auth/register", {"username": username, "password": PASSWORD})["access_token"])


def login(server: Server, username: str) -> str:
    return str(server.post("/api/v1/auth/login", {"username": username, "password": PASSWORD})["access_token"])


@pytest.fixture(scope="module")
def shared(datastores: Datastores, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Two workers on given datastores, started with a low limit of open files. Tests may kill its workers only."""
    directory = tmp_path_factory.mktemp("supervisor")
    environment = {
        "MONGODB_URI": datastores.database(f"supervisor_{uuid4().hex}"),
        "REDIS_URL": datastores.redis_database(RUN_REDIS),
        "JWT_SECRET": SECRET,
        "DATA_DIR": str(directory / "data"),
        "WEB_CONCURRENCY": "2",
        **CHEAP_HASHES,
    }
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    with ExitStack() as stack:
        try:
            server = stack.enter_context(running(environment, directory / "server.log"))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        yield server


def test_a_start_on_a_terminal_prints_only_the_address(datastores: Datastores, tmp_path: Path) -> None:
    """If only PORT is set, it listens on every address of the machine, and prints one for a browser."""
    port = free_port()
    environment = {
        **os.environ,
        "PORT": str(port),
        "MONGODB_URI": datastores.database(f"terminal_{uuid4().hex}"),
        "REDIS_URL": datastores.redis_database(RUN_REDIS),
        "JWT_SECRET": SECRET,
        "LOG_LEVEL": "WARNING",
    }
    terminal, end = os.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "service"], cwd=ROOT, env=environment, stdin=end, stdout=end, stderr=end
    ) as process:
        os.close(end)
        output = b""
        while not output.endswith(b"\n"):
            output += os.read(terminal, 4096)
        process.terminate()
        process.wait()
    os.close(terminal)
    ready = f"Loa is ready: http://127.0.0.1:{port}/ (on every address of this machine: 0.0.0.0:{port})\r\n"
    assert ready == output.decode()


@pytest.fixture
def refused(command: Command) -> Iterator[Callable[..., str]]:
    """`refused(HOST="…")` starts a server in the test's process, which exits with 1 and one line; returns the line."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)

    def run(**environment: str) -> str:
        code, output = command(**{"HOST": "127.0.0.1", "PORT": "0", **environment})
        assert (1, 1) == (code, output.count("\n"))
        return output

    yield run
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.mark.parametrize("host", ["a..b", "nowhere.invalid", "x" * 300])
def test_an_unusable_host_exits_with_1_and_one_line(refused: Callable[..., str], host: str) -> None:
    assert refused(HOST=host).startswith(f"loa: HOST: {host}: ")


def test_embedded_data_survives_and_no_process_is_left_however_the_server_ends(run: Run, tmp_path: Path) -> None:
    """Meanwhile another server for its directory exits with 1 and one line, which has the process id."""
    token_of = register
    for ending in (signal.SIGTERM, signal.SIGKILL, signal.SIGINT):
        server = run(**EMBEDDED)
        assert (1, 2) == (len(server.workers), len(server.datastores))
        children = server.children
        assert 3 == len(children)
        assert token_of(server, "an.nguyen")
        if token_of is register:
            second = spawn([], {"DATA_DIR": str(tmp_path / "data"), "PORT": "0"}, tmp_path / "second.log")
            assert 1 == second.wait()
            assert f"loa: DATA_DIR: {tmp_path / 'data'} is in use by process {server.pid}\n" == second.text
            assert 200 == server.status("/readyz")
        token_of = login
        server.signal(ending)
        assert (-9 if ending == signal.SIGKILL else 0) == server.wait()
        if ending == signal.SIGKILL:
            eventually(lambda pids=children: not any(alive(pid) for pid in pids))
        assert not [pid for pid in children if alive(pid)]
    assert 0o700 == (tmp_path / "data").stat().st_mode & 0o777


def test_with_both_datastores_given_nothing_is_embedded(shared: Server) -> None:
    assert shared.workers == shared.children
    assert not (shared.output.parent / "data").exists()


def test_the_workers_may_open_more_files_than_the_usual_limit(shared: Server) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for worker in shared.workers:
        assert (min(65_536, hard), hard) == resource.prlimit(worker, resource.RLIMIT_NOFILE)


def test_workers_run_on_uvloop_and_share_the_connections(shared: Server) -> None:
    """Of 64 connections, each of two workers gets nine or more."""
    host, port = shared.url.removeprefix("http://").split(":")
    opened = [socket.create_connection((host, int(port))) for _ in range(64)]
    counts = eventually(lambda: _accepted(shared, 64))
    for each in opened:
        each.close()
    assert min(counts) > 8
    for pid in shared.workers:
        assert "uvloop/loop" in Path(f"/proc/{pid}/maps").read_text()


@pytest.mark.parametrize(
    ("ending", "description"), [(signal.SIGKILL, "SIGKILL"), (signal.SIGTERM, "exit code 0")], ids=["killed", "asked"]
)
def test_a_worker_that_ends_is_replaced(shared: Server, ending: signal.Signals, description: str) -> None:
    """The other worker stays, and the server is ready again within a few seconds."""
    first, second = shared.workers
    restarts = shared.text.count("runs again")
    os.kill(first, ending)
    eventually(lambda: shared.text.count("runs again") > restarts, within=30)
    assert f"ended ({description}); it starts again in" in shared.text
    assert 2 == len(shared.workers)
    assert second in shared.workers
    assert first not in shared.workers
    assert 200 == shared.status("/readyz")


@pytest.mark.parametrize(
    ("missing", "mark"), [("MONGODB_URI", "the embedded MongoDB"), ("REDIS_URL", "the embedded Redis")]
)
def test_with_one_datastore_given_only_the_other_is_embedded(run: Run, missing: str, mark: str) -> None:
    """It is restarted if it is killed. SIGHUP ends the server like SIGTERM."""
    server = run(**{missing: None})
    (pid,) = server.datastores
    register(server, "an.nguyen")
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: f"loa: {mark} runs again" in server.text, within=30)
    eventually(lambda: server.status("/readyz") == 200)
    assert login(server, "an.nguyen")
    assert f"loa: {mark} ended (SIGKILL); it starts again in" in server.text
    children = server.children
    server.signal(signal.SIGHUP)
    assert 0 == server.wait()
    assert not [pid for pid in children if alive(pid)]


def test_a_worker_that_cannot_be_restarted_ends_the_server(run: Run, tmp_path: Path) -> None:
    """The exit code is 1, for the platform to start the server elsewhere."""
    server = run(WEB_CONCURRENCY="2", PYTHONPATH=str(tmp_path))
    children = server.children
    (tmp_path / "sitecustomize.py").write_text(BROKEN_WORKER)
    os.kill(server.workers[0], signal.SIGKILL)
    assert 1 == server.wait()
    assert "did not start (exit code 5)" in server.text.splitlines()[-1]
    assert not [pid for pid in children if alive(pid)]


def test_a_worker_that_never_started_ends_the_server_without_retries(datastores: Datastores, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(BROKEN_WORKER)
    environment = {
        "MONGODB_URI": datastores.mongodb_uri,
        "REDIS_URL": datastores.redis_url,
        "JWT_SECRET": "x" * 32,
        "PYTHONPATH": str(tmp_path),
        "PORT": "0",
    }
    server = spawn([], environment, tmp_path / "server.log")
    assert 1 == server.wait()
    assert "loa: worker 1 did not start (exit code 5)\n" == server.text


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"PORT": "{port}"}, "loa: PORT: 127.0.0.1:{port}: Address already in use\n"),
        ({"HOST": "192.0.2.1"}, "loa: HOST: 192.0.2.1:0: Cannot assign requested address\n"),
        ({"HOST": "no.such.host.invalid"}, "loa: HOST: no.such.host.invalid: "),
        ({"DATA_DIR": "/dev/null/data"}, "loa: DATA_DIR: /dev/null/data: Not a directory\n"),
    ],
)
def test_an_address_that_cannot_be_listened_on_is_reported_in_one_line(
    refused: Callable[..., str], environment: dict[str, str], message: str
) -> None:
    """The line names the variable to change."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        printed = refused(**{name: value.format(port=port) for name, value in environment.items()})
    assert printed.startswith(message.format(port=port))


def test_a_signal_during_the_start_stops_the_server(tmp_path: Path) -> None:
    """At that moment the embedded servers are starting."""
    server = spawn([], {"DATA_DIR": str(tmp_path / "data"), "PORT": "0"}, tmp_path / "server.log")
    children = eventually(lambda: server.children)
    server.signal(signal.SIGINT)
    assert 0 == server.wait()
    assert not [pid for pid in children if alive(pid)]
    assert "Traceback" not in server.text


async def test_repeated_signals_to_every_process_do_not_cut_the_drain_short(run: Run) -> None:
    """Heroku sends SIGTERM to every process. Each connection still gets its `draining` event and its close frame."""
    server = run(WEB_CONCURRENCY="2")
    token = register(server, "an.nguyen")
    async with connect(f"{server.websocket_url}/api/v1/ws/chat?token={token}") as socket:
        assert "hello" == json.loads(await socket.recv())["type"]
        processes = [server.pid, *server.workers]
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGINT):
            for pid in processes:
                os.kill(pid, number)
        events = []
        with suppress(ConnectionClosed):
            while True:
                events.append(json.loads(await socket.recv()))
    assert "draining" == events[-1]["type"]
    assert events[-1]["data"]["reconnect_after_ms"] > 0
    assert (1012, "restart") == (socket.close_code, socket.close_reason)
    assert 0 == await asyncio.to_thread(server.wait)
    assert not [pid for pid in processes if alive(pid)]
    assert "starts again" not in server.text


def test_a_second_ctrl_c_kills_a_worker_that_hangs(run: Run) -> None:
    server = run()
    (worker,) = server.workers
    os.kill(worker, signal.SIGSTOP)
    server.signal(signal.SIGINT)
    eventually(lambda: "loa: stopping" in server.text)
    time.sleep(0.6)  # a second SIGINT within half a second counts as the same one
    assert server.process.poll() is None
    server.signal(signal.SIGINT)
    assert 0 == server.wait(within=3)
    assert not alive(worker)


def _accepted(server: Server, total: int) -> list[int]:
    """Return how many connections each worker has accepted, once they have accepted `total` together; else []."""
    port = int(server.url.rsplit(":", 1)[1])
    inodes = {
        fields[9]
        for fields in (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
        if fields[1].endswith(f":{port:04X}") and fields[3] == "01"
    }
    counts = [
        sum(
            os.readlink(fd).removeprefix("socket:[").removesuffix("]") in inodes
            for fd in Path(f"/proc/{pid}/fd").iterdir()
            if fd.is_symlink()
        )
        for pid in server.workers
    ]
    return counts if sum(counts) == total else []
