"""Parsing of JSON request bodies."""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

from sanic import Request

from service.common.encoding import dumps, loads
from service.common.errors import MalformedJson, ValidationFailed
from service.http.errors import UnsupportedMediaType

MAX_BODY_BYTES = 64 * 1024
"""The same as for a socket's message. The longest content, 4,000 characters as JSON escapes, takes 48,000."""


def reads_json(handler: Callable[..., Awaitable[Any]], *, required: bool = True) -> Callable[..., Awaitable[Any]]:
    """Wrap `handler` so that `request.json` is parsed. Raises UnsupportedMediaType, MalformedJson, ValidationFailed.

    `required`: whether a request without a body is malformed; else it is read as an empty object.
    """

    @wraps(handler)
    async def read(request: Request, *args: Any, **kwargs: Any) -> Any:
        check_media_type(request)
        try:
            request.parsed_json = loads(request.body) if request.body or required else {}
        except ValueError:
            raise MalformedJson from None
        check_characters(request)
        return await handler(request, *args, **kwargs)

    return read


def check_media_type(request: Request) -> None:
    """Reject a body whose Content-Type is missing, repeated, or other than JSON. Raises UnsupportedMediaType.

    Pages of other sites can send three types without a CORS preflight, and a body without a type, but not JSON.
    """
    kinds = request.headers.getall("content-type", [])
    if not kinds and not request.body:
        return
    kind = str(kinds[0]).partition(";")[0].strip().lower() if len(kinds) == 1 else ""
    if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        raise UnsupportedMediaType


def check_characters(request: Request) -> None:
    """Reject lone surrogates, which JSON can express and neither UTF-8 nor the database can. Raises ValidationFailed.

    Models reject them in values, but not in keys.
    """
    body = request.body.lower()
    if b"\\ud" in body or b"\xed" in body:
        try:
            dumps(request.parsed_json).encode()
        except UnicodeEncodeError:
            raise ValidationFailed.of("body", "Contains a lone surrogate") from None
