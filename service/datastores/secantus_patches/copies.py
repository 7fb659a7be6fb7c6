"""Copies of documents."""

import copy
from datetime import datetime
from types import NoneType, SimpleNamespace
from typing import Any

import bson

IMMUTABLE = frozenset({str, int, float, bool, bytes, NoneType, datetime, bson.ObjectId, bson.Int64, bson.Binary})


def deep_copy(value: Any) -> Any:
    """Return a copy of a value of a document, as `copy.deepcopy` does, in a tenth of the time."""
    kind = type(value)
    if kind in IMMUTABLE:
        return value
    if kind is dict:
        return {name: deep_copy(each) for name, each in value.items()}
    if kind is list:
        return [deep_copy(each) for each in value]
    return copy.deepcopy(value)


copying = SimpleNamespace(deepcopy=deep_copy)
"""In place of the module `copy`, of which SecantusDB uses nothing else."""
