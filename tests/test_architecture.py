"""Imports run one way, and Sanic, motor and the environment stay where they belong."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LAYERS = [
    {
        "service.__main__",
        "service.app",
        "service.asyncapi",
        "service.commands",
        "service.pending_user_changes",
        "service.processes",
        "service.retention",
        "service.services",
        "service.stores",
    },
    {"service.export", "service.moderation", "service.search", "service.server_api"},
    {"service.push"},
    {"service.accounts", "service.chat", "service.posts", "service.web", "service.webhooks"},
    {"service.attachments", "service.notifications"},
    {"service.edge"},
    {"service.http"},
    {"service.realtime"},
    {"service.datastores", "service.telemetry"},
    {"service.common"},
    {"config"},
]
"""From the top. A module imports from its own package and from lower layers only; within the first layer, and between
`datastores` and `telemetry`, siblings may import each other."""
OPEN_LAYERS = {0, 8}
SANIC_PACKAGES = {"service.app", "service.edge", "service.http", "service.processes.worker", "service.web"}
EDGE_MODULES = {"access", "asyncapi", "routes", "socket", "stream"}
ENVIRONMENT_READERS = {
    "config.settings",
    "service.common.child_process",
    "service.processes.supervisor",
    "service.processes.worker",
    "service.telemetry.multiprocess",
}


def _modules() -> dict[str, ast.Module]:
    found = {}
    for folder in ("service", "config"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            if ROOT / "config/examples" in file.parents:
                # A site of its own, which only talks to Loa.
                continue
            name = ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            found[name] = ast.parse(file.read_text())
    return found


MODULES = _modules()
NAMES = sorted(set(MODULES) - {"service"})


def _belongs_to(name: str, packages: set[str]) -> bool:
    return any(name == package or name.startswith(package + ".") for package in packages)


def _imported(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module:
        # `from package import name`: `name` is a module of ours, or something that `package` defines.
        names = (f"{node.module}.{alias.name}" for alias in node.names)
        yield from (name if name in MODULES else str(node.module) for name in names)


def imports(name: str) -> set[str]:
    """Everything that module `name` imports anywhere, also inside functions."""
    return {imported for node in ast.walk(MODULES[name]) for imported in _imported(node)}


def _imports_when_loaded(name: str) -> set[str]:
    """What loading module `name` imports: not what its functions import when they are called."""
    found: set[str] = set()
    pending: list[ast.AST] = [MODULES[name]]
    while pending:
        node = pending.pop()
        found |= set(_imported(node))
        type_checking = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        if not type_checking and not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            pending += ast.iter_child_nodes(node)
    return found


@cache
def loads(name: str) -> frozenset[str]:
    """Every module that loading module `name` loads, directly or through others."""
    found: set[str] = set()
    pending = [name]
    while pending:
        for imported in _imports_when_loaded(pending.pop()) - found:
            found.add(imported)
            if imported in MODULES:
                pending.append(imported)
    return frozenset(found)


def layer(name: str) -> int | None:
    return next((level for level, packages in enumerate(LAYERS) if _belongs_to(name, packages)), None)


def package(name: str) -> str:
    return ".".join(name.split(".")[:2]) if name.startswith("service.") else name.split(".")[0]


@pytest.mark.parametrize("name", NAMES)
def test_every_module_has_a_layer(name: str) -> None:
    assert layer(name) is not None


@pytest.mark.parametrize("name", NAMES)
def test_imports_run_down(name: str) -> None:
    own = layer(name)
    assert own is not None
    for imported in imports(name):
        other = layer(imported)
        if other is None or package(imported) == package(name):
            continue
        assert other > own or (other == own and own in OPEN_LAYERS), f"{name} imports {imported}"


@pytest.mark.parametrize("name", NAMES)
def test_only_edges_load_sanic(name: str) -> None:
    """Stores, models, services and commands work without a web server: loading one loads no Sanic, even indirectly."""
    module = name.split(".")[-1]
    if not (_belongs_to(name, SANIC_PACKAGES) or module in EDGE_MODULES or module.endswith("_routes")):
        sanic = {module for module in loads(name) if module.split(".")[0] in ("sanic", "sanic_ext")}
        assert not sanic, f"{name} loads {sanic}"


@pytest.mark.parametrize("name", NAMES)
def test_only_one_module_imports_motor(name: str) -> None:
    """Replacing motor changes one file."""
    if name != "service.datastores.mongo":
        assert not [imported for imported in imports(name) if imported.split(".")[0] == "motor"]


@pytest.mark.parametrize("name", NAMES)
def test_only_settings_and_process_starters_read_the_environment(name: str) -> None:
    reads = [
        node
        for node in ast.walk(MODULES[name])
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv")
    ]
    assert not reads or name in ENVIRONMENT_READERS
