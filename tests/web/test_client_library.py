"""Runs the tests of the browser client library under node: unit tests, types, and against a real server."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import API_KEY, SECRET
from tests.running import CHEAP_HASHES, running

HERE = Path(__file__).parent
MIN_NODE_VERSION = 20


def _node_version() -> int:
    """Return the major version of node; 0 if node or npm is not installed."""
    node = shutil.which("node")
    if node is None or shutil.which("npm") is None:
        return 0
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.match(r"v(\d+)", version)
    return int(found[1]) if found else 0


def run(*command: str, **environment: str) -> None:
    """Run `command` in this folder; fail with its output if it fails."""
    completed = subprocess.run(
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
    assert completed.returncode == 0, completed.stdout


@pytest.fixture(scope="module", autouse=True)
def _packages() -> None:
    """Install exactly the packages of package-lock.json."""
    if (version := _node_version()) < MIN_NODE_VERSION:
        reason = f"needs node {MIN_NODE_VERSION} or later, with npm; found {version or 'none'}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    run("npm", "ci", "--no-audit", "--no-fund")


def test_unit_tests_pass() -> None:
    run("npm", "test")


def test_types_in_comments_are_complete_and_consistent() -> None:
    run("npm", "run", "types")


def test_works_with_a_real_server(tmp_path: Path) -> None:
    """The unit tests use fake servers, which could differ from the real one."""
    environment = {"DATA_DIR": str(tmp_path / "data"), "JWT_SECRET": SECRET, "ACCESS_TOKEN_TTL": "64"}
    environment |= {"API_KEYS": f"site:{API_KEY}", **CHEAP_HASHES}
    with running(environment, tmp_path / "server.log") as server:
        run("npm", "run", "live", LOA_URL=server.url, LOA_API_KEY=API_KEY)


def test_the_readme_names_every_method_of_the_api() -> None:
    library = HERE.parent.parent / "service" / "web" / "client"
    methods = set(re.findall(r"^  (?:async )?(\w+)\(.*\{$", (library / "api.js").read_text(), re.MULTILINE))
    section = (library / "README.md").read_text().partition("\n## Api\n")[2].partition("\n## ")[0]
    assert methods - {"constructor"} == set(re.findall(r"`(\w+)`", section))


def test_has_no_runtime_dependencies() -> None:
    """Every module imports only modules of the library."""
    library = HERE.parent.parent / "service" / "web" / "client"
    imports = [
        specifier
        for file in library.glob("*.js")
        for specifier in re.findall(r'^(?:import|export)\b.*? from "([^"]+)"', file.read_text(), re.MULTILINE)
    ]
    assert imports
    assert [specifier for specifier in imports if not specifier.startswith("./")] == []
