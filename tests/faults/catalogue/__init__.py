"""The faults, one module each; see `tests.faults`."""

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, NamedTuple


class RequirementMissing(Exception):
    """The machine lacks something that the fault needs. The message says what."""


class Fault(NamedTuple):
    """`sizes` are its parameters and their full values; `quick` has the values for each run in pytest."""

    name: str
    description: str
    run: Callable[..., Awaitable[None]]
    sizes: Mapping[str, Any]
    quick: Sequence[Mapping[str, Any]]


def names() -> list[str]:
    return sorted(module.name.replace("_", "-") for module in iter_modules(__path__))


def find(name: str) -> Fault:
    """Return the fault of that name. Raises ModuleNotFoundError."""
    module = import_module(f"{__name__}.{name.replace('-', '_')}")
    parameters = inspect.signature(module.run).parameters.values()
    sizes = {parameter.name: parameter.default for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY}
    description = (inspect.getdoc(module) or "").partition("\n")[0]
    return Fault(name, description, module.run, sizes, module.QUICK)
