"""Sanic's error handler: every error becomes a problem document with a code of the table in `errors.py`."""

from asyncio import CancelledError
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import structlog
from pydantic import ValidationError as PydanticValidationError
from sanic import HTTPResponse, Request, Sanic
from sanic.constants import HTTP_METHODS
from sanic.exceptions import MethodNotAllowed, PayloadTooLarge, SanicException
from sanic_ext.exceptions import ValidationError as BodyNotValid

from service.common import errors
from service.common.encoding import dumps
from service.http.errors import INTERNAL_ERROR, of_pydantic, phrase, problem, problem_of, spec_for

log = structlog.get_logger()


class UpgradeRequired(HTTPResponse):
    """A 426, whose `Upgrade` must also be named as an option of the connection (RFC 9110, 7.8 and 15.5.22)."""

    @property
    def processed_headers(self) -> Iterator[tuple[bytes, bytes]]:
        for name, value in super().processed_headers:
            yield name, value + b", upgrade" if name.lower() == b"connection" else value


def respond(body: dict[str, Any], headers: dict[str, str] | None = None) -> HTTPResponse:
    kind = UpgradeRequired if body["status"] == 426 else HTTPResponse
    return kind(dumps(body), body["status"], headers, content_type="application/problem+json")


def handle(request: Request, exception: BaseException) -> HTTPResponse:
    """Return the response to `exception`, and store its `code` and `cause` in `request.ctx` for log and metrics."""
    error = _translate(exception)
    if isinstance(error, SanicException) and (400 <= error.status_code < 500 or error.status_code == 501):
        reason = phrase(error.status_code)
        code = reason.lower().replace(" ", "_").replace("-", "_")
        # Not the exception's own message: it quotes the request.
        body, headers = problem(error.status_code, code, f"{reason}."), dict(error.headers)
        if isinstance(error, MethodNotAllowed):
            headers["Allow"] = _allowed_methods(request)
    else:
        if spec_for(error) is INTERNAL_ERROR:
            log.error("request_failed", exc_info=exception)
        body, headers = problem_of(error)
    request.ctx.code = body["code"]
    request.ctx.cause = error.__cause__
    return respond(body, headers)


def install(app: Sanic[Any, Any]) -> None:
    app.error_handler.add(Exception, handle)
    # A cancelled request raises CancelledError, which is not an Exception.
    app.error_handler.add(CancelledError, handle)


def _translate(error: BaseException) -> BaseException:
    """Translate errors of Sanic, sanic-ext and pydantic to domain errors, as far as there are equivalents."""
    if isinstance(error, CancelledError):
        return errors.Unavailable("The request was cancelled.")
    if isinstance(error, BodyNotValid):
        cause = error.__context__
        return of_pydantic(cause) if isinstance(cause, PydanticValidationError) else errors.ValidationFailed([])
    if isinstance(error, PayloadTooLarge):
        return errors.TooLarge()
    if isinstance(error, SanicException) and error.status_code == 404:
        return errors.NotFound()
    if isinstance(error, SanicException) and error.status_code == 503:
        return errors.Unavailable()
    return error


def _allowed_methods(request: Request) -> str:
    """Return the methods of the resource (RFC 9110, 15.5.6).

    Sanic's own list has HEAD for resources that refuse it, and there is none for paths with parameters.
    """
    allowed = []
    for method in HTTP_METHODS:
        with suppress(SanicException):
            request.app.router.get(request.path, method, request.headers.getone("host", None))
            allowed.append(str(method))
    return ", ".join(allowed)
