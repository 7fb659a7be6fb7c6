"""Security headers of every response."""

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
"""The default Content-Security-Policy by media type: a page may load its own parts, nothing else may load anything."""


SWITCHING_PROTOCOLS = 101

HSTS = f"max-age={365 * 24 * 3600}"
"""RFC 6797. For a year, and without includeSubDomains: other hosts of the domain may not be ours."""


def add(request: Request, response: BaseHTTPResponse) -> None:
    """Add the headers that the handler has not set itself."""
    if response.status == SWITCHING_PROTOCOLS:
        # The WebSocket writes its own.
        return
    headers = response.headers
    headers.setdefault("Date", _date(int(time.time())))
    headers.setdefault("X-Content-Type-Options", "nosniff")
    # The URL of a socket or stream may contain a token.
    headers.setdefault("Referrer-Policy", "no-referrer")
    if request.scheme in ("https", "wss"):
        # Behind a trusted proxy, the scheme it reported. Browsers ignore the header over http (RFC 6797, 8.1).
        headers.setdefault("Strict-Transport-Security", HSTS)
    kind = (response.content_type or "").partition(";")[0]
    headers.setdefault("Content-Security-Policy", POLICIES.get(kind, POLICIES[""]))
    if request.path.startswith("/api/"):
        # Responses of the API are for their caller only; some contain tokens.
        headers.setdefault("Cache-Control", "no-store")


@lru_cache(1)
def _date(second: int) -> str:
    """RFC 9110, 6.6.1: an origin server with a clock sends the time of the response."""
    return formatdate(second, usegmt=True)


def install(app: Sanic[Any, Any]) -> None:
    app.register_middleware(add, "response")
