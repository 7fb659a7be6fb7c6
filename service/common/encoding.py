"""JSON encoding and decoding for the whole service."""

from typing import Any

import ujson


class EncodedJson:
    """JSON that is part of another document as it is."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __json__(self) -> str:
        """Called by ujson."""
        return self._text


def dumps(value: Any) -> str:
    """Return compact JSON without ASCII escapes. `value` must not contain lone surrogates; models reject them."""
    return ujson.dumps(value, ensure_ascii=False, escape_forward_slashes=False, separators=(",", ":"))


def loads(text: str | bytes) -> Any:
    """Parse JSON. Raises ValueError."""
    return ujson.loads(text)
