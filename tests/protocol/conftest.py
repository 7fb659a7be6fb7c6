"""Real servers for the tests of the contract, each on embedded datastores of its own, as `python -m service` has them."""

import json
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.conftest import SECRET
from tests.protocol.contract import Contract
from tests.protocol.world import CONTENT_MARK, PASSWORD_MARK, World
from tests.running import Server, alive, running

FRIEND = "https://friend.example"
"""The one foreign origin that may connect."""
TOKEN = re.compile(r"eyJ[\w-]{8,}|(?:token|ticket)=(?!\[|\*|<)[\w-]+")
"""A JWT, or a credential in a URL that is written out."""


@contextmanager
def serving(directory: Path, **environment: str) -> Iterator[Server]:
    """A server. Afterwards: it has ended well if the test did not kill it, no child is left, its log gives nothing away."""
    variables = {"DATA_DIR": str(directory / "data"), "JWT_SECRET": SECRET, "RATE_LIMITS": "off", "LOG_LEVEL": "DEBUG"}
    children: list[int] = []
    with running({**variables, **environment}, directory / "server.log") as server:
        yield server
        children = server.children
    assert server.process.returncode == 0, server.text
    assert not [child for child in children if alive(child)]
    keeps_secrets(server)


def keeps_secrets(server: Server) -> None:
    """No password, no token or ticket and nothing that people say is in the log."""
    for line in server.text.splitlines():
        assert PASSWORD_MARK not in line
        assert CONTENT_MARK not in line
        assert not TOKEN.search(line), line


def contract_of(server: Server) -> Contract:
    documents = []
    for path in ("/docs/openapi.json", "/asyncapi.json"):
        with urlopen(server.url + path, timeout=10) as answer:
            documents.append(json.load(answer))
    return Contract(*documents)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server of most tests: one worker. Do not stop or kill it."""
    with serving(tmp_path_factory.mktemp("one"), ALLOWED_ORIGINS=FRIEND) as server:
        yield server


@pytest.fixture(scope="session")
def four(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of four workers. Do not stop or kill it."""
    with serving(tmp_path_factory.mktemp("four"), WEB_CONCURRENCY="4") as server:
        yield server


@pytest.fixture(scope="session")
def contract(server: Server) -> Contract:
    """The same for every server: they run the same code."""
    return contract_of(server)


@pytest.fixture
async def world(server: Server, contract: Contract) -> AsyncIterator[World]:
    async with World(server, contract) as world:
        yield world


@pytest.fixture
async def four_world(four: Server, contract: Contract) -> AsyncIterator[World]:
    async with World(four, contract) as world:
        yield world


Start = Callable[..., Server]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """`start(ACCESS_TOKEN_TTL="2", …)`: a server of this test's own."""
    with ExitStack() as stack:

        def begin(**environment: str) -> Server:
            directory = tmp_path / f"server{len(list(tmp_path.iterdir()))}"
            directory.mkdir()
            return stack.enter_context(serving(directory, **environment))

        yield begin
