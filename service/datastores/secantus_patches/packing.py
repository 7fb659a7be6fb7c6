"""WiredTiger's keys and values, as bytes."""

from functools import lru_cache
from typing import Any

import wiredtiger

_pack, _unpack = wiredtiger.pack, wiredtiger.unpack


@lru_cache
def split_format(packing: str) -> tuple[int, str]:
    """Return with how many strings the format begins, and the rest: "", "q" (a number), "u" (bytes) or another."""
    rest = packing.lstrip("S")
    return len(packing) - len(rest), rest


def pack(packing: str, *values: Any) -> bytes:
    """Pack a key or a value, as WiredTiger's `pack` does, which interprets the format with each call."""
    count, rest = split_format(packing)
    if rest == "u" and isinstance(values[count], bytes):
        tail: bytes = values[count]
    elif rest == "q":
        tail = _pack("q", values[count])
    elif rest:
        return bytes(_pack(packing, *values))
    else:
        tail = b""
    head = "".join([value + "\0" for value in values[:count]])
    if head.count("\0") != count:
        return bytes(_pack(packing, *values))
    return head.encode() + tail


def unpack(packing: str, packed: bytes) -> list[Any]:
    """Unpack what `pack` has packed."""
    count, rest = split_format(packing)
    if rest not in ("u", "q", "") or not packed:
        return list(_unpack(packing, packed))
    *strings, tail = packed.split(b"\0", count)
    values: list[Any] = [string.decode() for string in strings]
    if rest:
        values.append(tail if rest == "u" else _unpack("q", tail)[0])
    return values
