"""Route of the notification stream: server-sent events, for the browser's EventSource."""

from sanic import Blueprint, HTTPResponse, Request

from service.common.errors import OriginNotAllowed
from service.common.models import ConnectionQuery
from service.edge.connection_opener import ConnectionOpener
from service.http.endpoint import connection
from service.notifications.models import CHANNEL
from service.notifications.replay import go_live, parse_last_event_id
from service.notifications.service import NotificationService
from service.realtime.event_stream import HEARTBEAT_INTERVAL, EventStream
from service.telemetry.metrics import Metrics


class StreamQuery(ConnectionQuery):
    """`last_event_id`: replaces the `Last-Event-ID` header, which scripts cannot set on a new EventSource.
    `lastEventId` is the same: event-source-polyfill sends it."""

    last_event_id: str | None = None
    lastEventId: str | None = None


def add(bp: Blueprint, service: NotificationService, opener: ConnectionOpener, metrics: Metrics) -> None:
    @bp.get("/notifications/stream")
    @connection(
        "Receive notifications as an event stream",
        tag="notifications",
        kind="event-stream",
        query=StreamQuery,
        errors=(OriginNotAllowed,),
    )
    async def follow(request: Request, *, query: StreamQuery) -> HTTPResponse:
        """Server-sent events. With `Last-Event-ID`, or `?last_event_id=`, the missed notifications are sent first."""
        # A browser that reconnects by itself sends the header and reuses the URL, so the header is newer.
        last_seen = parse_last_event_id(
            request.headers.get("last-event-id") or query.last_event_id or query.lastEventId
        )

        async def begin(stream: EventStream) -> None:
            await go_live(stream, service, last_seen, HEARTBEAT_INTERVAL, metrics)

        return await opener.open_stream(request, CHANNEL, begin)
