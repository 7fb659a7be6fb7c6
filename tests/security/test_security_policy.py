"""The tests and files that `.github/SECURITY.md` names exist, and the tests that `tests/scale/README.md` names."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests.running import ROOT

POLICY = ROOT / ".github" / "SECURITY.md"
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
ROW = re.compile(r"^\| .* \|$")


@cache
def functions_in(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / path).read_text())
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


@pytest.mark.parametrize(
    ("document", "count"), [(POLICY, 50), (ROOT / "tests" / "scale" / "README.md", 10)], ids=["policy", "scale"]
)
def test_every_named_test_exists(document: Path, count: int) -> None:
    """A renamed or removed test must be updated there."""
    named = NAMED.findall(document.read_text())
    assert len(named) > count
    assert [] == [f"{path}::{name}" for path, name in named if name not in functions_in(path)]


def test_every_threat_has_a_test() -> None:
    """Every row names at least one test, or says why the risk is accepted."""
    lines = [line for line in POLICY.read_text().splitlines() if ROW.match(line)]
    rows = [
        line for line in lines if not line.startswith(("| threat ", "| ASVS ", "| path ")) and "| Accepted" not in line
    ]
    assert len(rows) > 20
    assert [] == [row for row in rows if not NAMED.search(row)]


def test_every_named_file_exists() -> None:
    """The files that implement a countermeasure exist."""
    named = re.findall(r"`((?:service|config)/[\w/.]*)`", POLICY.read_text())
    assert len(named) > 10
    assert [] == [path for path in named if not (ROOT / path).exists()]


def test_the_readme_links_to_the_policy() -> None:
    """The README links to the policy."""
    assert "(.github/SECURITY.md)" in (ROOT / "README.md").read_text()
