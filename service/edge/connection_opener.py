"""Opens WebSockets and event streams from GET requests: origin check, rate limits, authentication and handshake."""

import math
from collections.abc import Awaitable, Callable

from sanic import HTTPResponse, Request
from sanic.exceptions import BadRequest, SanicException

from service.common.errors import Banned, LoaError, RateLimited, TokenError, Unavailable
from service.common.identity import Identity
from service.edge.hijack import HijackResponse
from service.http.authentication import Authentication
from service.http.errors import spec_for
from service.http.limits import CONNECTING, CONNECTING_ADDRESS, ConnectionLimit, RateLimits, address
from service.http.origin import OriginCheck
from service.realtime.event_stream import EventStream, UnchunkedEventStream
from service.realtime.handshake import HandshakeRefused
from service.realtime.registry import Registry
from service.realtime.user_subscriptions import UserSubscriptions
from service.realtime.websocket import WebSocket, accept_websocket

ANONYMOUS = Identity("", "", "", math.inf)
"""The identity of a socket that is only opened to be closed with the reason of its refusal."""


class ConnectionOpener:
    """Opens the WebSockets and event streams of all channels."""

    def __init__(
        self,
        registry: Registry,
        subscriptions: UserSubscriptions,
        auth: Authentication,
        origins: OriginCheck,
        limits: RateLimits,
        connection_limit: ConnectionLimit,
    ) -> None:
        self._registry = registry
        self._subscriptions = subscriptions
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
        """Open a WebSocket to `channel`. `begin(socket)` is called once the socket is registered; it reads what to
        replay and calls `socket.go_live`.

        A foreign origin and an invalid handshake are answered over HTTP. An invalid token and a rate limit are reported
        in the close frame, because that is all a script in a browser can read.
        """
        self._origins.check(request)
        self._check_not_draining()
        if request.version != "1.1":
            raise BadRequest("A WebSocket needs HTTP/1.1.")  # RFC 6455, 4.1
        try:
            caller = await self._authenticate(request)
            socket = accept_websocket(
                self._registry, caller, channel, request.headers.items(), nest_notice_fields=nest_notice_fields
            )
            with self._registry.registration(socket):
                await self._subscriptions.wait(caller.user_id)
                # Checked again: a revocation after the first check and before the registration has closed nothing.
                await self._auth.check(caller)
                await begin(socket)
                self._check_not_draining()
        except HandshakeRefused as refusal:
            raise SanicException(str(refusal), refusal.status, headers=refusal.headers) from None
        except (TokenError, Banned, RateLimited) as error:
            return self._refuse(request, error)
        return HijackResponse(socket)

    async def open_stream(
        self, request: Request, channel: str, begin: Callable[[EventStream], Awaitable[None]]
    ) -> HTTPResponse:
        """Open an event stream of `channel`, as `open_socket` opens a WebSocket. Every refusal is an HTTP response."""
        self._origins.check(request)
        self._check_not_draining()
        caller = await self._authenticate(request)
        kind = EventStream if request.version == "1.1" else UnchunkedEventStream
        stream = kind(self._registry, caller, channel)
        with self._registry.registration(stream):
            await self._subscriptions.wait(caller.user_id)
            await self._auth.check(caller)
            await begin(stream)
            self._check_not_draining()
        return HijackResponse(stream)

    def _check_not_draining(self) -> None:
        """Raise Unavailable if the server is stopping. Called before and after a connection is prepared: one that
        opened in between would not be among those that are drained."""
        if self._registry.draining:
            raise Unavailable("The server is shutting down.")

    async def _authenticate(self, request: Request) -> Identity:
        await self._limits.check(CONNECTING_ADDRESS, address(request))
        caller = await self._auth.authenticate_connection(request)
        await self._limits.check(CONNECTING, caller.user_id)
        self._connection_limit.check(caller.user_id)
        return caller

    def _refuse(self, request: Request, error: LoaError) -> HTTPResponse:
        """Accept the WebSocket, and close it at once with the code of `error`."""
        try:
            socket = accept_websocket(self._registry, ANONYMOUS, "", request.headers.items())
        except HandshakeRefused as refusal:
            raise SanicException(str(refusal), refusal.status, headers=refusal.headers) from None
        socket.close(*spec_for(error).close_reason)
        return HijackResponse(socket)
