"""Usernames for people whose names another site has chosen."""

import re
import secrets
from collections.abc import Iterator

from service.accounts.models import DELETED_PREFIX, MAX_USERNAME, MIN_USERNAME
from service.common.text import fold

FALLBACK = "user"
MAX_DIGITS = 8
"""With so many random digits, a free name is found at the first attempt even among millions of the same name."""

NOT_ALLOWED = re.compile(r"[^a-z0-9_.]+")


def base(*wishes: str | None) -> str:
    """Return the username nearest to the first of `wishes` of which enough remains; `user` if there is none.

    Accents are dropped, and characters that no username has become underscores. Of an address, what stands before the
    @ is used: usernames are public.
    """
    for wish in wishes:
        name = fold((wish or "").partition("@")[0][: 4 * MAX_USERNAME])
        name = NOT_ALLOWED.sub("_", name).strip("_")[:MAX_USERNAME]
        if len(name) >= MIN_USERNAME and not name.startswith(DELETED_PREFIX):
            return name
    return FALLBACK


def candidates(base: str) -> Iterator[str]:
    """Yield `base`, then `base` with numbers that grow longer, until the caller has found one that is free."""
    yield base
    yield _with_suffix(base, "2")
    for digits in range(1, MAX_DIGITS + 1):
        yield _with_suffix(base, str(10 ** (digits - 1) + secrets.randbelow(9 * 10 ** (digits - 1))))


def is_candidate(username: str, base: str) -> bool:
    """Return whether `username` is one of the `candidates` of `base`."""
    suffixes = (username[-length:] for length in range(1, MAX_DIGITS + 1))
    return username == base or any(each.isdigit() and username == _with_suffix(base, each) for each in suffixes)


def _with_suffix(base: str, suffix: str) -> str:
    return base[: MAX_USERNAME - len(suffix)] + suffix
