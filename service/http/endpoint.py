"""`@endpoint` and `@connection`: authenticate, validate the input, check the rate limit, and describe the route.

The models that validate a request are those of the OpenAPI document, so the two cannot differ.
"""

from collections.abc import Callable, Iterable, Mapping
from types import EllipsisType
from typing import Any, Literal, TypeVar

from pydantic import BaseModel
from sanic import HTTPResponse
from sanic_ext import validate

from service.common import errors as domain
from service.common.encoding import dumps
from service.common.errors import LoaError
from service.common.models import ConnectionQuery, Input, Query
from service.common.page_size import EncodedItems
from service.http.authentication import TOKEN_ERRORS, Authenticator
from service.http.body import reads_json
from service.http.errors import UnsupportedMediaType
from service.http.limits import RateLimit, limited
from service.http.openapi import Operation
from service.http.query import reads_query
from service.http.sanic_ext_setup import without_cors
from service.http.shielded_tasks import shielded

F = TypeVar("F", bound=Callable[..., Any])


def endpoint(
    summary: str,
    *,
    tag: str,
    auth: Authenticator | None = None,
    limit: RateLimit | EllipsisType | None = ...,
    body: type[Input] | None = None,
    body_required: bool = True,
    query: type[Query] | None = None,
    file: Literal["received", "sent"] | None = None,
    content_type: str = "*/*",
    responses: Mapping[int, type[BaseModel] | None],
    errors: Iterable[type[LoaError]] = (),
) -> Callable[[F], F]:
    """Decorate `handler(request, [caller,] *, [body,] [query,] **path)`. The checks run in this order: `auth` (401
    before anything else), `body`, `query`, `limit`. A request that changes state runs to its end even if the client
    disconnects.

    `limit`: per caller if `auth` is given, else per address. An endpoint that changes state has to declare a limit, or
    None. The limit of reads is part of `auth`; a read that declares a limit is subject to both.
    `body_required`: whether the request must have a body; else its absence means the defaults of `body`.
    `file`: `received`: the body is a file, which the handler reads itself; it is not run to its end, because its client
    may have left before that. `sent`: the response is one, which the handler sends itself.
    `content_type`: of the file.
    `responses`: the model of each successful status, None if it has no body; of a file that is sent, that of its lines.
    `errors`: what the handler raises; those of the checks are added here.
    """
    # Headers and URLs can be too large, too, so every route has TooLarge.
    raised = {*errors, domain.Unavailable, domain.TooLarge}
    if auth:
        raised |= auth.errors
    if (limit is ... and auth) or isinstance(limit, RateLimit):
        raised.add(domain.RateLimited)
    if body:
        raised |= {domain.MalformedJson, domain.ValidationFailed, UnsupportedMediaType}
    if query:
        raised.add(domain.ValidationFailed)
    security = (auth.scheme,) if auth else ()
    for_browsers = auth is None or auth.for_browsers
    operation = Operation(
        summary,
        tag,
        responses,
        frozenset(raised),
        security,
        body,
        query,
        body_required=body_required,
        for_browsers=for_browsers,
        file=file,
        content_type=content_type,
    )

    def decorate(handler: F) -> F:
        checked: Any = limited(handler, limit) if isinstance(limit, RateLimit) else handler
        if file != "received":
            checked = shielded(checked)
        if query:
            checked = reads_query(checked, query)
        if body:
            checked = reads_json(validate(json=body, strict=True)(checked), required=body_required)
        if auth:
            checked = auth.required(checked)
        checked.operation = operation
        checked.limit = limit
        return checked if for_browsers else without_cors(checked)  # type: ignore[no-any-return]

    return decorate


def connection(
    summary: str,
    *,
    tag: str,
    kind: Literal["websocket", "event-stream"],
    query: type[ConnectionQuery] | None = None,
    errors: Iterable[type[LoaError]] = (),
) -> Callable[[F], F]:
    """Decorate `handler(request, *, [query])`, whose response is a socket or event stream.

    The handler authenticates itself (`Authentication.authenticate_connection`), because a socket reports an
    authentication error in its close frame.
    """
    raised = {*errors, domain.Unavailable, domain.RateLimited, domain.TooLarge}
    if query:
        raised.add(domain.ValidationFailed)
    if kind == "event-stream":
        raised |= TOKEN_ERRORS
    operation = Operation(
        summary, tag, {}, frozenset(raised), security=("bearer", "ticket", "token"), query=query, kind=kind
    )

    def decorate(handler: F) -> F:
        checked: Any = reads_query(handler, query) if query else handler
        checked.operation = operation
        return checked  # type: ignore[no-any-return]

    return decorate


def json_response(model: BaseModel | dict[str, Any] | None = None, status: int = 200) -> HTTPResponse:
    """Return a JSON response, or 204 without a model."""
    if model is None:
        return HTTPResponse(b"", 204)
    data = model.model_dump() if isinstance(model, BaseModel) else model
    if isinstance(items := data.get("items"), EncodedItems):
        data = {**data, "items": items.json}
    return HTTPResponse(dumps(data), status, content_type="application/json")
