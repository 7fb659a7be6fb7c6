"""Imports run one way, and Sanic, motor and the environment stay where they belong."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

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


@cache
def modules() -> dict[str, ast.Module]:
    found = {}
    for folder in ("service", "config"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            if ROOT / "config/examples" in file.parents:
                # A site of its own, which only talks to Loa.
                continue
            name = ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            found[name] = ast.parse(file.read_text())
    return found


def names() -> list[str]:
    """Each test goes through all of them: a test of its own for each module would take five times as long."""
    return sorted(set(modules()) - {"service"})


def _belongs_to(name: str, packages: set[str]) -> bool:
    return any(name == package or name.startswith(package + ".") for package in packages)


def _imported(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module:
        # `from package import name`: `name` is a module of ours, or something that `package` defines.
        names = (f"{node.module}.{alias.name}" for alias in node.names)
        yield from (name if name in modules() else str(node.module) for name in names)


@cache
def imports(name: str) -> frozenset[str]:
    """Everything that module `name` imports anywhere, also inside functions."""
    return frozenset(imported for node in ast.walk(modules()[name]) for imported in _imported(node))


def _imports_when_loaded(name: str) -> set[str]:
    """What loading module `name` imports: not what its functions import when they are called."""
    found: set[str] = set()
    pending: list[ast.AST] = [modules()[name]]
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
            if imported in modules():
                pending.append(imported)
    return frozenset(found)


def layer(name: str) -> int | None:
    return next((level for level, packages in enumerate(LAYERS) if _belongs_to(name, packages)), None)


def package(name: str) -> str:
    return ".".join(name.split(".")[:2]) if name.startswith("service.") else name.split(".")[0]


def test_every_module_has_a_layer() -> None:
    assert [] == [name for name in names() if layer(name) is None]


def test_imports_run_down() -> None:
    def runs_down(name: str, imported: str) -> bool:
        own, other = layer(name), layer(imported)
        assert own is not None
        if other is None or package(imported) == package(name):
            return True
        return other > own or (other == own and own in OPEN_LAYERS)

    found = [(name, imported) for name in names() for imported in imports(name)]
    assert [] == [f"{name} imports {imported}" for name, imported in found if not runs_down(name, imported)]


def test_only_edges_load_sanic() -> None:
    """Stores, models, services and commands work without a web server: loading one loads no Sanic, even indirectly."""

    def may_load_sanic(name: str) -> bool:
        module = name.split(".")[-1]
        return _belongs_to(name, SANIC_PACKAGES) or module in EDGE_MODULES or module.endswith("_routes")

    found = [(name, module) for name in names() if not may_load_sanic(name) for module in loads(name)]
    assert [] == [f"{name} loads {module}" for name, module in found if module.split(".")[0] in ("sanic", "sanic_ext")]


def test_only_one_module_imports_motor() -> None:
    """Replacing motor changes one file."""
    importing = {name for name in names() for imported in imports(name) if imported.split(".")[0] == "motor"}
    assert {"service.datastores.mongo"} == importing


def test_only_settings_and_process_starters_read_the_environment() -> None:
    reading = {
        name
        for name in names()
        for node in ast.walk(modules()[name])
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv")
    }
    assert reading <= ENVIRONMENT_READERS
