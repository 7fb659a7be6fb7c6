"""The server that is measured, how clients connect to it, and whose processor time and memory count."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from service.common.child_process import die_with_parent
from tests.load.machine import Cores
from tests.load.wire import Address
from tests.running import descendants

HOST = "127.0.0.1"
START_LIMIT = 20.0
STOP_LIMIT = 10.0
POLL_INTERVAL = 0.05


class StartError(Exception):
    """A server exited, or did not listen in time. The message contains the end of its output."""


@dataclass
class LoadTarget:
    """`description` says how the server is run."""

    name: str
    description: str
    address: Address
    pids: Callable[[], list[int]]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


@contextmanager
def run_process(
    command: Sequence[str], port: int, log: Path, cores: Cores, environment: Mapping[str, str], directory: Path
) -> Iterator[list[int]]:
    """Run a server on the servers' core until the block ends. Yields its pids once it listens on `port`.

    Raises StartError.
    """
    with log.open("wb") as output, cores.on_server_core():
        started = subprocess.Popen(
            command,
            cwd=directory,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            preexec_fn=die_with_parent(),  # noqa: PLW1509
        )
    try:
        _wait_for(port, started, log)
        yield [started.pid, *(child.pid for child in descendants(started.pid))]
    finally:
        started.terminate()
        try:
            started.wait(STOP_LIMIT)
        except subprocess.TimeoutExpired:
            left = descendants(started.pid)
            started.kill()
            started.wait()
            for child in left:
                with suppress(ProcessLookupError):
                    os.kill(child.pid, signal.SIGKILL)


def _wait_for(port: int, started: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_LIMIT
    while time.monotonic() < deadline and started.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex((HOST, port)) == 0:
                return
        time.sleep(POLL_INTERVAL)
    last_lines = log.read_text(errors="replace").strip().splitlines()[-3:]
    raise StartError(" / ".join(last_lines) or "it did not listen in time")
