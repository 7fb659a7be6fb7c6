"""Headers that every answer carries, so that a browser makes no more of it than it is."""

import time
from email.utils import formatdate
from functools import lru_cache
from typing import Any

from sanic import Request, Sanic
from sanic.response import BaseHTTPResponse

POLICIES = {
    "text/html": "frame-ancestors 'none'; base-uri 'none'; object-src 'none'",
    "": "default-src 'none'; frame-ancestors 'none'",
}
"""The Content-Security-Policy of what says none itself: a page may load its parts, nothing else may load anything."""


HSTS = f"max-age={365 * 24 * 3600}"
"""RFC 6797. A year, and of this host alone: its neighbours are not ours to speak for."""


def add(request: Request, response: BaseHTTPResponse) -> None:
    """What a handler has set itself stays as it is."""
    headers = response.headers
    headers.setdefault("Date", _date(int(time.time())))
    headers.setdefault("X-Content-Type-Options", "nosniff")
    # The URL of a socket or stream may hold a token.
    headers.setdefault("Referrer-Policy", "no-referrer")
    if request.scheme in ("https", "wss"):
        # So says the proxy in front, where there is one of ours; over http a browser would not heed it (RFC 6797, 8.1).
        headers.setdefault("Strict-Transport-Security", HSTS)
    kind = (response.content_type or "").partition(";")[0]
    headers.setdefault("Content-Security-Policy", POLICIES.get(kind, POLICIES[""]))
    if request.path.startswith("/api/"):
        # What the API answers is for its caller alone, tokens above all.
        headers.setdefault("Cache-Control", "no-store")


@lru_cache(1)
def _date(second: int) -> str:
    """RFC 9110, 6.6.1: an origin server with a clock sends the time of the answer."""
    return formatdate(second, usegmt=True)


def install(app: Sanic[Any, Any]) -> None:
    app.register_middleware(add, "response")
