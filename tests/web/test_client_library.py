"""The browser's library: its own tests and its types, under node, and the library against the real server."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import SECRET
from tests.running import running

HERE = Path(__file__).parent
LEAST_NODE = 20


def _node() -> int:
    """The major version of node; 0 where there is none."""
    node = shutil.which("node")
    if node is None or shutil.which("npm") is None:
        return 0
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.match(r"v(\d+)", version)
    return int(found[1]) if found else 0


def run(*command: str, **environment: str) -> None:
    """Fails with all that `command` has printed."""
    done = subprocess.run(
        command,
        check=False,
        cwd=HERE,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout


@pytest.fixture(scope="module", autouse=True)
def _packages() -> None:
    """The packages that package-lock.json names, and no others."""
    if (found := _node()) < LEAST_NODE:
        missing = f"needs node {LEAST_NODE} or later, with npm; found {found or 'none'}"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    run("npm", "ci")


def test_does_what_its_tests_say() -> None:
    """Its own tests pass."""
    run("npm", "test")


def test_is_typed() -> None:
    """The types in its comments are whole, and hold."""
    run("npm", "run", "types")


def test_works_with_the_server(tmp_path: Path) -> None:
    """It speaks the protocol as the server does, not only as its own tests do."""
    environment = {"DATA_DIR": str(tmp_path / "data"), "JWT_SECRET": SECRET, "ACCESS_TOKEN_TTL": "64"}
    with running(environment, tmp_path / "server.log") as server:
        run("npm", "run", "live", LOA_URL=server.url)


def test_needs_nothing_at_run_time() -> None:
    """A page imports the library and nothing else: no module of it names another package."""
    library = HERE.parent.parent / "service" / "web" / "client"
    imports = [
        specifier
        for file in library.glob("*.js")
        for specifier in re.findall(r'^(?:import|export)\b.*? from "([^"]+)"', file.read_text(), re.MULTILINE)
    ]
    assert imports
    assert [specifier for specifier in imports if not specifier.startswith("./")] == []
