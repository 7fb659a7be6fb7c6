"""Real servers for the tests of the contract, on embedded datastores of their own, as `python -m service` has them."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from urllib.request import urlopen

from tests.conftest import SECRET
from tests.protocol.contract import Contract
from tests.protocol.world import CONTENT_MARK, PASSWORD_MARK
from tests.running import CHEAP_HASHES, Server, alive, running

TOKEN = re.compile(r"eyJ[\w-]{8,}|(?:\btoken|ticket)=(?!\[|\*|<)[\w-]+")
"""A JWT, or a credential in a URL that is written out."""


@contextmanager
def serving(directory: Path, **environment: str) -> Iterator[Server]:
    """A server. Afterwards: it has ended well, no child of it is left, and its log gives nothing away."""
    variables = {"DATA_DIR": str(directory / "data"), "JWT_SECRET": SECRET, "RATE_LIMITS": "off", "LOG_LEVEL": "DEBUG"}
    children: list[int] = []
    with running({**CHEAP_HASHES, **variables, **environment}, directory / "server.log") as server:
        yield server
        children = server.children
    assert server.process.returncode == 0, server.text
    assert not [child for child in children if alive(child)]
    keeps_secrets(server)


@asynccontextmanager
async def served(directory: Path, **environment: str) -> AsyncIterator[Server]:
    """`serving`, for a test whose own loop has to run meanwhile.

    In a thread that lasts as long: the server ends with the thread that has started it.
    """
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(1) as thread, ExitStack() as stack:
        server = await loop.run_in_executor(thread, stack.enter_context, serving(directory, **environment))
        try:
            yield server
        finally:
            await loop.run_in_executor(thread, stack.close)


def keeps_secrets(server: Server) -> None:
    """No password, no token or ticket and nothing that people say is in the log."""
    for line in server.text.splitlines():
        assert PASSWORD_MARK not in line
        assert CONTENT_MARK not in line
        assert not TOKEN.search(line), line


def contract_of(server: Server) -> Contract:
    """The documents that the server publishes."""
    documents = []
    for path in ("/docs/openapi.json", "/asyncapi.json"):
        with urlopen(server.url + path, timeout=10) as answer:
            documents.append(json.load(answer))
    return Contract(*documents)
