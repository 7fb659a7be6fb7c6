"""`@endpoint`: one decorator that signs in, validates what comes in, and describes the route in the OpenAPI document.

The same models do both, so the document cannot say other than the code does.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from pydantic import BaseModel
from sanic import HTTPResponse
from sanic_ext import openapi, validate

from service import errors as domain
from service.encoding import dumps
from service.errors import LoaError
from service.http.authentication import Authentication
from service.http.errors import TABLE, Problem

F = TypeVar("F", bound=Callable[..., Any])


class Input(BaseModel, strict=True, extra="forbid", frozen=True):
    """Base of every request body: types as they are, not as they could be made to be; unknown fields refused."""


class Query(BaseModel, extra="forbid", frozen=True):
    """Base of every query string: numbers are read from their digits; unknown parameters refused."""


def endpoint(
    summary: str,
    *,
    tag: str,
    auth: Authentication | None = None,
    body: type[Input] | None = None,
    query: type[Query] | None = None,
    answers: dict[int, type[BaseModel] | None],
    errors: tuple[type[LoaError], ...] = (),
) -> Callable[[F], F]:
    """The handler becomes `handler(request, [caller,] *, [body,] [query,] **path)` with each part checked before it runs.

    `answers`: the model of each status that is not an error (None: no body). `errors`: what the use case can refuse;
    those of signing in and of validation are added here. A stranger is told 401 before 422.
    """
    refusals = set(errors) | {domain.Unavailable, domain.RateLimited}
    if auth:
        refusals |= {domain.TokenMissing, domain.TokenInvalid, domain.TokenExpired, domain.TokenRevoked}
    if body:
        refusals |= {domain.MalformedJson, domain.ValidationFailed, domain.TooLarge}
    if query:
        refusals |= {domain.ValidationFailed}

    def decorate(handler: F) -> F:
        checked: Any = handler
        if body or query:
            checked = validate(json=body, query=query, strict=True)(checked)
        if auth:
            checked = auth.required(checked)
        return openapi.definition(  # type: ignore[no-any-return]
            operation=handler.__name__,
            summary=summary,
            description=handler.__doc__,
            tag=tag,
            body={"application/json": _schema(body)} if body else None,
            parameter=_parameters(query) if query else None,
            response=_responses(answers, refusals),
            secured={"bearer": []} if auth else None,
        )(checked)

    return decorate


def answer(model: BaseModel | dict[str, Any] | None = None, status: int = 200) -> HTTPResponse:
    """A JSON response of a model; without one, 204."""
    if model is None:
        return HTTPResponse(b"", 204)
    data = model.model_dump() if isinstance(model, BaseModel) else model
    return HTTPResponse(dumps(data), status, content_type="application/json")
