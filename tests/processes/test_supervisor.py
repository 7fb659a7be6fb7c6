"""`python -m service` as a whole: how it starts, what it survives, and that it leaves nothing behind."""

import asyncio
import json
import os
import resource
import signal
import socket
import time
from contextlib import suppress
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.conftest import Datastores, Run
from tests.running import Server, alive, eventually, spawn

EMBEDDED = {"MONGODB_URI": None, "REDIS_URL": None, "JWT_SECRET": None}
PASSWORD = "correct horse"

BROKEN_WORKER = "import os, sys; 'worker' in sys.orig_argv and os._exit(5)"
"""As `sitecustomize.py` on PYTHONPATH: every Python runs it first, and a worker ends there."""


def register(server: Server, username: str) -> str:
    """The access token of a new account."""
    return str(server.post("/api/v1/auth/register", {"username": username, "password": PASSWORD})["access_token"])


def login(server: Server, username: str) -> str:
    return str(server.post("/api/v1/auth/login", {"username": username, "password": PASSWORD})["access_token"])


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_nothing_configured_serves_and_leaves_nothing_behind(run: Run, tmp_path: Path, ending: signal.Signals) -> None:
    """Whatever ends it: no process is left and no lock, and what was stored is there at the next start."""
    server = run(**EMBEDDED)
    children = server.children
    assert (1, 2) == (len(server.workers), len(server.datastores))
    assert 3 == len(children)
    register(server, "an.nguyen")
    server.signal(ending)
    assert (-9 if ending == signal.SIGKILL else 0) == server.wait()
    if ending == signal.SIGKILL:
        eventually(lambda: not any(alive(pid) for pid in children))
    assert not [pid for pid in children if alive(pid)]
    if ending in (signal.SIGTERM, signal.SIGKILL):
        assert login(run(**EMBEDDED), "an.nguyen")
    assert 0o700 == (tmp_path / "data").stat().st_mode & 0o777


def test_more_clients_than_the_usual_limit_of_open_files(run: Run) -> None:
    """Started with a low limit, it raises it, and its workers have the same."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        server = run()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    (worker,) = server.workers
    assert (min(65_536, hard), hard) == resource.prlimit(worker, resource.RLIMIT_NOFILE)


def test_a_second_start_in_the_same_directory_says_who_has_it(run: Run, tmp_path: Path) -> None:
    """In one line with the process id, whatever its port; the first is not disturbed."""
    server = run(**EMBEDDED)
    environment = {"DATA_DIR": str(tmp_path / "data"), "PORT": "0"}
    second = spawn([], environment, tmp_path / "second.log")
    assert 1 == second.wait()
    assert f"loa: DATA_DIR: {tmp_path / 'data'} is in use by process {server.pid}\n" == second.text
    assert 200 == server.status("/readyz")


def test_with_both_datastores_given_nothing_is_embedded(run: Run, tmp_path: Path) -> None:
    """No server, no directory: only the workers."""
    server = run()
    assert server.workers == server.children
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("missing", "mark"), [("MONGODB_URI", "the embedded MongoDB"), ("REDIS_URL", "the embedded Redis")]
)
def test_with_one_datastore_given_only_the_other_is_embedded(run: Run, missing: str, mark: str) -> None:
    """Whichever it is, it works, and it is healed."""
    server = run(**{missing: None})
    (pid,) = server.datastores
    register(server, "an.nguyen")
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: f"loa: {mark} runs again" in server.text, within=30)
    eventually(lambda: server.status("/readyz") == 200)
    assert login(server, "an.nguyen")
    assert f"loa: {mark} ended (SIGKILL); it starts again in" in server.text


def test_a_worker_that_is_killed_is_replaced(run: Run) -> None:
    """One of four: within about two seconds, though a busy machine may take longer."""
    server = run(WEB_CONCURRENCY="4")
    before = server.workers
    assert 4 == len(before)
    os.kill(before[0], signal.SIGKILL)
    eventually(lambda: "runs again" in server.text, within=30)
    after = server.workers
    assert 4 == len(after)
    assert 3 == len(set(before) & set(after))
    assert 200 == server.status("/readyz")


def test_a_worker_that_will_not_start_again_ends_it_all(run: Run, tmp_path: Path) -> None:
    """With a message and exit code 1: the platform may have a better place for it."""
    server = run(WEB_CONCURRENCY="2", PYTHONPATH=str(tmp_path))
    children = server.children
    (tmp_path / "sitecustomize.py").write_text(BROKEN_WORKER)
    os.kill(server.workers[0], signal.SIGKILL)
    assert 1 == server.wait()
    assert "did not start (exit code 5)" in server.text.splitlines()[-1]
    assert not [pid for pid in children if alive(pid)]


def test_a_worker_that_does_not_start_at_all_ends_it_at_once(datastores: Datastores, tmp_path: Path) -> None:
    """Nothing has been served yet that would be worth another try."""
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
def test_what_cannot_be_listened_on_is_told_in_one_line(
    tmp_path: Path, environment: dict[str, str], message: str
) -> None:
    """It names the variable to change."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        defaults = {"DATA_DIR": str(tmp_path / "data"), "HOST": "127.0.0.1", "PORT": "0"}
        given = {name: value.format(port=port) for name, value in (defaults | environment).items()}
        server = spawn([], given, tmp_path / "server.log")
        assert 1 == server.wait()
    assert server.text.startswith(message.format(port=port))
    assert 1 == server.text.count("\n")


def test_a_signal_during_the_start_ends_it(tmp_path: Path) -> None:
    """With the embedded servers half up."""
    server = spawn([], {"DATA_DIR": str(tmp_path / "data"), "PORT": "0"}, tmp_path / "server.log")
    children = eventually(lambda: server.children)
    server.signal(signal.SIGINT)
    assert 0 == server.wait()
    assert not [pid for pid in children if alive(pid)]
    assert "Traceback" not in server.text


async def test_heroku_stops_it_with_a_signal_to_every_process(run: Run) -> None:
    """More than one, even: a connection is still told to come back, and everything ends in peace."""
    server = run(WEB_CONCURRENCY="2")
    token = register(server, "an.nguyen")
    async with connect(f"{server.websocket_url}/api/v1/ws/chat?token={token}") as socket:
        assert "hello" == json.loads(await socket.recv())["type"]
        processes = [server.pid, *server.workers]
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGINT):
            for pid in processes:
                os.kill(pid, number)
        told = []
        with suppress(ConnectionClosed):
            while True:
                told.append(json.loads(await socket.recv()))
    assert "draining" == told[-1]["type"]
    assert told[-1]["data"]["reconnect_after_ms"] > 0
    assert (1012, "restart") == (socket.close_code, socket.close_reason)
    assert 0 == await asyncio.to_thread(server.wait)
    assert not [pid for pid in processes if alive(pid)]
    assert "starts again" not in server.text


def test_a_second_ctrl_c_does_not_wait(run: Run) -> None:
    """For a worker that hangs, here because it was stopped."""
    server = run()
    (worker,) = server.workers
    os.kill(worker, signal.SIGSTOP)
    server.signal(signal.SIGINT)
    eventually(lambda: "loa: stopping" in server.text)
    time.sleep(0.6)  # a second one that comes sooner counts as the first
    assert server.process.poll() is None
    server.signal(signal.SIGINT)
    assert 0 == server.wait(within=3)
    assert not alive(worker)


def test_a_worker_that_is_asked_to_end_drains_and_is_replaced(run: Run) -> None:
    """By SIGTERM to it alone."""
    server = run()
    (worker,) = server.workers
    os.kill(worker, signal.SIGTERM)
    eventually(lambda: "runs again" in server.text, within=30)
    assert "worker 1 ended (exit code 0)" in server.text
    assert 200 == server.status("/readyz")


def test_workers_run_on_uvloop_and_share_the_connections(run: Run) -> None:
    """Every worker takes its part of them: of 64, never fewer than nine."""
    server = run(WEB_CONCURRENCY="2")
    host, port = server.url.removeprefix("http://").split(":")
    opened = [socket.create_connection((host, int(port))) for _ in range(64)]
    counts = eventually(lambda: _accepted(server, 64))
    for each in opened:
        each.close()
    assert min(counts) > 8
    for pid in server.workers:
        assert "uvloop/loop" in Path(f"/proc/{pid}/maps").read_text()


def _accepted(server: Server, total: int) -> list[int]:
    """How many connections each worker holds, once they hold `total` of ours together."""
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
