"""HTTP routes of notifications. The stream and the socket are in `stream.py` and `socket.py`."""

from sanic import HTTPResponse, Request

from service.common.errors import NotFound
from service.common.identity import Identity, Verifier
from service.common.ids import path_id
from service.edge.connection_opener import ConnectionOpener
from service.http.authentication import Authentication
from service.http.blueprint import Blueprint
from service.http.endpoint import endpoint, json_response
from service.http.limits import WRITING, RateLimits
from service.notifications import socket, stream
from service.notifications.group_service import NotificationGroupService
from service.notifications.models import (
    GroupPage,
    GroupQuery,
    MarkAsRead,
    NotificationPage,
    PageQuery,
    UnreadCount,
)
from service.notifications.preference_service import PreferenceService
from service.notifications.preferences import Preferences, PreferencesChange
from service.notifications.service import NotificationService
from service.telemetry.metrics import Metrics
from service.telemetry.tracing import Tracing

TAG = "notifications"


def blueprint(
    service: NotificationService,
    groups: NotificationGroupService,
    preferences: PreferenceService,
    auth: Authentication,
    verifier: Verifier,
    limits: RateLimits,
    opener: ConnectionOpener,
    metrics: Metrics,
    tracing: Tracing | None = None,
) -> Blueprint:
    bp = Blueprint("notifications", url_prefix="/api/v1")
    stream.add(bp, service, opener, metrics)
    socket.add(bp, service, verifier, limits, opener, metrics, tracing)

    @bp.get("/notifications")
    @endpoint(
        "List notifications, newest first", tag=TAG, auth=auth, query=PageQuery, responses={200: NotificationPage}
    )
    async def page(request: Request, caller: Identity, *, query: PageQuery) -> HTTPResponse:
        return json_response(
            await service.page_json(caller.user_id, limit=query.limit, before=query.before, unread=query.unread)
        )

    @bp.get("/notifications/groups")
    @endpoint("List notifications in groups", tag=TAG, auth=auth, query=GroupQuery, responses={200: GroupPage})
    async def group_page(request: Request, caller: Identity, *, query: GroupQuery) -> HTTPResponse:
        """Those of one type about one post, or with one `group_key`. Newest first."""
        return json_response(await groups.page(caller.user_id, limit=query.limit, before=query.before))

    @bp.get("/notifications/unread_count")
    @endpoint("Count unread notifications", tag=TAG, auth=auth, responses={200: UnreadCount})
    async def unread_count(request: Request, caller: Identity) -> HTTPResponse:
        return json_response(UnreadCount(unread_count=await service.unread_count(caller.user_id)))

    @bp.put("/notifications/read")
    @endpoint(
        "Mark several notifications as read",
        tag=TAG,
        auth=auth,
        limit=WRITING,
        body=MarkAsRead,
        responses={200: UnreadCount},
        errors=(NotFound,),
    )
    async def read_several(request: Request, caller: Identity, *, body: MarkAsRead) -> HTTPResponse:
        """All up to a number, those of a group up to a number, or all about a post. A number above the last one marks
        all. The new count is sent to the caller's connections."""
        body.check_fields()
        if body.post_id is not None:
            count = await groups.mark_post(caller.user_id, body.post_id)
        else:
            assert body.up_to_seq is not None
            if body.key is None:
                count = await service.mark_read_up_to(caller.user_id, body.up_to_seq)
            else:
                count = await groups.mark_group(caller.user_id, body.key, body.up_to_seq)
        return json_response(UnreadCount(unread_count=count))

    @bp.put("/notifications/<notification_id:str>/read")
    @endpoint(
        "Mark a notification as read",
        tag=TAG,
        auth=auth,
        limit=WRITING,
        responses={200: UnreadCount},
        errors=(NotFound,),
    )
    async def read(request: Request, caller: Identity, notification_id: str) -> HTTPResponse:
        """Idempotent. The new count is sent to the caller's connections."""
        return json_response(
            UnreadCount(unread_count=await service.mark_read(caller.user_id, path_id(notification_id)))
        )

    @bp.get("/notifications/preferences")
    @endpoint("Get one's preferences", tag=TAG, auth=auth, responses={200: Preferences})
    async def get_preferences(request: Request, caller: Identity) -> HTTPResponse:
        """What is stored and pushed, and the quiet hours."""
        return json_response(await preferences.preferences(caller.user_id))

    @bp.put("/notifications/preferences")
    @endpoint(
        "Change one's preferences",
        tag=TAG,
        auth=auth,
        limit=WRITING,
        body=PreferencesChange,
        responses={200: Preferences},
    )
    async def put_preferences(request: Request, caller: Identity, *, body: PreferencesChange) -> HTTPResponse:
        """Replaces the fields that are given. The caller's connections get `preferences_updated`."""
        return json_response(await preferences.change(caller.user_id, body))

    return bp
