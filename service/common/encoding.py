"""JSON encoding and decoding for the whole service."""

from typing import Any

import ujson


def dumps(value: Any) -> str:
    """Return compact JSON without ASCII escapes. `value` must not contain lone surrogates; models reject them."""
    return ujson.dumps(value, ensure_ascii=False, escape_forward_slashes=False, separators=(",", ":"))


def loads(text: str | bytes) -> Any:
    """Parse JSON. Raises ValueError."""
    return ujson.loads(text)
