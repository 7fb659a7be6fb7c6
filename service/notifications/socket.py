"""Route of the notification socket: the events of the stream, for clients that prefer a WebSocket."""

from sanic import Blueprint, HTTPResponse, Request

from service.common.errors import OriginNotAllowed
from service.common.identity import Verifier
from service.common.models import ConnectionQuery
from service.edge.connection_opener import ConnectionOpener
from service.edge.frame_handler import FrameHandler
from service.http.endpoint import connection
from service.http.limits import RateLimits
from service.notifications.frames import FRAMES
from service.notifications.models import CHANNEL
from service.notifications.replay import go_live, parse_last_event_id
from service.notifications.service import NotificationService
from service.realtime.websocket import PING_INTERVAL, WebSocket
from service.telemetry.metrics import Metrics
from service.telemetry.tracing import Tracing


class SocketQuery(ConnectionQuery):
    """`last_seq`: the number of the last notification that the client has seen."""

    last_seq: str | None = None


def add(
    bp: Blueprint,
    service: NotificationService,
    verifier: Verifier,
    limits: RateLimits,
    opener: ConnectionOpener,
    metrics: Metrics,
    tracing: Tracing | None = None,
) -> None:
    @bp.get("/ws/notifications")
    @connection(
        "Receive notifications on a WebSocket",
        tag="notifications",
        kind="websocket",
        query=SocketQuery,
        errors=(OriginNotAllowed,),
    )
    async def follow_on_socket(request: Request, *, query: SocketQuery) -> HTTPResponse:
        """With `?last_seq=` the missed notifications are sent first. The frames are described in `/asyncapi.json`."""

        async def begin(socket: WebSocket) -> None:
            FrameHandler(socket, FRAMES, verifier, limits, tracing)
            await go_live(socket, service, parse_last_event_id(query.last_seq), PING_INTERVAL, metrics)

        return await opener.open_socket(request, CHANNEL, begin)
