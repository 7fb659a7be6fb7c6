"""The size of pages in bytes: a page ends early where its items are long, and `next` leads on."""

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel

from service.common.encoding import EncodedJson, dumps

MAX_PAGE_BYTES = 1 << 20
"""Bytes of JSON. A hundred of the longest messages in any script but emoji fit."""


class EncodedItems(list[dict[str, Any]]):
    """The items of a page, not to be changed any more, with their JSON: a response needs not encode them again."""

    def __init__(self, items: Sequence[dict[str, Any]], json: EncodedJson) -> None:
        super().__init__(items)
        self.json = json


def fit(items: Sequence[dict[str, Any]], *, reverse: bool = False) -> list[dict[str, Any]]:
    """Return those of `items`, from the first, that fit into MAX_PAGE_BYTES together; at least one, if there is any.

    `reverse`: return them in the reverse order.
    """
    page = items[::-1] if reverse else items
    json = dumps(page)
    # Nearly always all of them fit.
    if len(json.encode()) <= MAX_PAGE_BYTES:
        return EncodedItems(page, EncodedJson(json))
    fitted = list(items[: fitting(items)])
    return fitted[::-1] if reverse else fitted


def fitting(items: Sequence[BaseModel | dict[str, Any]]) -> int:
    """Return how many of `items`, from the first, fit into MAX_PAGE_BYTES together; at least one, if there is any."""
    plain = [item.model_dump() if isinstance(item, BaseModel) else item for item in items]
    # Nearly always all of them do, which one call finds out in half the time of a call for each.
    if _json_bytes(plain) <= MAX_PAGE_BYTES:
        return len(plain)
    size = count = 0
    for item in plain:
        size += _json_bytes(item)
        if count and size > MAX_PAGE_BYTES:
            break
        count += 1
    return count


def _json_bytes(value: Any) -> int:
    """Return the length of `value` in a response."""
    return len(dumps(value).encode())
