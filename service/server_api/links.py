"""Links that a site's servers send and its users' browsers open."""

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, HttpUrl, StringConstraints, TypeAdapter

MAX_LINK = 2048
FORBIDDEN = re.compile(r"[\s\"<>\\^`{|}\x00-\x20\x7f-\x9f]")
"""Browsers drop some of them, or take them for others: `java script:` with a tab in it, or `\\` for `/`."""
SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")

_URL = TypeAdapter(HttpUrl)


def check_link(value: str) -> str:
    """Return `value` unchanged if it is a relative reference or an http(s) URL (RFC 3986, 4.1). Raises ValueError.

    A network-path reference (`//host/path`) is neither here: it looks relative and leads to another host.
    """
    if FORBIDDEN.search(value) or not value.isprintable():
        raise ValueError("Contains characters that are not allowed in a URL")
    try:
        parts = urlsplit(value)
        if SCHEME.match(value):
            _URL.validate_python(value)
    except ValueError:
        raise ValueError("Neither a relative nor an http(s) URL") from None
    if bool(SCHEME.match(value)) is not bool(parts.hostname) or value.startswith("//"):
        raise ValueError("Neither a relative nor an http(s) URL")
    if "@" in parts.netloc:
        raise ValueError("Contains credentials")
    return value


Link = Annotated[str, StringConstraints(min_length=1, max_length=MAX_LINK), AfterValidator(check_link)]
