"""Runs `python -m service` in a process of its own, as users do."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple, TypeVar

from service.common.child_process import die_with_parent

ROOT = Path(__file__).parent.parent
START_TIMEOUT = 60.0
STOP_TIMEOUT = 40.0
READY = re.compile(r"Loa is ready: (http://\S+?)/\s")

CHEAP_HASHES = {"PYTHONPATH": str(Path(__file__).parent / "cheap_hashes")}
"""Environment of a server whose password hashes, and commits of an embedded database, take next to no time."""

MARK = "sharded MongoDB:"
"""Begins each line in which `cheap_hashes` says that a command to the database cannot be routed."""

Result = TypeVar("Result")


class ProcessInfo(NamedTuple):
    pid: int
    command: str


def descendants(pid: int) -> list[ProcessInfo]:
    """Return the running processes that `pid` has started, and their descendants."""
    found: list[ProcessInfo] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                # The name, in parentheses, may contain anything: the other fields follow the last parenthesis.
                state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
                if int(parent) == pid and state != "Z":
                    command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
                    found.append(ProcessInfo(int(entry.name), command))
    return found + [grandchild for child in found for grandchild in descendants(child.pid)]


def alive(pid: int) -> bool:
    """Return whether `pid` runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def eventually(condition: Callable[[], Result], within: float = 10.0) -> Result:
    """Return the first truthy value of `condition`; fails if there is none `within` so many seconds."""
    deadline = time.monotonic() + within
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {within} s"
        time.sleep(0.02)
    return value


class Server:
    """A running `python -m service`. Its standard output and standard error go to the file `output`."""

    def __init__(self, process: "subprocess.Popen[bytes]", output: Path) -> None:
        self.process = process
        self.output = output
        self.url = ""

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def text(self) -> str:
        """The output so far."""
        return self.output.read_text()

    @property
    def websocket_url(self) -> str:
        return self.url.replace("http://", "ws://")

    @property
    def children(self) -> list[int]:
        return [child.pid for child in descendants(self.pid)]

    @property
    def workers(self) -> list[int]:
        """The pids of its worker processes."""
        return self._running("-m service worker")

    @property
    def datastores(self) -> list[int]:
        """The pids of its embedded servers."""
        return self._running("embedded_mongo.py") + self._running("valkey-server")

    def _running(self, mark: str) -> list[int]:
        return [child.pid for child in descendants(self.pid) if mark in child.command]

    def wait_until_ready(self) -> None:
        """Wait until it has printed its address and `/readyz` answers 200."""

        def printed_address() -> "re.Match[str] | None":
            assert self.process.poll() is None, f"it ended:\n{self.text}"
            return READY.search(self.text)

        try:
            match = eventually(printed_address, START_TIMEOUT)
            assert match
            self.url = match[1]
            eventually(lambda: self.status("/readyz") == 200, START_TIMEOUT)
        except AssertionError as error:
            raise AssertionError(f"the server is not ready: {error}\n{self.text}") from None

    def status(self, path: str) -> int:
        """Return the HTTP status of a GET; 0 if there is no response."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def post(self, path: str, body: Mapping[str, object], token: str = "") -> dict[str, object]:
        """POST JSON and return the JSON response. Raises urllib.error.HTTPError."""
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return dict(json.load(answer))

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the parent process, without waiting."""
        self.process.send_signal(number)

    def wait(self, within: float = STOP_TIMEOUT) -> int:
        """Wait for its end, and return the exit code. With an event loop, await `asyncio.to_thread(server.wait)`."""
        return self.process.wait(within)

    def stop(self) -> int:
        """Stop it by SIGTERM, as platforms do, wait, and return the exit code."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        """Kill the parent by kill -9, and wait for it, but not for its children."""
        self.process.kill()
        self.process.wait()


def spawn(
    arguments: Sequence[str], environment: Mapping[str, str], output: Path, command: Sequence[str] = ()
) -> Server:
    """Start `python -m service` (or another `command`) with `arguments`, without waiting for it."""
    with output.open("wb") as file:
        process = subprocess.Popen(
            [*(command or (sys.executable, "-m", "service")), *arguments],
            cwd=ROOT,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_parent(),  # noqa: PLW1509
        )
    return Server(process, output)


@contextmanager
def running(environment: Mapping[str, str], output: Path) -> Iterator[Server]:
    """Run a server on a free loopback port while the block runs; it is ready when the block begins."""
    server = spawn([], {"HOST": "127.0.0.1", "PORT": "0", **environment}, output)
    try:
        server.wait_until_ready()
        yield server
    finally:
        if server.process.poll() is None:
            server.signal(signal.SIGTERM)
            try:
                server.wait()
            except subprocess.TimeoutExpired:
                server.kill()
                raise
    scattered = sorted(set(re.findall(f"{MARK}.*", server.text)))
    assert not scattered, scattered
