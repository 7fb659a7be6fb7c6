"""The table of errors: HTTP status, error code and WebSocket close code, and whether a client reconnects.

The code is the same in an HTTP problem document, in a socket's `error` event and as a close reason. Connections that
are closed without an error, such as those of slow consumers, use `service/common/close_reasons.py`.
"""

from http import HTTPStatus
from typing import Any, NamedTuple

from pydantic import BaseModel
from pydantic import ValidationError as PydanticValidationError

from service.common import errors
from service.common.close_reasons import CloseReason, Reconnect
from service.common.times import Time, iso

MAX_FIELDS = 20
"""Problems that a response lists at most."""
MAX_FIELD_NAME = 100
"""Characters. The name of an unknown field is chosen by the client, so the response truncates it."""


class UnsupportedMediaType(errors.LoaError):
    """The Content-Type of a body is not JSON. Only HTTP has this error."""

    detail = "The body must be JSON, with Content-Type: application/json."


class RangeNotSatisfiable(errors.LoaError):
    """The `Range` begins behind the end of the representation, which has `size` bytes. Only HTTP has this error."""

    detail = "The range begins behind the end of the file."

    def __init__(self, size: int = 0) -> None:
        super().__init__()
        self.size = size


class ErrorSpec(NamedTuple):
    """How clients see an error. `code` is stable; `close_code`: RFC 6455, 7.4; `reconnect`: what a client should do if
    the error closes its connection."""

    status: int
    code: str
    close_code: int
    reconnect: Reconnect = Reconnect.NEVER

    @property
    def close_reason(self) -> CloseReason:
        return CloseReason(self.close_code, self.code)


ERRORS: dict[type, ErrorSpec] = {
    errors.MalformedJson: ErrorSpec(400, "malformed_json", 1008),
    errors.TokenMissing: ErrorSpec(401, "token_missing", 1008, Reconnect.SIGN_IN),
    errors.TokenInvalid: ErrorSpec(401, "token_invalid", 1008, Reconnect.REFRESH),
    errors.TokenExpired: ErrorSpec(401, "token_expired", 1008, Reconnect.REFRESH),
    errors.TokenRevoked: ErrorSpec(401, "token_revoked", 1008, Reconnect.SIGN_IN),
    errors.KeyInvalid: ErrorSpec(401, "key_invalid", 1008),
    errors.BadCredentials: ErrorSpec(401, "bad_credentials", 1008),
    errors.OriginNotAllowed: ErrorSpec(403, "origin_not_allowed", 1008),
    errors.Forbidden: ErrorSpec(403, "forbidden", 1008),
    errors.Banned: ErrorSpec(403, "banned", 1008, Reconnect.SIGN_IN),
    errors.Blocked: ErrorSpec(403, "blocked", 1008),
    errors.NotFound: ErrorSpec(404, "not_found", 1008),
    errors.UsernameTaken: ErrorSpec(409, "username_taken", 1008),
    errors.NonceReused: ErrorSpec(409, "nonce_reused", 1008),
    errors.TooLarge: ErrorSpec(413, "too_large", 1009),
    UnsupportedMediaType: ErrorSpec(415, "unsupported_media_type", 1003),
    RangeNotSatisfiable: ErrorSpec(416, "range_not_satisfiable", 1008),
    errors.ValidationFailed: ErrorSpec(422, "validation_failed", 1008),
    errors.RateLimited: ErrorSpec(429, "rate_limited", 1008, Reconnect.BACK_OFF),
    errors.Unavailable: ErrorSpec(503, "unavailable", 1013, Reconnect.BACK_OFF),
}

INTERNAL_ERROR = ErrorSpec(500, "internal_error", 1011, Reconnect.BACK_OFF)
"""For every exception that is not in the table."""

CLOSING_ERRORS: dict[CloseReason, Reconnect] = {
    spec.close_reason: spec.reconnect
    for error, spec in ERRORS.items()
    if issubclass(error, errors.TokenError | errors.Banned | errors.RateLimited)
}
"""The close reasons of the errors that end a WebSocket; all others are an `error` event, which leaves it open."""


class FieldProblem(BaseModel):
    """A problem with one field. `field` is its path, such as `a.b.0`."""

    field: str
    message: str


class Problem(BaseModel):
    """An RFC 9457 problem document. `code` is stable and meant for programs, `detail` for a person. `until`: of a ban,
    null for ever."""

    title: str
    status: int
    code: str
    detail: str
    errors: list[FieldProblem] | None = None
    until: Time | None = None


def spec_for(error: BaseException) -> ErrorSpec:
    """Return the table's entry for the class of `error` or its nearest base class."""
    for cls in type(error).__mro__:
        if cls in ERRORS:
            return ERRORS[cls]
    return INTERNAL_ERROR


def detail_of(error: BaseException) -> str:
    """Return a sentence about `error` for a person. It reveals nothing about an unexpected error."""
    return error.detail if isinstance(error, errors.LoaError) else "Internal server error."


def of_pydantic(error: PydanticValidationError, prefix: str = "", *, tag: str = "") -> errors.ValidationFailed:
    """Translate a model's error. The input is left out: it may be a password.

    `prefix`: prepended to the path of each field. `tag`: the discriminator field of a union; pydantic begins each path
    with its value.
    """
    skipped = 1 if tag else 0
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    return errors.ValidationFailed(
        [
            errors.FieldError(
                _field_name(prefix + ".".join(str(part) for part in problem["loc"][skipped:]) or tag or "body"),
                problem["msg"].removeprefix("Value error, "),
            )
            for problem in problems[:MAX_FIELDS]
        ]
    )


def problem(status: int, code: str, detail: str, **more: Any) -> dict[str, Any]:
    """Return an RFC 9457 problem document."""
    return {"title": phrase(status), "status": status, "code": code, "detail": detail, **more}


def problem_of(error: BaseException) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the problem document and the additional headers of the response to `error`."""
    spec = spec_for(error)
    body = problem(spec.status, spec.code, detail_of(error))
    headers: dict[str, str] = {}
    if isinstance(error, errors.ValidationFailed):
        body["errors"] = [field._asdict() for field in error.fields]
    if isinstance(error, errors.Banned):
        body["until"] = iso(error.until) if error.until else None
    if isinstance(error, errors.LoaError) and error.retry_after is not None:
        headers["Retry-After"] = str(errors.whole_seconds(error.retry_after))
    if isinstance(error, RangeNotSatisfiable):
        headers["Content-Range"] = f"bytes */{error.size}"
    if spec.status == 401:
        # RFC 6750, 3.1: `error` is given only if the request had a token.
        had_token = isinstance(error, errors.TokenError) and not isinstance(error, errors.TokenMissing)
        headers["WWW-Authenticate"] = 'Bearer error="invalid_token"' if had_token else "Bearer"
    return body, headers


def phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


def _field_name(field: str) -> str:
    return field[:MAX_FIELD_NAME].encode("utf-8", "replace").decode()
