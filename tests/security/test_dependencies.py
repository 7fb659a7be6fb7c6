"""What Loa stands on: each package named in one exact version, and none below where a hole was closed."""

import os
import re
import subprocess
from importlib.metadata import version

import pytest

from tests.running import ROOT

PIN = re.compile(r"([A-Za-z0-9._-]+)==(\d[\w.]*)(?: ; python_version < \"3\.\d+\")?")
FILES = ("requirements.txt", "tests/requirements.txt")
PROOF = {"pytest", "sanic-testing", "playwright", "schemathesis", "hypothesis", "mypy", "ruff"}
FLOORS = {"PyJWT": (2, 13), "ujson": (5, 12, 1), "pymongo": (4, 18, 1), "redis": (4, 5, 4)}
"""The first versions without a hole that is known: PyJWT's checks of keys and headers, ujson's memory, pymongo's
reading of what it is sent, and redis's connections that answered one caller with what another had asked."""


def pins(*files: str) -> dict[str, str]:
    """The packages that `files` (none: all of them) pin, and their versions."""
    lines = [line for file in files or FILES for line in (ROOT / file).read_text().splitlines()]
    found = [PIN.fullmatch(line) for line in lines if line.strip() and not line.startswith(("#", "-r "))]
    assert all(found), "every line is name==version"
    return {match[1]: match[2] for match in found if match}


def numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text))


def test_every_dependency_is_pinned() -> None:
    """One exact version each, and each once: what is tested is what is deployed."""
    assert len(pins()) > 20
    assert len({name.lower() for name in pins()}) == len(pins())


@pytest.mark.parametrize("name", FLOORS)
def test_no_version_has_a_known_hole(name: str) -> None:
    """Neither what is pinned nor what is installed here is older."""
    assert numbers(pins()[name]) >= FLOORS[name]
    assert numbers(version(name)) >= FLOORS[name]


def test_what_is_installed_is_what_is_pinned() -> None:
    """The tests ran on just these."""
    assert {} == {name: version(name) for name, pinned in pins().items() if version(name) != pinned}


def test_production_installs_no_test_tool() -> None:
    assert not PROOF & pins("requirements.txt").keys()
    assert pins("tests/requirements.txt").keys() >= PROOF


def test_an_audit_that_could_not_look_does_not_pass() -> None:
    """`.ci/audit` tells nothing found (0) from holes found (1) and from no answer (2), as here without a network."""
    environment = {"PATH": os.environ["PATH"], "PIP_NO_INDEX": "1"}
    command = [ROOT / ".ci" / "audit"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert 2 == ended.returncode, ended.stderr
    assert "could not look" in ended.stderr
