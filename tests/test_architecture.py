"""Imports run one way."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LAYERS = [
    {"service.app", "service.worker", "service.supervisor", "service.__main__", "service.channels"},
    {"service.chat", "service.posts", "service.accounts", "service.web"},
    {"service.notifications"},
    {"service.http"},
    {"service.realtime"},
    {"service.telemetry", "service.datastores"},
    {"config"},
]
"""From the top: a module imports from its own part, from below, and what belongs to no layer (ids, errors, times …).

`service.http` is the edges' own library, so it stands above the realtime core whose connections it opens.
"""
SANIC = {"service.http", "service.app", "service.worker", "service.realtime.takeover"}
EDGES = {"routes", "socket", "stream"}


def modules() -> list[tuple[str, ast.Module]]:
    found = []
    for folder in ("service", "config"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            name = ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            found.append((name, ast.parse(file.read_text())))
    return found


def imports(tree: ast.Module) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def layer(name: str) -> int | None:
    for level, parts in enumerate(LAYERS):
        if any(name == part or name.startswith(part + ".") for part in parts):
            return level
    return None


def part(name: str) -> str:
    return ".".join(name.split(".")[:2])


@pytest.mark.parametrize(("name", "tree"), modules(), ids=lambda value: value if isinstance(value, str) else "")
def test_imports_run_down(name: str, tree: ast.Module) -> None:
    """Never up, and never to a sibling."""
    own = layer(name)
    for imported in imports(tree):
        other = layer(imported)
        if own is None or other is None or part(imported) == part(name) or own == 0:
            continue
        assert other > own or (own == other and own == len(LAYERS) - 2), f"{name} imports {imported}"


@pytest.mark.parametrize(("name", "tree"), modules(), ids=lambda value: value if isinstance(value, str) else "")
def test_sanic_is_known_to_the_edges_only(name: str, tree: ast.Module) -> None:
    """What stands behind them can be used, and tested, without a server."""
    allowed = any(name == known or name.startswith(known + ".") for known in SANIC) or name.split(".")[-1] in EDGES
    if not allowed:
        assert not [imported for imported in imports(tree) if imported.split(".")[0] in ("sanic", "sanic_ext")]


@pytest.mark.parametrize(("name", "tree"), modules(), ids=lambda value: value if isinstance(value, str) else "")
def test_motor_is_known_to_one_file(name: str, tree: ast.Module) -> None:
    """So that its successor changes one."""
    if name != "service.datastores.mongo":
        assert not [imported for imported in imports(tree) if imported.split(".")[0] == "motor"]


@pytest.mark.parametrize(("name", "tree"), modules(), ids=lambda value: value if isinstance(value, str) else "")
def test_the_environment_is_read_in_one_place(name: str, tree: ast.Module) -> None:
    """Everything else is handed its settings; who starts processes hands on an environment, and says so here."""
    reads = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv")]
    if reads:
        assert name in {
            "config.settings",
            "service.app",
            "service.supervisor",
            "service.worker",
            "service.child",
            "service.telemetry.multiprocess",
        }
