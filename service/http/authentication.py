"""Who is calling, told from a request: the header everywhere, `?token=` and `?ticket=` on sockets and streams."""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, cast

from sanic import HTTPResponse, Request

from service.common.identity import Identity, Verifier
from service.http.limits import READING, RateLimits

P = ParamSpec("P")
Handler = Callable[Concatenate[Request, P], Awaitable[HTTPResponse]]
CallerHandler = Callable[Concatenate[Request, Identity, P], Awaitable[HTTPResponse]]

ACCESS = "access_token"
READS = ("GET", "HEAD")


class Authentication:
    """Wraps handlers so that they are handed the caller's Identity, or not called at all."""

    def __init__(self, verifier: Verifier, limits: RateLimits) -> None:
        self._verifier = verifier
        self._limits = limits

    def required(self, handler: CallerHandler[P]) -> Handler[P]:
        """`handler(request, caller, …)`; without a good token the answer is 401.

        What is only read is counted here; what is written each handler counts by a rule of its own.
        """

        @wraps(handler)
        async def authenticated(request: Request, *args: P.args, **kwargs: P.kwargs) -> HTTPResponse:
            caller = await self._verifier.verify_scoped_token(bearer(request), ACCESS)
            request.ctx.user_id = caller.user_id
            if request.method in READS:
                await self._limits.check(READING, caller.user_id)
            return await handler(request, caller, *args, **kwargs)

        # `wraps` says to mypy that the caller is still a parameter.
        return cast(Handler[P], authenticated)

    async def of_connection(self, request: Request) -> Identity:
        """The caller of a socket or stream, which a browser cannot give a header: `?ticket=` or `?token=` too."""
        if ticket := _single(request, "ticket"):
            caller = await self._verifier.redeem_ticket(ticket)
        else:
            caller = await self._verifier.verify_scoped_token(bearer(request) or _single(request, "token"), ACCESS)
        request.ctx.user_id = caller.user_id
        return caller

    async def check(self, caller: Identity) -> None:
        """Once more, now that `caller`'s connection would hear of the end of its session. Raises TokenRevoked;
        Unavailable."""
        await self._verifier.check(caller)


def bearer(request: Request) -> str | None:
    """The token of `Authorization: Bearer …` (RFC 6750, 2.1); the scheme's case does not matter."""
    scheme, _, token = str(request.headers.getone("authorization", "")).partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def _single(request: Request, name: str) -> str | None:
    value: Any = request.args.get(name)
    return value if isinstance(value, str) and value else None
