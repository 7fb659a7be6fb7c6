"""Servers for the tests of the protocol, with embedded datastores of their own unless their variables name others."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from urllib.request import urlopen

from tests.conftest import SECRET
from tests.protocol.clients import CONTENT_MARK, PASSWORD_MARK
from tests.protocol.contract import Contract
from tests.running import CHEAP_HASHES, Server, alive, running

TOKEN = re.compile(r"eyJ[\w-]{8,}|(?:\btoken|ticket)=(?!\[|\*|<)[\w-]+")
"""A JWT, or a credential in a URL."""


@contextmanager
def serving(directory: Path, **environment: str) -> Iterator[Server]:
    """Run a server. Checks afterwards that it exited with 0, that no child is left, and that its log has no secrets."""
    variables = {"DATA_DIR": str(directory / "data"), "JWT_SECRET": SECRET, "RATE_LIMITS": "off", "LOG_LEVEL": "DEBUG"}
    children: list[int] = []
    with running({**CHEAP_HASHES, **variables, **environment}, directory / "server.log") as server:
        yield server
        children = server.children
    assert server.process.returncode == 0, server.text
    assert not [child for child in children if alive(child)]
    check_log_for_secrets(server)


@asynccontextmanager
async def serving_in_thread(directory: Path, **environment: str) -> AsyncIterator[Server]:
    """Like `serving`, without blocking the event loop.

    One thread starts and stops the server, because the kernel kills a server whose starting thread has ended.
    """
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(1) as thread, ExitStack() as stack:
        server = await loop.run_in_executor(thread, stack.enter_context, serving(directory, **environment))
        try:
            yield server
        finally:
            await loop.run_in_executor(thread, stack.close)


def check_log_for_secrets(server: Server) -> None:
    """Check that the log has no password, token or ticket, and no text of a user."""
    for line in server.text.splitlines():
        assert PASSWORD_MARK not in line
        assert CONTENT_MARK not in line
        assert not TOKEN.search(line), line


def load_contract(server: Server) -> Contract:
    """Load the documents that the server publishes."""
    documents = []
    for path in ("/docs/openapi.json", "/asyncapi.json"):
        with urlopen(server.url + path, timeout=10) as answer:
            documents.append(json.load(answer))
    return Contract(*documents)
