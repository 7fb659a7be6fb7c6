"""`@endpoint`: one decorator that signs in, validates what comes in, and describes the route in the OpenAPI document.

The same models do both, so the document cannot say other than the code does.
"""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache, wraps
from types import EllipsisType
from typing import Any, Literal, TypeVar

from pydantic import BaseModel
from sanic import HTTPResponse, Request
from sanic.exceptions import MethodNotAllowed
from sanic_ext import openapi, validate
from sanic_ext.extensions.openapi.builders import OperationStore
from sanic_ext.extensions.openapi.definitions import Response
from sanic_ext.extensions.openapi.types import Schema

from service.common import errors as domain
from service.common import ids
from service.common.encoding import dumps
from service.common.errors import LoaError
from service.common.models import ConnectionQuery, Input, Query
from service.http.authentication import Authentication
from service.http.body import reads_json
from service.http.errors import ERRORS, Problem, UnsupportedMediaType
from service.http.limits import RateLimit, limited
from service.http.query import reads_query
from service.http.schemas import REF, component, properties
from service.http.shielded_tasks import shielded

F = TypeVar("F", bound=Callable[..., Any])

SIGNING_IN: frozenset[type[LoaError]] = frozenset(
    {domain.TokenMissing, domain.TokenInvalid, domain.TokenExpired, domain.TokenRevoked}
)


def endpoint(
    summary: str,
    *,
    tag: str,
    auth: Authentication | None = None,
    limit: RateLimit | EllipsisType | None = ...,
    body: type[Input] | None = None,
    query: type[Query] | None = None,
    answers: Mapping[int, type[BaseModel] | None],
    errors: Iterable[type[LoaError]] = (),
) -> Callable[[F], F]:
    """The handler becomes `handler(request, [caller,] *, [body,] [query,] **path)`, each part checked before it runs.

    `answers`: the model of each status that is not an error (None: no body). `errors`: what the use case can refuse;
    those of signing in and of validation are added here. A stranger is told 401 before anything else. What changes
    something runs to its end, whatever becomes of its client.

    `limit`: the rate limit, checked after validation and immediately before the handler runs: per user if `auth` is
    given, else per address. An endpoint that changes state has to state its limit, or that it has None. The limit of
    reads is part of `auth`; a read that states a limit is subject to both.
    """
    # Not only a body can be too large: a URL can, and headers.
    refusals = {*errors, domain.Unavailable, domain.TooLarge}
    if auth:
        refusals |= SIGNING_IN
    if (limit is ... and auth) or isinstance(limit, RateLimit):
        refusals.add(domain.RateLimited)
    if body:
        refusals |= {domain.MalformedJson, domain.ValidationFailed, UnsupportedMediaType}
    if query:
        refusals |= {domain.ValidationFailed}

    def decorate(handler: F) -> F:
        checked: Any = shielded(limited(handler, limit) if isinstance(limit, RateLimit) else handler)
        if query:
            checked = reads_query(checked, query)
        if body:
            checked = reads_json(validate(json=body, strict=True)(checked))
        if auth:
            checked = auth.required(checked)
        content = {"application/json": {"schema": component(body, "validation")}} if body else None
        described: Any = openapi.definition(
            **_described(handler, summary, tag, query),
            body=openapi.definitions.RequestBody(content, required=True) if content else None,
            response=_answers(answers),
            secured={"bearer": []} if auth else None,
        )(checked)
        OperationStore()[described].responses.update(_refusals(refusals))  # type: ignore[no-untyped-call]
        described.limit = limit
        return described  # type: ignore[no-any-return]

    return decorate


def connection(
    summary: str,
    *,
    tag: str,
    kind: Literal["websocket", "event-stream"],
    query: type[ConnectionQuery] | None = None,
    errors: Iterable[type[LoaError]] = (),
) -> Callable[[F], F]:
    """For a route that ends in a live connection: the handler becomes `handler(request, *, [query])`.

    Signing in is the handler's own (`Authentication.of_connection`), since a socket is told of it in its close reason.
    HEAD is refused: there is no head of it without the connection.
    """
    refusals = {*errors, domain.Unavailable, domain.RateLimited, domain.TooLarge}
    no_handshake: dict[int, Response] = {}
    if query:
        refusals |= {domain.ValidationFailed}
    if kind == "websocket":
        success = {"status": 101, "description": "Switching Protocols", "content": {}}
        no_handshake = {400: _refusal(400, ("bad_request",)), 426: _refusal(426, ("upgrade_required",))}
    else:
        text = {"text/event-stream": {"schema": {"type": "string"}}}
        success = {"status": 200, "description": "OK", "content": text}
        refusals |= SIGNING_IN

    def decorate(handler: F) -> F:
        checked: Any = reads_query(handler, query) if query else handler

        @wraps(checked)
        async def connect(request: Request, *args: Any, **kwargs: Any) -> Any:
            if request.method != "GET":
                raise MethodNotAllowed(method=request.method, allowed_methods=["GET"])
            return await checked(request, *args, **kwargs)

        described: Any = openapi.definition(**_described(handler, summary, tag, query), response=[success])(connect)
        OperationStore()[described].responses.update({**_refusals(refusals), **no_handshake})  # type: ignore[no-untyped-call]
        for scheme in ("bearer", "ticket", "token"):
            described = openapi.secured(scheme)(described)
        return described  # type: ignore[no-any-return]

    return decorate


def json_response(model: BaseModel | dict[str, Any] | None = None, status: int = 200) -> HTTPResponse:
    """A JSON response of a model; without one, 204."""
    if model is None:
        return HTTPResponse(b"", 204)
    data = model.model_dump() if isinstance(model, BaseModel) else model
    return HTTPResponse(dumps(data), status, content_type="application/json")


class _Written(Schema):
    """A schema that sanic-ext shall take as it is written."""

    def guard(self, fields: dict[str, Any]) -> dict[str, Any]:
        return fields


def _described(handler: Any, summary: str, tag: str, query: type[BaseModel] | None) -> dict[str, Any]:
    return {
        # Several nouns have a `create`; the document wants each name once.
        "operation": f"{tag}_{handler.__name__}".lower().replace(" ", "_"),
        "summary": summary,
        "description": inspect.cleandoc(handler.__doc__) if handler.__doc__ else None,
        "tag": tag,
        "parameter": [*_in_path(handler), *_in_query(query)],
    }


def _in_path(handler: Any) -> Iterator[dict[str, Any]]:
    """What the handler is called with beside the request and what is checked here: the pieces of the path."""
    for name in inspect.signature(handler).parameters:
        if name not in ("request", "caller", "body", "query"):
            schema = {"pattern": ids.PATTERN} if name.endswith("_id") else {"minLength": 1, "maxLength": 64}
            yield _parameter(name, "path", {"type": "string", **schema}, required=True)


def _in_query(query: type[BaseModel] | None) -> Iterator[dict[str, Any]]:
    if query:
        for name, (schema, required) in properties(query).items():
            yield _parameter(name, "query", schema, required=required)


def _parameter(name: str, location: str, schema: dict[str, Any], *, required: bool) -> dict[str, Any]:
    written = _Written(**schema)  # type: ignore[no-untyped-call]
    return {"name": name, "location": location, "schema": written, "required": required}


def _answers(answers: Mapping[int, type[BaseModel] | None]) -> list[dict[str, Any]]:
    return [
        {
            "status": status,
            "description": (inspect.getdoc(model) or model.__name__) if model else "Done; there is no body.",
            "content": {"application/json": {"schema": component(model, "serialization")}} if model else {},
        }
        for status, model in answers.items()
    ]


def _refusals(refusals: set[type[LoaError]]) -> dict[int, Response]:
    """One answer for each status, which lists the codes that it can have."""
    component(Problem, "serialization")
    codes: dict[int, list[str]] = {}
    for row in sorted({ERRORS[refusal] for refusal in refusals}):
        codes.setdefault(row.status, []).append(row.code)
    return {status: _refusal(status, tuple(names)) for status, names in codes.items()}


@cache
def _refusal(status: int, codes: tuple[str, ...]) -> Response:
    """Few differ, and sanic-ext takes half a millisecond for each: together a tenth of what a worker does to start."""
    shared = {"$ref": REF.format(model=Problem.__name__)}
    schema = {"allOf": [shared, {"type": "object", "properties": {"code": {"enum": [*codes]}}}]}
    content = {"application/problem+json": {"schema": schema}}
    return Response.make(content, ", ".join(f"`{code}`" for code in codes))  # type: ignore[no-any-return]
