"""`Range` requests (RFC 9110, 14): one range of bytes."""

import re

from service.http.errors import RangeNotSatisfiable

RANGE = re.compile(r"bytes[ \t]*=[ \t]*(\d{0,18})-(\d{0,18})[ \t]*", re.IGNORECASE)


def byte_range(header: str, size: int) -> tuple[int, int] | None:
    """Return the start and the end, which it does not contain, of the range that `header` asks for.

    None: the whole is sent, because there is no range, it is malformed, or there are several, which a server need not
    support (RFC 9110, 14.2). Raises RangeNotSatisfiable if it begins behind the end (RFC 9110, 15.5.17).
    """
    matched = RANGE.fullmatch(header)
    if not matched or matched[1] == matched[2] == "":
        return None
    first, last = matched[1], matched[2]
    if not first:
        length = min(int(last), size)
        if not length:
            raise RangeNotSatisfiable(size)
        return size - length, size
    if last and int(last) < int(first):
        return None
    if int(first) >= size:
        raise RangeNotSatisfiable(size)
    return int(first), min(int(last) + 1, size) if last else size
