"""Compresses JSON responses."""

from typing import Any

from sanic import Request, Sanic
from sanic.response import BaseHTTPResponse

from service.common import deflate
from service.http.content_coding import GZIP, accepted
from service.http.openapi import Operation


def compress(request: Request, response: BaseHTTPResponse) -> None:
    """Compress the body of a JSON response if it is long, the client accepts that, and the body has no token.

    Only with gzip: no other coding can keep signatures apart (see `deflate`).
    """
    body: bytes | None = getattr(response, "body", None)
    if request.method == "HEAD" or response.content_type != "application/json":
        return
    if not body or len(body) < deflate.MIN_BYTES:
        return
    if "etag" in response.headers or _has_secret(request):
        return
    vary = response.headers.get("vary")
    response.headers["Vary"] = f"Accept-Encoding, {vary}" if vary else "Accept-Encoding"
    if GZIP in accepted(request.headers.get("accept-encoding", "")) and (compressed := deflate.gzip(body)):
        response.body = compressed
        response.headers["Content-Encoding"] = GZIP


def _has_secret(request: Request) -> bool:
    operation: Operation | None = getattr(request.route and request.route.handler, "operation", None)
    return operation is not None and operation.has_secret


def install(app: Sanic[Any, Any]) -> None:
    app.register_middleware(compress, "response")
