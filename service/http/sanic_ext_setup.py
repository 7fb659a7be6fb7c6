"""CORS from sanic-ext, and HEAD and OPTIONS for every route."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from sanic import HTTPResponse, Request, Sanic
from sanic.response import BaseHTTPResponse
from sanic_ext import Config
from sanic_ext.extensions.http.cors import cors
from sanic_ext.extensions.http.extension import HTTPExtension

from service.http.openapi import is_connection

PREFLIGHT_MAX_AGE = 600
"""Seconds for which a browser may cache a preflight response; the browsers' own limits begin at ten minutes."""


def install(app: Sanic[Any, Any], allowed_origins: Sequence[str]) -> None:
    """Add CORS for `allowed_origins` to `app`.

    Credentials are not allowed in CORS: a token is in a header or in the URL, never in a cookie that a browser adds.
    """
    config = Config(
        # See `add_head_and_options`.
        http_auto_head=False,
        cors=bool(allowed_origins),
        cors_origins=list(allowed_origins),
        cors_allow_headers="authorization,content-type,last-event-id,x-request-id",
        cors_expose_headers="retry-after,x-request-id",
        cors_max_age=PREFLIGHT_MAX_AGE,
        # A request without Origin is not a cross-origin request of a browser.
        cors_always_send=False,
    )
    if allowed_origins:
        # Middleware for responses runs in the reverse order: this one after that of sanic-ext.
        app.register_middleware(_vary, "response")
    app.extend(config=config, built_in_extensions=False, extensions=[HTTPExtension])


def _vary(_: Request, response: BaseHTTPResponse) -> None:
    """Let caches tell apart the responses to different origins, and none (RFC 9110, 12.5.5).

    sanic-ext names the origin only in responses to allowed ones, where it replaces what the handler has set. Of what
    caches may keep, only assets depend on something else: they are compressed.
    """
    response.headers["Vary"] = "Accept-Encoding, Origin" if "etag" in response.headers else "Origin"


def without_cors(handler: Any) -> Any:
    """Decorate a handler whose responses no page of another origin may read."""
    # None are allowed. An empty text would mean those of the app.
    return cors(origin=[])(handler)  # type: ignore[arg-type]


def add_head_and_options(app: Sanic[Any, Any]) -> None:
    """Answer HEAD wherever there is a GET, and OPTIONS everywhere. Call it after the last route.

    A socket or stream has no HEAD: there are no headers without opening the connection.

    sanic-ext would add both when the server starts, HEAD for sockets and streams too, and Sanic would then finalize its
    signals again for each route, which takes a sixth of the start of a worker.
    """
    for group in list(app.router.groups.values()):
        add = partial(
            app.add_route, uri=group.uri, strict_slashes=group.strict, unquote=group.unquote, error_format="json"
        )
        methods = sorted(group.methods)
        for route in group:
            if "GET" in route.methods and "HEAD" not in methods and not is_connection(route.handler):
                add(partial(route.handler), methods=["HEAD"], name=f"{route.name}_head")
                methods.append("HEAD")
        add(partial(_options, [*methods, "OPTIONS"]), methods=["OPTIONS"], name=f"{group[0].name}_options")


async def _options(methods: Sequence[str], request: Request, **_: Any) -> HTTPResponse:
    return HTTPResponse(b"", 204, {"Allow": ",".join(methods)})
