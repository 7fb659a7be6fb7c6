"""The faults, one in each module of this package; see `tests.faults`."""

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, NamedTuple


class Missing(Exception):
    """This machine lacks what the fault is made with. The message says what."""


class Fault(NamedTuple):
    """`sizes`: its parameters and their full values; `quick`: the values for each run in pytest."""

    name: str
    what: str
    run: Callable[..., Awaitable[None]]
    sizes: Mapping[str, Any]
    quick: Sequence[Mapping[str, Any]]


def names() -> list[str]:
    return sorted(module.name.replace("_", "-") for module in iter_modules(__path__))


def find(name: str) -> Fault:
    """Raises ModuleNotFoundError where there is none of that name."""
    module = import_module(f"{__name__}.{name.replace('-', '_')}")
    parameters = inspect.signature(module.run).parameters.values()
    sizes = {each.name: each.default for each in parameters if each.kind is each.KEYWORD_ONLY}
    what = (inspect.getdoc(module) or "").partition("\n")[0]
    return Fault(name, what, module.run, sizes, module.QUICK)
