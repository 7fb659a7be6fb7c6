"""JSON, in the one way that all of Loa writes and reads it."""

from typing import Any

import ujson


def dumps(value: Any) -> str:
    """Compact JSON in UTF-8's full range. `value` holds no lone surrogates: the models refuse them on the way in."""
    return ujson.dumps(value, ensure_ascii=False, escape_forward_slashes=False, separators=(",", ":"))


def loads(text: str | bytes) -> Any:
    """Raises ValueError for what is not JSON."""
    return ujson.loads(text)
