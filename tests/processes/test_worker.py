"""A worker that cannot use a datastore: the parent learns that it failed, and the operator why, in one line.

The worker runs in the test's process, because a server takes two seconds of processor time to start. That a server
whose worker fails prints nothing else and exits with 1, see commands/test_command_line.py.
"""

import socket
import sys
from collections.abc import Callable, Iterator

import pytest
import structlog
from sanic import Sanic

from config.settings import Settings
from service.processes import worker
from service.processes.control import FAILED, PREPARE

Refusal = Callable[..., str]
"""`refusal(redis_url=…)`: see the fixture."""


@pytest.fixture
def refusal(settings: Settings, capsys: pytest.CaptureFixture[str]) -> Iterator[Refusal]:
    """Lets a worker with these settings prepare the datastores, checks that it refuses, and returns what it prints."""
    interval = sys.getswitchinterval()

    def run(**changes: str) -> str:
        capsys.readouterr()
        parent, control = socket.socketpair()
        with parent, control, socket.create_server(("127.0.0.1", 0)) as listener:
            parent.sendall(PREPARE)
            assert 1 == worker.run(settings.model_copy(update=changes), listener, control)
            assert FAILED == parent.recv(1)
        captured = capsys.readouterr()
        return captured.out + captured.err

    Sanic.test_mode = True
    yield run
    sys.setswitchinterval(interval)
    structlog.reset_defaults()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "MONGODB_URI",
            "mongodb+srv://nowhere.invalid/loa",
            "the database cannot be used: The DNS query name does",
        ),
        ("REDIS_URL", "redis://:sesame@127.0.0.1?colour=red", "Redis cannot be used: an option is unknown or invalid"),
        ("REDIS_URL", "redis://:sesame@127.0.0.1?socket_timeout=x", "Redis cannot be used: Invalid value for 'socket_"),
        (
            "MONGODB_URI",
            "mongodb://127.0.0.1:1/loa",
            "the database cannot be reached: 127.0.0.1:1: [Errno 111] Connection refused\n",
        ),
    ],
)
def test_an_unusable_datastore_is_named(refusal: Refusal, name: str, value: str, message: str) -> None:
    """The line does not contain the password."""
    printed = refusal(**{name.lower(): value})
    assert printed.startswith(f"loa: {name}: {message}")
    assert 1 == printed.count("\n")
    assert "sesame" not in printed
