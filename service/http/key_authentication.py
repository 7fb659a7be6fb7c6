"""Authentication of the servers of a site, by a key in the Authorization header."""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

from sanic import HTTPResponse, Request

from service.common.errors import KeyInvalid, LoaError
from service.http.authentication import READ_METHODS, bearer
from service.http.limits import SERVER_READING, RateLimits, key_id


class KeyAuthentication:
    """Implements `service.http.authentication.Authenticator`; the caller is the name of the key.

    A key is taken from the header only: browsers, which could send a cookie or a link of somebody else's, have none.
    """

    scheme = "api_key"
    errors: frozenset[type[LoaError]] = frozenset({KeyInvalid})
    for_browsers = False

    def __init__(self, name_of: Callable[[str | None], str], limits: RateLimits) -> None:
        """`name_of(key)` returns the name of a key. Raises KeyInvalid."""
        self._name_of = name_of
        self._limits = limits

    def required(self, handler: Callable[..., Awaitable[HTTPResponse]]) -> Callable[..., Awaitable[HTTPResponse]]:
        @wraps(handler)
        async def authenticated(request: Request, *args: Any, **kwargs: Any) -> HTTPResponse:
            request.ctx.api_key = name = self._name_of(bearer(request))
            if request.method in READ_METHODS:
                await self._limits.check(SERVER_READING, key_id(name))
            return await handler(request, name, *args, **kwargs)

        return authenticated
