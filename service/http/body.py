"""The body of a request: JSON, or a clear refusal."""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

from sanic import Request

from service.common.encoding import dumps, loads
from service.common.errors import MalformedJson, ValidationFailed
from service.http.errors import UnsupportedMediaType

MAX_BODY_BYTES = 64 * 1024
"""As for a socket's message. The longest content, 4,000 characters all written as escapes, takes 48,000."""


def reads_json(handler: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """`handler` is called with `request.json` there. Raises UnsupportedMediaType, MalformedJson, ValidationFailed."""

    @wraps(handler)
    async def read(request: Request, *args: Any, **kwargs: Any) -> Any:
        check_media_type(request)
        try:
            request.parsed_json = loads(request.body)
        except ValueError:
            raise MalformedJson from None
        check_characters(request)
        return await handler(request, *args, **kwargs)

    return read


def check_media_type(request: Request) -> None:
    """Refuse what says it is not JSON: a form of another site can send its own three types unasked, but not JSON.

    A body that says nothing passes. Raises UnsupportedMediaType.
    """
    kind = str(request.headers.getone("content-type", "")).partition(";")[0].strip().lower()
    if kind and kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        raise UnsupportedMediaType


def check_characters(request: Request) -> None:
    """Refuse half of a surrogate pair, which JSON can spell and neither UTF-8 nor the database can hold.

    Raises ValidationFailed. The models refuse it too, but not in a key.
    """
    body = request.body.lower()
    if b"\\ud" in body or b"\xed" in body:
        try:
            dumps(request.parsed_json).encode()
        except UnicodeEncodeError:
            raise ValidationFailed.of("body", "A string holds half of a surrogate pair.") from None
