"""Dependencies: each is locked to one exact version and to the hashes of its files, none older than the fix of a known
vulnerability."""

import os
import re
import subprocess
from importlib.metadata import distribution, version
from typing import NamedTuple

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.running import ROOT

PINNED = re.compile(r"([a-z0-9][a-z0-9.-]*)==([^\s;]+)(?: ; (.+?))?((?: --hash=sha256:[0-9a-f]{64})+)")
DECLARED = re.compile(r"([A-Za-z0-9._-]+)(?:\[[a-z,]+\])?==(\d[\w.]*)(?: ; python_version < \"3\.\d+\")?")
LOCKS = {"requirements.txt": "config/requirements.in", "tests/requirements.txt": "tests/requirements.in"}
"""Each lock, which pip installs, and the file that it is generated from by `.ci/lock`."""
TEST_TOOLS = {"pytest", "sanic-testing", "playwright", "schemathesis", "hypothesis", "mypy", "ruff"}
FLOORS = {"pyjwt": (2, 13), "ujson": (5, 12, 1), "pymongo": (4, 18, 1), "redis": (4, 5, 4)}
"""The first versions without known vulnerabilities: PyJWT's checks of keys and headers, ujson's memory use, pymongo's
parsing of what it receives, and redis connections that answered one caller with another caller's reply."""


class Pin(NamedTuple):
    version: str
    marker: str
    hashes: str

    @property
    def applies(self) -> bool:
        """Whether pip installs the package on this Python and platform."""
        return not self.marker or Marker(self.marker).evaluate()


def locked(file: str) -> dict[str, Pin]:
    """The packages of a lock file by normalised name."""
    text = (ROOT / file).read_text().replace(" \\\n   ", "")
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    found = [PINNED.fullmatch(line) for line in lines]
    wrong = [line.split(" --hash")[0] for line, match in zip(lines, found, strict=True) if not match]
    assert [] == wrong, "every package is name==version with hashes"
    names = [canonicalize_name(match[1]) for match in found if match]
    assert len(set(names)) == len(names), "a package is pinned once"
    return {canonicalize_name(match[1]): Pin(match[2], match[3] or "", match[4]) for match in found if match}


def declared(file: str) -> dict[str, str]:
    """The packages and versions that a `.in` file asks for."""
    lines = [
        line for line in (ROOT / file).read_text().splitlines() if line.strip() and not line.startswith(("#", "-r"))
    ]
    found = [DECLARED.fullmatch(line) for line in lines]
    assert all(found), "every line is name==version, or name[extra]==version"
    return {canonicalize_name(match[1]): match[2] for match in found if match}


def numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text))


@pytest.mark.parametrize("file", LOCKS)
def test_every_package_is_locked_with_hashes(file: str) -> None:
    """Every package that the installed ones need, directly or not, is in the lock: pip downloads nothing that was not
    tested, and nothing whose bytes have changed since."""
    pins = locked(file)
    missing = {
        f"{name} needs {needed.name}"
        for name, pin in pins.items()
        if pin.applies
        for needed in map(Requirement, distribution(name).requires or ())
        if (needed.marker is None or needed.marker.evaluate({"extra": ""}))
        and canonicalize_name(needed.name) not in pins
    }
    assert set() == missing


@pytest.mark.parametrize(("file", "source"), LOCKS.items())
def test_the_lock_has_the_declared_versions(file: str, source: str) -> None:
    pins = locked(file)
    assert {} == {name: wanted for name, wanted in declared(source).items() if pins[name].version != wanted}


def test_the_tests_run_with_the_deployed_versions() -> None:
    deployed, tested = locked("requirements.txt"), locked("tests/requirements.txt")
    assert {} == {name: pin for name, pin in deployed.items() if tested[name] != pin}


def test_installed_versions_match_the_lock() -> None:
    """The tests run with the locked versions."""
    pins = locked("tests/requirements.txt").items()
    installed = {name: (pin.version, version(name)) for name, pin in pins if pin.applies}
    assert {} == {name: versions for name, versions in installed.items() if versions[0] != versions[1]}


@pytest.mark.parametrize("name", FLOORS)
def test_no_version_has_a_known_vulnerability(name: str) -> None:
    """Neither the locked nor the installed version is older."""
    assert numbers(locked("requirements.txt")[name].version) >= FLOORS[name]
    assert numbers(version(name)) >= FLOORS[name]


def test_production_requirements_contain_no_test_tools() -> None:
    assert not TEST_TOOLS & locked("requirements.txt").keys()
    assert locked("tests/requirements.txt").keys() >= TEST_TOOLS


@pytest.mark.parametrize("file", [*LOCKS, *LOCKS.values()])
def test_no_file_names_a_package_index(file: str) -> None:
    """Where packages come from is the machine's own configuration."""
    assert not re.search(r"index-url|://|--find-links|--trusted-host", (ROOT / file).read_text())


def test_an_audit_without_network_exits_with_2() -> None:
    """`.ci/audit` exits with 0 if it found nothing, 1 if it found a vulnerability, and 2 if it could not check, as
    here."""
    environment = {"PATH": os.environ["PATH"], "PIP_NO_INDEX": "1"}
    command = [ROOT / ".ci" / "audit"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert 2 == ended.returncode, ended.stderr
    assert "could not look" in ended.stderr
