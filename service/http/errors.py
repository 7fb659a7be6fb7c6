"""The one table of errors: what a client is told of each, over HTTP, in a socket's `error` and in its close reason."""

import math
from http import HTTPStatus
from typing import Any, NamedTuple

from pydantic import BaseModel
from pydantic import ValidationError as PydanticValidationError

from service.common import errors

MAX_FIELDS = 20
"""Of a body with more mistakes than this, the rest is left out of the answer."""
MAX_FIELD_NAME = 100
"""The name of an unknown field is the client's own, and it comes back no longer than this."""


class UnsupportedMediaType(errors.LoaError):
    """A body that says it is something other than JSON: only HTTP knows this one."""

    detail = "The body must be JSON, with Content-Type: application/json."


class ErrorSpec(NamedTuple):
    """What stands for an error: the HTTP status, the stable code, and the WebSocket close code (RFC 6455, 7.4)."""

    status: int
    code: str
    close_code: int


ERRORS: dict[type, ErrorSpec] = {
    errors.MalformedJson: ErrorSpec(400, "malformed_json", 1008),
    errors.TokenMissing: ErrorSpec(401, "token_missing", 1008),
    errors.TokenInvalid: ErrorSpec(401, "token_invalid", 1008),
    errors.TokenExpired: ErrorSpec(401, "token_expired", 1008),
    errors.TokenRevoked: ErrorSpec(401, "token_revoked", 1008),
    errors.BadCredentials: ErrorSpec(401, "bad_credentials", 1008),
    errors.OriginNotAllowed: ErrorSpec(403, "origin_not_allowed", 1008),
    errors.Forbidden: ErrorSpec(403, "forbidden", 1008),
    errors.NotFound: ErrorSpec(404, "not_found", 1008),
    errors.UsernameTaken: ErrorSpec(409, "username_taken", 1008),
    errors.NonceReused: ErrorSpec(409, "nonce_reused", 1008),
    errors.TooLarge: ErrorSpec(413, "too_large", 1009),
    UnsupportedMediaType: ErrorSpec(415, "unsupported_media_type", 1003),
    errors.ValidationFailed: ErrorSpec(422, "validation_failed", 1008),
    errors.RateLimited: ErrorSpec(429, "rate_limited", 1008),
    errors.Unavailable: ErrorSpec(503, "unavailable", 1013),
}

UNKNOWN = ErrorSpec(500, "internal_error", 1011)


class FieldProblem(BaseModel):
    """One thing wrong with one field; `field` is its path, `a.b.0`."""

    field: str
    message: str


class Problem(BaseModel):
    """An RFC 9457 problem document. `code` is stable and for programs, `detail` is for a person."""

    title: str
    status: int
    code: str
    detail: str
    errors: list[FieldProblem] | None = None


def spec_for(error: BaseException) -> ErrorSpec:
    """The row of the table that `error`, or the nearest of its bases, has; what has none is our own fault."""
    for kind in type(error).__mro__:
        if kind in ERRORS:
            return ERRORS[kind]
    return UNKNOWN


def of_pydantic(error: PydanticValidationError, prefix: str = "", *, tag: str = "") -> errors.ValidationFailed:
    """A model's refusal in our words. What was sent is left out of it: it may be a password.

    `tag`: the field by which the models of a union are told apart; pydantic begins each path with what it holds.
    """
    tags = 1 if tag else 0
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    return errors.ValidationFailed(
        [
            errors.FieldError(
                _name(prefix + ".".join(str(part) for part in problem["loc"][tags:]) or tag or "body"),
                problem["msg"].removeprefix("Value error, "),
            )
            for problem in problems[:MAX_FIELDS]
        ]
    )


def problem(status: int, code: str, detail: str, **more: Any) -> dict[str, Any]:
    """An RFC 9457 problem document."""
    return {"title": phrase(status), "status": status, "code": code, "detail": detail, **more}


def problem_of(error: BaseException) -> tuple[dict[str, Any], dict[str, str]]:
    """The problem document of a domain error, and the headers that go with it."""
    answer = spec_for(error)
    detail = error.detail if isinstance(error, errors.LoaError) else "Something went wrong on our side."
    body = problem(answer.status, answer.code, detail)
    headers: dict[str, str] = {}
    if isinstance(error, errors.ValidationFailed):
        body["errors"] = [field._asdict() for field in error.fields]
    if isinstance(error, errors.LoaError) and error.retry_after is not None:
        # Retry-After is in whole seconds (RFC 9110, 10.2.3); rounding down would invite too early.
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
    if answer.status == 401:
        # RFC 6750, 3.1: a token that was shown and refused is named as the reason, a missing one is not.
        shown = isinstance(error, errors.TokenError) and not isinstance(error, errors.TokenMissing)
        headers["WWW-Authenticate"] = 'Bearer error="invalid_token"' if shown else "Bearer"
    return body, headers


def phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


def _name(field: str) -> str:
    return field[:MAX_FIELD_NAME].encode("utf-8", "replace").decode()
