"""What Loa takes from sanic-ext: validation (see endpoint.py), the OpenAPI document, CORS, HEAD and OPTIONS."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from sanic import HTTPResponse, Request, Sanic
from sanic_ext import Config
from sanic_ext.extensions.http.extension import HTTPExtension
from sanic_ext.extensions.openapi.builders import SpecificationBuilder
from sanic_ext.extensions.openapi.extension import OpenAPIExtension

from service.http.docs import page

VERSION = "1.0.0"
DESCRIPTION = """Realtime chat and notifications.

Sign in with `POST /api/v1/auth/login` and send the access token as `Authorization: Bearer …`. Every error is an
RFC 9457 problem document with a stable `code`. What the sockets and the event stream carry is in `/asyncapi.json`."""

PREFLIGHT_MAX_AGE = 600
"""Seconds for which a browser need not ask again; the browsers' own upper bounds begin at ten minutes."""


def install(app: Sanic[Any, Any], allowed_origins: Sequence[str]) -> None:
    """Extend `app`: the OpenAPI document at /docs/openapi.json, a page of it at /docs, CORS for `allowed_origins`.

    No credentials in CORS: a token is in a header or in the URL, never in a cookie that a browser adds by itself.
    """
    config = Config(
        cors=bool(allowed_origins),
        cors_origins=list(allowed_origins),
        cors_allow_headers="authorization,content-type,last-event-id,x-request-id",
        cors_expose_headers="retry-after,x-request-id",
        cors_max_age=PREFLIGHT_MAX_AGE,
        # A request without an Origin is no browser's cross-origin one.
        cors_always_send=False,
        oas_autodoc=False,
        # Their pages run scripts of other hosts, beside a client that holds tokens; `page` needs none.
        oas_ui_redoc=False,
        oas_ui_swagger=False,
    )
    app.extend(
        config=config,
        built_in_extensions=False,
        extensions=[OpenAPIExtension, HTTPExtension],
    )
    specification = SpecificationBuilder()
    specification.describe("Loa", VERSION, DESCRIPTION)
    specification.add_security_scheme("bearer", "http", scheme="bearer", bearer_format="JWT")
    for name in ("ticket", "token"):
        specification.add_security_scheme(name, "apiKey", location="query", name=name)
    app.add_route(page, "/docs", name="openapi.index")


def add_head_and_options(app: Sanic[Any, Any]) -> None:
    """Answer HEAD wherever there is a GET, and OPTIONS everywhere. After the last route.

    sanic-ext does so for what lacks them when the server starts, and Sanic then makes its signals ready anew for each
    of them: a sixth of all that starting a worker takes.
    """
    for group in list(app.router.groups.values()):
        add = partial(app.add_route, uri=group.uri, strict_slashes=group.strict, unquote=group.unquote)
        methods = sorted(group.methods)
        for route in group:
            if "GET" in route.methods and "HEAD" not in methods:
                add(partial(route.handler), methods=["HEAD"], name=f"{route.name}_head")
                methods.append("HEAD")
        add(partial(_options, [*methods, "OPTIONS"]), methods=["OPTIONS"], name=f"{group[0].name}_options")


async def _options(methods: Sequence[str], request: Request, **_: Any) -> HTTPResponse:
    return HTTPResponse(b"", 204, {"Allow": ",".join(methods)})
