"""Dependencies: each is pinned to one exact version, none older than the fix of a known vulnerability."""

import os
import re
import subprocess
from importlib.metadata import version

import pytest

from tests.running import ROOT

PIN = re.compile(r"([A-Za-z0-9._-]+)==(\d[\w.]*)(?: ; python_version < \"3\.\d+\")?")
FILES = ("requirements.txt", "tests/requirements.txt")
TEST_TOOLS = {"pytest", "sanic-testing", "playwright", "schemathesis", "hypothesis", "mypy", "ruff"}
FLOORS = {"PyJWT": (2, 13), "ujson": (5, 12, 1), "pymongo": (4, 18, 1), "redis": (4, 5, 4)}
"""The first versions without known vulnerabilities: PyJWT's checks of keys and headers, ujson's memory use, pymongo's
parsing of what it receives, and redis connections that answered one caller with another caller's reply."""


def pins(*files: str) -> dict[str, str]:
    """The pinned packages and versions of `files`, by default of all files."""
    lines = [line for file in files or FILES for line in (ROOT / file).read_text().splitlines()]
    found = [PIN.fullmatch(line) for line in lines if line.strip() and not line.startswith(("#", "-r "))]
    assert all(found), "every line is name==version"
    return {match[1]: match[2] for match in found if match}


def numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text))


def test_every_dependency_is_pinned() -> None:
    """Each package is pinned to one exact version, once: the tested versions are the deployed ones."""
    assert len(pins()) > 20
    assert len({name.lower() for name in pins()}) == len(pins())


@pytest.mark.parametrize("name", FLOORS)
def test_no_version_has_a_known_vulnerability(name: str) -> None:
    """Neither the pinned nor the installed version is older."""
    assert numbers(pins()[name]) >= FLOORS[name]
    assert numbers(version(name)) >= FLOORS[name]


def test_installed_versions_match_the_pins() -> None:
    """The tests run with the pinned versions."""
    assert {} == {name: version(name) for name, pinned in pins().items() if version(name) != pinned}


def test_production_requirements_contain_no_test_tools() -> None:
    assert not TEST_TOOLS & pins("requirements.txt").keys()
    assert pins("tests/requirements.txt").keys() >= TEST_TOOLS


def test_an_audit_without_network_exits_with_2() -> None:
    """`.ci/audit` exits with 0 if it found nothing, 1 if it found a vulnerability, and 2 if it could not check, as
    here."""
    environment = {"PATH": os.environ["PATH"], "PIP_NO_INDEX": "1"}
    command = [ROOT / ".ci" / "audit"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert 2 == ended.returncode, ended.stderr
    assert "could not look" in ended.stderr
