"""Checks the Origin of sockets, streams and requests that change state: only pages of this server and of the configured
origins may send them.

CORS does not protect them: it does not apply to WebSockets, and otherwise it only hides the response from the page,
while the connection is opened and the request executed all the same.
"""

from collections.abc import Collection
from typing import Any
from urllib.parse import SplitResult, urlsplit

from sanic import Request, Sanic

from service.common.errors import OriginNotAllowed
from service.http.openapi import is_for_browsers
from service.http.safe_methods import SAFE_METHODS

DEFAULT_PORTS = {"http": 80, "https": 443}
FOREIGN_SITES = frozenset({"cross-site", "same-site"})
"""Values of Sec-Fetch-Site, with which a browser says that a page of another origin sends the request. `same-site` is
another host of the same domain."""


class OriginCheck:
    """Rejects requests from pages of other origins. A client that sends no Origin is not a browser and is accepted."""

    def __init__(self, allowed_origins: Collection[str]) -> None:
        """`allowed_origins`: as browsers serialise them, such as `https://example.org`, in lower case."""
        self._allowed = frozenset(allowed_origins)

    def install(self, app: Sanic[Any, Any]) -> None:
        """Check every request of `app` that changes state, but for those that servers send with a key of their own,
        which no browser has. Sockets and streams call `check` themselves."""

        async def check(request: Request) -> None:
            if request.method not in SAFE_METHODS and is_for_browsers(request.route and request.route.handler):
                self.check(request)

        app.register_middleware(check, "request")

    def check(self, request: Request) -> None:
        """Check the request's Origin. Raises OriginNotAllowed."""
        origins = request.headers.getall("origin", [])
        if not origins:
            if request.headers.get("sec-fetch-site", "").strip().lower() in FOREIGN_SITES:
                raise OriginNotAllowed
            return
        origin = origins[0].strip().lower()
        if len(origins) > 1 or not (origin in self._allowed or _is_same_origin(origin, request)):
            raise OriginNotAllowed


def _is_same_origin(origin: str, request: Request) -> bool:
    """Return whether `origin` is the server's own: the same host and port, and not http if the request was https.

    `request.host` and `request.scheme` follow X-Forwarded-… only as far as trusted proxies wrote it (`proxy_headers`).
    Behind a proxy that terminates TLS without saying so, the request seems to be http and the page is https, which is
    safe. A page over http is not safe for an https server: anyone on the network may have modified it.
    """
    page = urlsplit(origin)
    if page.scheme not in DEFAULT_PORTS or not page.hostname or page.path or page.query or page.fragment:
        return False
    if page.scheme == "http" and request.scheme in ("https", "wss"):
        return False
    requested = urlsplit(f"//{request.host.lower()}")
    own = {_host_and_port(requested, page.scheme)}
    if requested.hostname and ":" not in request.host.rpartition("]")[2] and (port := request.forwarded.get("port")):
        # A proxy may pass the host on without its port and name the port beside it.
        own.add((requested.hostname, int(port)))
    return _host_and_port(page, page.scheme) in own - {None}


def _host_and_port(url: SplitResult, scheme: str) -> tuple[str | None, int] | None:
    """Return host and port; None if the port is not a number."""
    try:
        return url.hostname, url.port or DEFAULT_PORTS[scheme]
    except ValueError:
        return None
