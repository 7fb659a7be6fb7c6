"""All HTTP routes of the chat, with those of presence and the upgrade to the chat socket."""

from sanic import HTTPResponse, Request

from service.chat import (
    conversation_routes,
    group_routes,
    invitation_routes,
    message_routes,
    models,
    settings_routes,
)
from service.chat.conversation_service import ConversationService
from service.chat.frames import MAX_WATCHED
from service.chat.group_service import GroupService
from service.chat.invitation_service import InvitationService
from service.chat.last_announcement import LastAnnouncement
from service.chat.message_service import MessageService
from service.chat.settings_service import SettingsService
from service.chat.socket import ChatSocket, PostWatch
from service.common.errors import NotFound, OriginNotAllowed, ValidationFailed
from service.common.identity import Identity, Verifier
from service.common.ids import path_id
from service.common.models import ConnectionQuery
from service.common.moderation import Moderators
from service.edge.connection_opener import ConnectionOpener
from service.http.authentication import Authentication
from service.http.blueprint import Blueprint
from service.http.endpoint import connection, endpoint, json_response
from service.http.limits import LOOKUP, RateLimits
from service.http.shielded_tasks import ShieldedTasks
from service.realtime.presence_service import PresenceService
from service.realtime.websocket import WebSocket
from service.telemetry.metrics import Metrics
from service.telemetry.tracing import Tracing

TAG = "chat"


def blueprint(
    messages: MessageService,
    conversations: ConversationService,
    settings: SettingsService,
    groups: GroupService,
    invitations: InvitationService,
    presence: PresenceService,
    announcement: LastAnnouncement,
    posts: PostWatch,
    moderators: Moderators,
    auth: Authentication,
    verifier: Verifier,
    limits: RateLimits,
    upgrade: ConnectionOpener,
    metrics: Metrics,
    tracing: Tracing | None = None,
) -> Blueprint:
    bp = Blueprint("chat", url_prefix="/api/v1")
    conversation_routes.add_routes(bp, conversations, auth, limits.bytes)
    settings_routes.add_routes(bp, settings, auth)
    group_routes.add_routes(bp, groups, auth, limits.bytes)
    invitation_routes.add_routes(bp, invitations, auth, limits.bytes)
    message_routes.add_routes(bp, messages, moderators, auth, limits.bytes)

    @bp.get("/presence")
    @endpoint(
        "Get the presence of users",
        tag=TAG,
        auth=auth,
        limit=LOOKUP,
        query=models.PresenceQuery,
        responses={200: models.PresenceStates},
    )
    async def get_presence(request: Request, caller: Identity, *, query: models.PresenceQuery) -> HTTPResponse:
        """Returns whether each of at most 200 users is online, and when they were last seen, by user id. Users who
        share no conversation with the caller, or do not show their presence, appear offline."""
        user_ids = list(dict.fromkeys(_user_id(part) for part in query.user_ids.split(",")))
        if len(user_ids) > MAX_WATCHED:
            raise ValidationFailed.of("user_ids", f"At most {MAX_WATCHED} users at a time.")
        return json_response(await presence.states_for(caller.user_id, user_ids))

    @bp.get("/announcement")
    @endpoint(
        "Get the last announcement",
        tag=TAG,
        auth=auth,
        limit=LOOKUP,
        responses={200: models.LastAnnouncement},
    )
    async def get_announcement(request: Request, caller: Identity) -> HTTPResponse:
        """What the operator last announced, for users who were not connected then. Those who are get `announcement`."""
        found = await announcement.get(caller.user_id)
        return json_response({"announcement": found and found._asdict()})

    @bp.get("/ws/chat")
    @connection("Open the chat socket", tag=TAG, kind="websocket", query=ConnectionQuery, errors=(OriginNotAllowed,))
    async def socket(request: Request, *, query: ConnectionQuery) -> HTTPResponse:
        """A WebSocket; `/asyncapi.json` describes its frames."""

        async def begin(websocket: WebSocket) -> None:
            shielded_tasks: ShieldedTasks = request.app.ctx.shielded_tasks
            await ChatSocket(
                websocket, messages, conversations, presence, posts, verifier, limits, shielded_tasks, metrics, tracing
            ).begin()

        return await upgrade.open_socket(request, "chat", begin, nest_notice_fields=True)

    return bp


def _user_id(part: str) -> str:
    try:
        return path_id(part.strip())
    except NotFound:
        raise ValidationFailed.of("user_ids", "This must be a list of user ids, separated by commas.") from None
