"""The size of pages in bytes: a page ends early where its items are long, and `next` leads on."""

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel

from service.common.encoding import dumps

MAX_PAGE_BYTES = 1 << 20
"""Bytes of JSON. A hundred of the longest messages in any script but emoji fit."""


def json_bytes(item: BaseModel | dict[str, Any]) -> int:
    """Return the length of `item` in a response."""
    return len(dumps(item.model_dump() if isinstance(item, BaseModel) else item).encode())


def fitting(items: Iterable[BaseModel | dict[str, Any]]) -> int:
    """Return how many of `items`, from the first, fit into MAX_PAGE_BYTES together; at least one, if there is any."""
    size = count = 0
    for item in items:
        size += json_bytes(item)
        if count and size > MAX_PAGE_BYTES:
            break
        count += 1
    return count
