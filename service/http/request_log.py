"""Each request is one line in the log and one count in the metrics, and has one name that client and log share."""

import re
import time
import uuid
from typing import Any

import structlog
from redis.exceptions import RedisError
from sanic import Request, Sanic
from sanic.response import BaseHTTPResponse

from service.datastores.mongo import MONGO_ERRORS
from service.telemetry.metrics import OTHER, Metrics
from service.telemetry.tracing import CURRENT, Tracing

log = structlog.get_logger()

HEADER = "X-Request-ID"
REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,64}")
"""What a client or router may name a request: nothing that a log or a header would have to escape."""
MAX_PATH = 200
PROBES = frozenset({"/healthz", "/readyz", "/metrics"})
"""Asked every few seconds by machines: worth a line only to who looks for it."""

FIRST = 100
"""Before all other middleware on the way in; on the way out -FIRST is after all other."""


def install(app: Sanic[Any, Any], metrics: Metrics, tracing: Tracing | None = None) -> None:
    def trace(request: Request) -> None:
        assert tracing
        # The task serves one connection: the span of the request before is not this one's.
        request.ctx.span = span = tracing.begin(f"HTTP {request.method}", {"http.request.method": request.method})
        CURRENT.set(span)

    def report(request: Request, response: BaseHTTPResponse) -> None:
        route = request.uri_template
        seconds = time.perf_counter() - getattr(request.ctx, "begun", time.perf_counter())
        metrics.answered(request.method, route, response.status, seconds)
        # The route and not the URL: its query may hold a token.
        fields: dict[str, Any] = {
            "method": request.method,
            "path": route or request.path[:MAX_PATH],
            "status": response.status,
            "ms": round(seconds * 1000, 1),
            "bytes": len(getattr(response, "body", None) or b""),
        }
        if user_id := getattr(request.ctx, "user_id", None):
            fields["user_id"] = user_id
        if code := getattr(request.ctx, "code", None):
            fields["code"] = code
            if store := datastore_of(request.ctx.cause):
                metrics.datastore_failed(store, request.ctx.cause)
                fields["away"] = store
        if span := getattr(request.ctx, "span", None):
            span.note({"http.route": fields["path"] if route else OTHER, "http.response.status_code": response.status})
            span.note({"loa.request_id": request.ctx.request_id, "loa.user_id": fields.get("user_id", "")})
            span.end(fields.get("code"))
            CURRENT.set(None)
        (log.debug if request.path in PROBES else log.info)("request", **fields)

    app.register_middleware(begin, "request", priority=FIRST)
    if tracing:
        app.register_middleware(trace, "request", priority=FIRST)
    app.register_middleware(name, "response", priority=FIRST)
    app.register_middleware(report, "response", priority=-FIRST)


def begin(request: Request) -> None:
    """Name the request, and put the name on every line that is logged on the way."""
    said = str(request.headers.getone(HEADER, ""))
    request.ctx.request_id = said if REQUEST_ID.fullmatch(said) else uuid.uuid4().hex
    request.ctx.begun = time.perf_counter()
    # The task serves one connection, and the request before this one on it left its name here.
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=request.ctx.request_id)


def name(request: Request, response: BaseHTTPResponse) -> None:
    response.headers[HEADER] = getattr(request.ctx, "request_id", "")


def datastore_of(error: BaseException | None) -> str | None:
    """Which datastore it is that `error` found away."""
    if isinstance(error, MONGO_ERRORS):
        return "mongodb"
    return "redis" if isinstance(error, RedisError) else None
