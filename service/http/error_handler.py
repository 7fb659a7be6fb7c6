"""Sanic's error handler: every error leaves as a problem document of the table in `errors.py`."""

from asyncio import CancelledError
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
from service.http.errors import UNKNOWN, of_pydantic, phrase, problem, problem_of, spec_for

log = structlog.get_logger()


def respond(body: dict[str, Any], headers: dict[str, str] | None = None) -> HTTPResponse:
    return HTTPResponse(dumps(body), body["status"], headers, content_type="application/problem+json")


def handle(request: Request, exception: BaseException) -> HTTPResponse:
    """Sanic's error handler: every error leaves as a problem document.

    `request.ctx` then has its `code` and the `cause`, for those who log and count.
    """
    error = _translate(exception)
    if isinstance(error, SanicException) and (400 <= error.status_code < 500 or error.status_code == 501):
        reason = phrase(error.status_code)
        code = reason.lower().replace(" ", "_").replace("-", "_")
        # Not the exception's own sentence: it quotes the request.
        body, headers = problem(error.status_code, code, f"{reason}."), dict(error.headers)
        if isinstance(error, MethodNotAllowed) and "Allow" not in headers:
            headers["Allow"] = _allowed(request)
    else:
        if spec_for(error) is UNKNOWN:
            log.error("request_failed", exc_info=exception)
        body, headers = problem_of(error)
    request.ctx.code = body["code"]
    request.ctx.cause = error.__cause__
    return respond(body, headers)


def install(app: Sanic[Any, Any]) -> None:
    app.error_handler.add(Exception, handle)
    # What ends a request from outside is no Exception.
    app.error_handler.add(CancelledError, handle)


def _translate(error: BaseException) -> BaseException:
    """What Sanic, sanic-ext and pydantic refuse, in the domain's words where there is a word for it."""
    if isinstance(error, CancelledError):
        return errors.Unavailable("The request was cut short.")
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


def _allowed(request: Request) -> str:
    """The methods that the resource has (RFC 9110, 15.5.6). Sanic says them only of a path that never varies."""
    allowed = []
    for method in HTTP_METHODS:
        with suppress(SanicException):
            request.app.router.get(request.path, method, request.headers.getone("host", None))
            allowed.append(str(method))
    return ", ".join(allowed)
