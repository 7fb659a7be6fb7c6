"""The way from a GET request to a socket or stream: origin, limits, sign-in, handshake, and the refusals of each."""

import math
from collections.abc import Awaitable, Callable

from sanic import HTTPResponse, Request
from sanic.exceptions import SanicException

from service.common.errors import LoaError, RateLimited, TokenError, Unavailable
from service.common.identity import Identity
from service.edge.hijack import HijackResponse
from service.http import limits as rules
from service.http.authentication import Authentication
from service.http.errors import spec_for
from service.http.limits import ConnectionLimit, RateLimits, address
from service.http.origin import OriginCheck
from service.realtime.event_stream import EventStream
from service.realtime.registry import Registry
from service.realtime.websocket import HandshakeRefused, WebSocket

ANONYMOUS = Identity("", "", "", math.inf)


class ConnectionOpener:
    """Opens the sockets and streams of all channels."""

    def __init__(
        self,
        registry: Registry,
        auth: Authentication,
        origins: OriginCheck,
        limits: RateLimits,
        connection_limit: ConnectionLimit,
    ) -> None:
        self._registry = registry
        self._auth = auth
        self._origins = origins
        self._limits = limits
        self._connection_limit = connection_limit

    async def open_socket(
        self,
        request: Request,
        channel: str,
        begin: Callable[[WebSocket], Awaitable[None]],
        *,
        nest_notice_fields: bool = False,
    ) -> HTTPResponse:
        """Open a socket of `channel`. `begin(socket)` reads what it needs and calls `socket.go_live`; it is
        registered then.

        A foreign origin, or what is no handshake, is answered over HTTP. A bad token or too many connections is said
        in the close frame, for that is all that a browser's script gets to read.
        """
        self._origins.check(request)
        self._check_open()
        try:
            caller = await self._caller(request)
            socket = WebSocket(
                self._registry, caller, channel, request.headers.items(), nest_notice_fields=nest_notice_fields
            )
            with self._registry.registration(socket):
                # A session that ended after the first look, and before it could be told so, has been missed by both.
                await self._auth.check(caller)
                await begin(socket)
                self._check_open()
        except HandshakeRefused as refusal:
            raise SanicException(str(refusal), refusal.status, headers=refusal.headers) from None
        except (TokenError, RateLimited) as error:
            return self._refuse(request, error)
        return HijackResponse(socket)

    async def open_stream(
        self, request: Request, channel: str, begin: Callable[[EventStream], Awaitable[None]]
    ) -> HTTPResponse:
        """Open an event stream of `channel`, as `open_socket` does a socket; every refusal is an HTTP answer."""
        self._origins.check(request)
        self._check_open()
        caller = await self._caller(request)
        stream = EventStream(self._registry, caller, channel)
        with self._registry.registration(stream):
            await self._auth.check(caller)
            await begin(stream)
            self._check_open()
        return HijackResponse(stream)

    def _check_open(self) -> None:
        """Before the work, and after it: who came in between would not be among those that are told to go."""
        if self._registry.draining:
            raise Unavailable("The server is shutting down.")

    async def _caller(self, request: Request) -> Identity:
        await self._limits.check(rules.CONNECTING_ADDRESS, address(request))
        caller = await self._auth.of_connection(request)
        await self._limits.check(rules.CONNECTING, caller.user_id)
        self._connection_limit.check(caller.user_id)
        return caller

    def _refuse(self, request: Request, error: LoaError) -> HTTPResponse:
        """Accept, and close at once with the error's code."""
        try:
            socket = WebSocket(self._registry, ANONYMOUS, "", request.headers.items())
        except HandshakeRefused as refusal:
            raise SanicException(str(refusal), refusal.status, headers=refusal.headers) from None
        socket.close(*spec_for(error).close_reason)
        return HijackResponse(socket)
