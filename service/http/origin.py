"""Which browsers may connect: pages of this server itself, and of the origins that the operator names.

Sockets and streams need this check of their own: no CORS stands before a WebSocket, and an EventStream's answer is
only hidden from a foreign page, not withheld.
"""

from collections.abc import Collection
from urllib.parse import SplitResult, urlsplit

from sanic import Request

from service.common.errors import OriginNotAllowed

DEFAULT_PORTS = {"http": 80, "https": 443}


class OriginCheck:
    """Refuses what a foreign page's browser sends. A client that sends no Origin is no browser, and passes."""

    def __init__(self, allowed_origins: Collection[str]) -> None:
        """`allowed_origins`: as the browser writes them, `https://example.org`, in lower case."""
        self._allowed = frozenset(allowed_origins)

    def check(self, request: Request) -> None:
        """Raises OriginNotAllowed."""
        origins = request.headers.getall("origin", [])
        if not origins:
            return
        origin = origins[0].strip().lower()
        if len(origins) > 1 or not (origin in self._allowed or _is_own(origin, request)):
            raise OriginNotAllowed


def _is_own(origin: str, request: Request) -> bool:
    """Whether `origin` is where this request went: the same host and port, and no weaker a scheme.

    `request.host` and `request.scheme` follow X-Forwarded-… only as far as trusted proxies wrote it (`proxy_headers`).
    Behind one that ends TLS without a word we see http where the page has https, which is fine; the other way round
    the page came over the open network, where anyone may have written it.
    """
    page = urlsplit(origin)
    if page.scheme not in DEFAULT_PORTS or not page.hostname or page.path or page.query or page.fragment:
        return False
    if page.scheme == "http" and request.scheme in ("https", "wss"):
        return False
    asked = urlsplit(f"//{request.host.lower()}")
    own = {_place(asked, page.scheme)}
    if asked.hostname and ":" not in request.host.rpartition("]")[2] and (port := request.forwarded.get("port")):
        # A proxy may pass the host on without its port and name the port beside it.
        own.add((asked.hostname, int(port)))
    return _place(page, page.scheme) in own - {None}


def _place(url: SplitResult, scheme: str) -> tuple[str | None, int] | None:
    """Host and port; None where the port is no number."""
    try:
        return url.hostname, url.port or DEFAULT_PORTS[scheme]
    except ValueError:
        return None
