"""Each request is one log line and one count in the metrics, and has an id that client and log share."""

import random
import re
import time
from typing import Any

import structlog
from redis.exceptions import RedisError
from sanic import Request, Sanic
from sanic.response import BaseHTTPResponse

from service.datastores.mongo import MONGO_ERRORS
from service.telemetry.metrics import OTHER, Metrics
from service.telemetry.tracing import CURRENT_SPAN, Tracing

log = structlog.get_logger()

HEADER = "X-Request-ID"
REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,64}")
"""Ids that are accepted from a client or router: no character needs escaping in a log or header."""
MAX_PATH = 200
TOKEN_LENGTH = 32
"""Longer parts of a path are no ids and may be tokens: those of invitations have 43 characters."""
PROBES = frozenset({"/healthz", "/readyz", "/metrics"})
"""Requested by machines every few seconds; logged at DEBUG."""

OUTERMOST = 100
"""Middleware priority: with it request middleware runs before all other, with -OUTERMOST response middleware after."""


def install(app: Sanic[Any, Any], metrics: Metrics, tracing: Tracing | None = None) -> None:
    def start_trace(request: Request) -> None:
        assert tracing
        # The task serves all requests of a connection: a span of the previous request must not be the parent.
        attributes = {"http.request.method": request.method}
        request.ctx.span = span = tracing.start_trace(f"HTTP {request.method}", attributes)
        CURRENT_SPAN.set(span)

    def log_request(request: Request, response: BaseHTTPResponse) -> None:
        route = request.uri_template
        seconds = time.perf_counter() - getattr(request.ctx, "started_at", time.perf_counter())
        metrics.request_finished(request.method, route, response.status, seconds)
        # The route instead of the URL: a query may contain a token.
        fields: dict[str, Any] = {
            "method": request.method,
            "path": route or _loggable(request.path),
            "status": response.status,
            "ms": round(seconds * 1000, 1),
            "bytes": len(getattr(response, "body", None) or b""),
        }
        if user_id := getattr(request.ctx, "user_id", None):
            fields["user_id"] = user_id
        if api_key := getattr(request.ctx, "api_key", None):
            # Its name.
            fields["api_key"] = api_key
        if code := getattr(request.ctx, "code", None):
            fields["code"] = code
            if store := unavailable_datastore(request.ctx.cause):
                metrics.datastore_failed(store, request.ctx.cause)
                fields["unavailable"] = store
        if span := getattr(request.ctx, "span", None):
            span.set_attributes(
                {
                    "http.route": fields["path"] if route else OTHER,
                    "http.response.status_code": response.status,
                    "loa.request_id": request.ctx.request_id,
                    "loa.user_id": fields.get("user_id", ""),
                }
            )
            span.end(fields.get("code"))
            CURRENT_SPAN.set(None)
        (log.debug if request.path in PROBES else log.info)("request", **fields)

    app.register_middleware(start, "request", priority=OUTERMOST)
    if tracing:
        app.register_middleware(start_trace, "request", priority=OUTERMOST)
    app.register_middleware(add_request_id, "response", priority=OUTERMOST)
    app.register_middleware(log_request, "response", priority=-OUTERMOST)


def start(request: Request) -> None:
    """Choose the request's id and add it to every log line that is written for the request."""
    client_id = str(request.headers.getone(HEADER, ""))
    request.ctx.request_id = client_id if REQUEST_ID.fullmatch(client_id) else _new_id()
    request.ctx.started_at = time.perf_counter()
    # The task serves all requests of a connection: the previous request left its id here.
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=request.ctx.request_id)


def _new_id() -> str:
    """Return 32 hex digits. Nobody gains by guessing them, and a system call for each request, as `uuid4` makes, hands
    the interpreter to other threads."""
    return f"{random.getrandbits(128):032x}"


def add_request_id(request: Request, response: BaseHTTPResponse) -> None:
    response.headers[HEADER] = getattr(request.ctx, "request_id", "")


def unavailable_datastore(error: BaseException | None) -> str | None:
    """Return which datastore is unavailable according to `error`: "mongodb", "redis" or None."""
    if isinstance(error, MONGO_ERRORS):
        return "mongodb"
    return "redis" if isinstance(error, RedisError) else None


def _loggable(path: str) -> str:
    """Return a path that has no route, without what may be a token: a link may be requested in a wrong way, too."""
    parts = ("[hidden]" if len(part) > TOKEN_LENGTH else part for part in path.split("/"))
    return "/".join(parts)[:MAX_PATH]
