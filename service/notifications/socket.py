"""The edge of the notification socket: the events of the stream, for clients that would rather have a WebSocket."""

import asyncio
from collections.abc import Mapping
from typing import Any

import structlog
from sanic import Blueprint, HTTPResponse, Request

from service.errors import LoaError, OriginNotAllowed, RateLimited, TokenInvalid, ValidationFailed
from service.http import limits as rules
from service.http.authentication import ACCESS
from service.http.endpoint import ConnectionQuery, connection
from service.http.errors import answer_to
from service.http.limits import RateLimits
from service.http.upgrade import Upgrade
from service.identity import Verifier
from service.notifications import frames
from service.notifications.joining import join, seen_of
from service.notifications.models import FEED
from service.notifications.service import NotificationService
from service.realtime.event import Event
from service.realtime.websocket import PING_INTERVAL, WebSocket

log = structlog.get_logger()


class SocketQuery(ConnectionQuery):
    """`last_seq`: the number of the last notification that the client has seen."""

    last_seq: str | None = None


def add(bp: Blueprint, service: NotificationService, verifier: Verifier, limits: RateLimits, upgrade: Upgrade) -> None:
    @bp.get("/ws/notifications")
    @connection(
        "Follow one's notifications on a WebSocket",
        tag="notifications",
        kind="websocket",
        query=SocketQuery,
        errors=(OriginNotAllowed,),
    )
    async def follow_on_socket(request: Request, *, query: SocketQuery) -> HTTPResponse:
        """With `?last_seq=` those since are sent first. What it carries is in `/asyncapi.json`."""

        async def begin(socket: WebSocket) -> None:
            NotificationSocket(socket, verifier, limits)
            await join(socket, service, seen_of(query.last_seq), PING_INTERVAL)

        return await upgrade.to_socket(request, FEED, begin)


class NotificationSocket:
    """Answers what the client says: one answer to each frame, and nothing that ends the connection."""

    def __init__(self, socket: WebSocket, verifier: Verifier, limits: RateLimits) -> None:
        self._socket = socket
        self._verifier = verifier
        self._limits = limits
        self._authenticating: asyncio.Task[None] | None = None
        socket.on_text = self._take
        socket.on_close(self._end)

    def _take(self, text: str) -> None:
        try:
            frame = frames.parse(text)
        except LoaError as error:
            self._refuse(error, error.ref)
            return
        match frame:
            case frames.Ping():
                self._say("pong", {"ref": frame.ref})
            case frames.Authenticate() if self._authenticating and not self._authenticating.done():
                self._refuse(RateLimited("One token at a time."), frame.ref)
            case frames.Authenticate():
                self._authenticating = asyncio.create_task(self._authenticate(frame))

    def _end(self) -> None:
        if self._authenticating:
            self._authenticating.cancel()

    async def _authenticate(self, frame: frames.Authenticate) -> None:
        try:
            await self._limits.check(rules.SEARCH, self._socket.user_id)
            caller = await self._verifier.verify_scoped_token(frame.token, ACCESS)
            if caller.user_id != self._socket.user_id:
                raise TokenInvalid("The token is someone else's.")
        except LoaError as error:
            self._refuse(error, frame.ref)
        except Exception as error:
            log.exception("frame_failed")
            self._refuse(error, frame.ref)
        else:
            self._socket.extend(caller)
            self._say("ack", {"ref": frame.ref, "data": {"token_expires_at": self._socket.token_expires_at}})

    def _refuse(self, error: Exception, ref: str | None) -> None:
        detail = error.detail if isinstance(error, LoaError) else "Something went wrong on our side."
        fields: dict[str, Any] = {"ref": ref, "code": answer_to(error).code, "detail": detail}
        if isinstance(error, LoaError) and error.retry_after is not None:
            fields["retry_after"] = error.retry_after
        if isinstance(error, ValidationFailed):
            fields["errors"] = [field._asdict() for field in error.fields]
        self._say("error", fields)

    def _say(self, type: str, fields: Mapping[str, Any]) -> None:
        self._socket.send(Event(type, fields, feed=FEED))
