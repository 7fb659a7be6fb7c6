"""The edge of the notification stream: server-sent events, for the browser's own EventSource."""

from sanic import Blueprint, HTTPResponse, Request

from service.common.errors import OriginNotAllowed
from service.common.models import ConnectionQuery
from service.edge.connection_opener import ConnectionOpener
from service.http.endpoint import connection
from service.notifications.models import CHANNEL
from service.notifications.replay import go_live, parse_last_event_id
from service.notifications.service import NotificationService
from service.realtime.event_stream import COMMENT_INTERVAL, EventStream
from service.telemetry.metrics import Metrics


class StreamQuery(ConnectionQuery):
    """`last_event_id`: for a new EventSource, which cannot be told the id that the one before has seen."""

    last_event_id: str | None = None


def add(bp: Blueprint, service: NotificationService, upgrade: ConnectionOpener, metrics: Metrics) -> None:
    @bp.get("/notifications/stream")
    @connection(
        "Follow one's notifications",
        tag="notifications",
        kind="event-stream",
        query=StreamQuery,
        errors=(OriginNotAllowed,),
    )
    async def follow(request: Request, *, query: StreamQuery) -> HTTPResponse:
        """Server-sent events. With `Last-Event-ID`, or `?last_event_id=`, those since are sent first."""
        # The header is the browser's, when it reconnects by itself: later than the URL that it keeps using.
        seen = parse_last_event_id(request.headers.get("last-event-id") or query.last_event_id)

        async def begin(stream: EventStream) -> None:
            await go_live(stream, service, seen, COMMENT_INTERVAL, metrics)

        return await upgrade.open_stream(request, CHANNEL, begin)
