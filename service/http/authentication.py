"""Authentication: by the Authorization header; on sockets and streams also by `?token=` or `?ticket=`."""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, cast

from sanic import HTTPResponse, Request

from service.common.errors import Banned, LoaError, TokenExpired, TokenInvalid, TokenMissing, TokenRevoked
from service.common.identity import ACCESS, Identity, Verifier
from service.http.limits import READING, RateLimits

P = ParamSpec("P")
Handler = Callable[Concatenate[Request, P], Awaitable[HTTPResponse]]
CallerHandler = Callable[Concatenate[Request, Identity, P], Awaitable[HTTPResponse]]

MAX_USER_AGENT = 256
"""Characters: enough for users to recognise their device."""

READ_METHODS = ("GET", "HEAD")
TOKEN_ERRORS: frozenset[type[LoaError]] = frozenset({TokenMissing, TokenInvalid, TokenExpired, TokenRevoked})


class Authenticator(Protocol):
    """Authenticates the requests of an endpoint.

    `scheme`: the name of its security scheme in the OpenAPI document. `errors`: what it raises. `for_browsers`: whether
    pages may send such requests; if not, their Origin means nothing, and they get no CORS headers.
    """

    scheme: str
    errors: frozenset[type[LoaError]]
    for_browsers: bool

    def required(self, handler: Callable[..., Awaitable[HTTPResponse]]) -> Callable[..., Awaitable[HTTPResponse]]:
        """Wrap `handler(request, caller, …)` so that the caller is authenticated first. Reads are counted against their
        rate limit here; an endpoint that changes state declares its own."""


class Authentication:
    """Authenticates requests by access tokens and passes the caller's Identity to handlers."""

    scheme = "bearer"
    # A token from outside begins a session, which is a sign-in.
    errors = TOKEN_ERRORS | {Banned}
    for_browsers = True

    def __init__(self, verifier: Verifier, limits: RateLimits) -> None:
        self._verifier = verifier
        self._limits = limits

    def required(self, handler: CallerHandler[P]) -> Handler[P]:
        """Implements Authenticator. Without a valid token the response is 401."""

        @wraps(handler)
        async def authenticated(request: Request, *args: P.args, **kwargs: P.kwargs) -> HTTPResponse:
            caller = await self._verifier.verify_scoped_token(bearer(request), ACCESS, user_agent(request))
            request.ctx.user_id = caller.user_id
            if request.method in READ_METHODS:
                await self._limits.check(READING, caller.user_id)
            return await handler(request, caller, *args, **kwargs)

        # To mypy, `wraps` means that `caller` is still a parameter.
        return cast(Handler[P], authenticated)

    async def authenticate_connection(self, request: Request) -> Identity:
        """Authenticate a socket or stream. A browser cannot set headers for these, hence `?ticket=` and `?token=`."""
        if ticket := _single(request, "ticket"):
            caller = await self._verifier.redeem_ticket(ticket)
        else:
            token = bearer(request) or _single(request, "token")
            caller = await self._verifier.verify_scoped_token(token, ACCESS, user_agent(request))
        request.ctx.user_id = caller.user_id
        return caller

    async def check(self, caller: Identity) -> None:
        """Check again that `caller` is not revoked, once its connection is registered and thus closed by a revocation.

        Raises TokenRevoked, Unavailable.
        """
        await self._verifier.check(caller)


def bearer(request: Request) -> str | None:
    """Return the token of `Authorization: Bearer …` (RFC 6750, 2.1). The scheme is case-insensitive."""
    scheme, _, token = str(request.headers.getone("authorization", "")).partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def user_agent(request: Request) -> str:
    """Return the `User-Agent`, truncated and without unprintable characters: clients display it."""
    header = str(request.headers.getone("user-agent", ""))
    return "".join(character for character in header[:MAX_USER_AGENT] if character.isprintable())


def _single(request: Request, name: str) -> str | None:
    value: Any = request.args.get(name)
    return value if isinstance(value, str) and value else None
