"""The HTTP routes of the chat: conversations, messages, presence, and the upgrade to the chat socket."""

from typing import Any
from urllib.parse import unquote

from sanic import Blueprint, HTTPResponse, Request

from service.chat import models
from service.chat.conversation_service import ConversationService
from service.chat.frames import MAX_WATCHED
from service.chat.group_service import GroupService
from service.chat.invitation_service import InvitationService
from service.chat.message_service import MessageService
from service.chat.settings_service import SettingsService
from service.chat.socket import ChatSocket
from service.common.errors import Blocked, Forbidden, NonceReused, NotFound, OriginNotAllowed, ValidationFailed
from service.common.identity import Identity, Verifier
from service.common.ids import path_id
from service.common.models import ConnectionQuery
from service.edge.connection_opener import ConnectionOpener
from service.http.authentication import Authentication
from service.http.byte_limit import CHANGE_BYTES, CONVERSATION_BYTES, ByteLimit
from service.http.endpoint import connection, endpoint, json_response
from service.http.limits import INVITING, JOINING, LOOKUP, SENDING, WRITING, RateLimits
from service.http.shielded_tasks import ShieldedTasks
from service.realtime.presence_service import PresenceService
from service.realtime.websocket import WebSocket
from service.telemetry.metrics import Metrics
from service.telemetry.tracing import Tracing

TAG = "chat"
HISTORY_LIMIT = 50
CHANGES_LIMIT = 200


def blueprint(
    messages: MessageService,
    conversations: ConversationService,
    settings: SettingsService,
    groups: GroupService,
    invitations: InvitationService,
    presence: PresenceService,
    auth: Authentication,
    verifier: Verifier,
    limits: RateLimits,
    upgrade: ConnectionOpener,
    metrics: Metrics,
    tracing: Tracing | None = None,
) -> Blueprint:
    bp = Blueprint("chat", url_prefix="/api/v1")
    _add_conversation_routes(bp, conversations, auth, limits.bytes)
    _add_settings_routes(bp, settings, auth)
    _add_group_routes(bp, groups, auth, limits.bytes)
    _add_invitation_routes(bp, invitations, auth, limits.bytes)
    _add_message_routes(bp, messages, conversations, auth, limits.bytes)

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

    @bp.get("/ws/chat")
    @connection("Open the chat socket", tag=TAG, kind="websocket", query=ConnectionQuery, errors=(OriginNotAllowed,))
    async def socket(request: Request, *, query: ConnectionQuery) -> HTTPResponse:
        """A WebSocket; `/asyncapi.json` describes its frames."""

        async def begin(websocket: WebSocket) -> None:
            shielded_tasks: ShieldedTasks = request.app.ctx.shielded_tasks
            await ChatSocket(
                websocket, messages, conversations, presence, verifier, limits, shielded_tasks, metrics, tracing
            ).begin()

        return await upgrade.open_socket(request, "chat", begin, nest_notice_fields=True)

    return bp


def _add_conversation_routes(
    bp: Blueprint, conversations: ConversationService, auth: Authentication, byte_limit: ByteLimit
) -> None:
    @bp.post("/conversations")
    @endpoint(
        "Create a conversation",
        tag=TAG,
        auth=auth,
        limit=WRITING,
        body=models.NewConversation,
        responses={201: models.Conversation, 200: models.Conversation},
        errors=(Forbidden,),
    )
    async def create_conversation(request: Request, caller: Identity, *, body: models.NewConversation) -> HTTPResponse:
        """With one other participant and no title: the direct conversation of the two, 200 if it exists already. Nobody
        is put into a group by somebody whom they block (403)."""
        byte_limit.take(caller.user_id, CONVERSATION_BYTES)
        conversation, created = await conversations.create(
            caller.user_id, body.participant_ids, body.title, body.history
        )
        if created:
            byte_limit.count_rest(caller.user_id, conversation, CONVERSATION_BYTES)
        return json_response(conversation, 201 if created else 200)

    @bp.get("/conversations")
    @endpoint(
        "List your conversations",
        tag=TAG,
        auth=auth,
        query=models.ConversationsQuery,
        responses={200: models.ConversationPage},
    )
    async def list_conversations(
        request: Request, caller: Identity, *, query: models.ConversationsQuery
    ) -> HTTPResponse:
        """The most recently active first, without the archived ones; or the archived ones."""
        page = conversations.archived_page if query.archived else conversations.page
        items, next_cursor = await page(caller.user_id, query.limit, query.before)
        return json_response({"items": items, "next": next_cursor})

    @bp.get("/conversations/<conversation_id:str>")
    @endpoint("Get a conversation", tag=TAG, auth=auth, responses={200: models.Conversation}, errors=(NotFound,))
    async def get_conversation(request: Request, caller: Identity, conversation_id: str) -> HTTPResponse:
        return json_response(await conversations.get(caller.user_id, path_id(conversation_id)))

    @bp.get("/conversations/<conversation_id:str>/participants")
    @endpoint(
        "List the participants",
        tag=TAG,
        auth=auth,
        query=models.ParticipantsQuery,
        responses={200: models.ParticipantPage},
        errors=(NotFound,),
    )
    async def list_participants(
        request: Request, caller: Identity, conversation_id: str, *, query: models.ParticipantsQuery
    ) -> HTTPResponse:
        """In the order of joining."""
        items, next_cursor = await conversations.participants(
            caller.user_id, path_id(conversation_id), query.limit, query.after
        )
        return json_response({"items": items, "next": next_cursor})


def _add_settings_routes(bp: Blueprint, settings: SettingsService, auth: Authentication) -> None:
    @bp.put("/conversations/<conversation_id:str>/mute")
    @endpoint(
        "Mute a conversation",
        tag=TAG,
        auth=auth,
        limit=WRITING,
        body=models.Mute,
        responses={200: models.Conversation},
        errors=(NotFound,),
    )
    async def mute(request: Request, caller: Identity, conversation_id: str, *, body: models.Mute) -> HTTPResponse:
        """Its messages do not notify the caller until then. The caller's other devices get `conversation_updated`."""
        return json_response(await settings.mute(caller.user_id, path_id(conversation_id), body.until))

    @bp.delete("/conversations/<conversation_id:str>/mute")
    @endpoint(
        "Unmute a conversation",
        tag=TAG,
        auth=auth,
        limit=WRITING,
        responses={200: models.Conversation},
        errors=(NotFound,),
    )
    async def unmute(request: Request, caller: Identity, conversation_id: str) -> HTTPResponse:
        return json_response(await settings.unmute(caller.user_id, path_id(conversation_id)))

    @bp.put("/conversations/<conversation_id:str>/archive")
    @endpoint(
        "Archive a conversation",
        tag=TAG,
        auth=auth,
        limit=WRITING,
        responses={200: models.Conversation},
        errors=(NotFound,),
    )
    async def archive(request: Request, caller: Identity, conversation_id: str) -> HTTPResponse:
        """Hides it from the caller's list until a new message arrives. The caller's other devices get
        `conversation_updated`."""
        return json_response(await settings.archive(caller.user_id, path_id(conversation_id)))

    @bp.delete("/conversations/<conversation_id:str>/archive")
    @endpoint(
        "Unarchive a conversation",
        tag=TAG,
        auth=auth,
        limit=WRITING,
        responses={200: models.Conversation},
        errors=(NotFound,),
    )
    async def unarchive(request: Request, caller: Identity, conversation_id: str) -> HTTPResponse:
        return json_response(await settings.unarchive(caller.user_id, path_id(conversation_id)))

    @bp.delete("/conversations/<conversation_id:str>/history")
    @endpoint(
        "Delete the history for yourself",
        tag=TAG,
        auth=auth,
        limit=WRITING,
        responses={204: None},
        errors=(NotFound,),
    )
    async def clear_history(request: Request, caller: Identity, conversation_id: str) -> HTTPResponse:
        """For the caller, the history begins after the newest message; the others see what they have seen. The caller's
        other devices get `history_cleared`."""
        await settings.clear_history(caller.user_id, path_id(conversation_id))
        return json_response()


def _add_group_routes(bp: Blueprint, groups: GroupService, auth: Authentication, byte_limit: ByteLimit) -> None:
    @bp.patch("/conversations/<conversation_id:str>")
    @endpoint(
        "Change a group",
        tag=TAG,
        auth=auth,
        limit=WRITING,
        body=models.ConversationChange,
        responses={200: models.Conversation},
        errors=(NotFound, Forbidden),
    )
    async def rename_conversation(
        request: Request, caller: Identity, conversation_id: str, *, body: models.ConversationChange
    ) -> HTTPResponse:
        """Only the owner and admins may do that."""
        byte_limit.take(caller.user_id, CONVERSATION_BYTES)
        conversation = await groups.change(
            caller.user_id, path_id(conversation_id), body.model_dump(exclude_unset=True)
        )
        byte_limit.count_rest(caller.user_id, conversation, CONVERSATION_BYTES)
        return json_response(conversation)

    @bp.post("/conversations/<conversation_id:str>/participants")
    @endpoint(
        "Add participants to a group",
        tag=TAG,
        auth=auth,
        limit=WRITING,
        body=models.NewParticipants,
        responses={200: models.Conversation},
        errors=(NotFound, Forbidden),
    )
    async def add_participants(
        request: Request, caller: Identity, conversation_id: str, *, body: models.NewParticipants
    ) -> HTTPResponse:
        """Only the owner and admins may do that. Users who are participants already are ignored. Those who have
        left, or were removed, return only by an invitation: 403."""
        byte_limit.take(caller.user_id, CONVERSATION_BYTES)
        conversation = await groups.add_participants(caller.user_id, path_id(conversation_id), body.user_ids)
        byte_limit.count_rest(caller.user_id, conversation, CONVERSATION_BYTES)
        return json_response(conversation)

    @bp.delete("/conversations/<conversation_id:str>/participants/<user_id:str>")
    @endpoint(
        "Leave a group, or remove a participant",
        tag=TAG,
        auth=auth,
        limit=WRITING,
        responses={204: None},
        errors=(NotFound, Forbidden),
    )
    async def remove_participant(
        request: Request, caller: Identity, conversation_id: str, user_id: str
    ) -> HTTPResponse:
        """The owner may remove everyone, an admin those who have no role, all others only themselves. If the owner
        leaves, the longest-standing admin, else member, becomes the owner."""
        byte_limit.take(caller.user_id, CONVERSATION_BYTES)
        await groups.remove_participant(caller.user_id, path_id(conversation_id), path_id(user_id))
        return json_response()

    @bp.patch("/conversations/<conversation_id:str>/participants/<user_id:str>")
    @endpoint(
        "Set a participant's role",
        tag=TAG,
        auth=auth,
        limit=WRITING,
        body=models.RoleChange,
        responses={200: models.Conversation},
        errors=(NotFound, Forbidden),
    )
    async def set_role(
        request: Request, caller: Identity, conversation_id: str, user_id: str, *, body: models.RoleChange
    ) -> HTTPResponse:
        """Only the owner may do that. With the role `owner` they hand the group over, and become an admin."""
        byte_limit.take(caller.user_id, CONVERSATION_BYTES)
        ids = path_id(conversation_id), path_id(user_id)
        conversation = await groups.set_role(caller.user_id, *ids, body.role)
        byte_limit.count_rest(caller.user_id, conversation, CONVERSATION_BYTES)
        return json_response(conversation)


def _add_invitation_routes(
    bp: Blueprint, invitations: InvitationService, auth: Authentication, byte_limit: ByteLimit
) -> None:
    @bp.post("/conversations/<conversation_id:str>/invitations")
    @endpoint(
        "Create an invitation",
        tag=TAG,
        auth=auth,
        limit=INVITING,
        responses={201: models.NewInvitation},
        errors=(NotFound, Forbidden),
    )
    async def invite(request: Request, caller: Identity, conversation_id: str) -> HTTPResponse:
        """Only the owner and admins may do that. Any number of users can join by an invitation. It ends after seven
        days, when its inviter is neither owner nor admin any more, and with 50 newer ones."""
        return json_response(await invitations.invite(caller.user_id, path_id(conversation_id)), 201)

    @bp.delete("/conversations/<conversation_id:str>/invitations")
    @endpoint(
        "End all invitations",
        tag=TAG,
        auth=auth,
        limit=WRITING,
        responses={204: None},
        errors=(NotFound, Forbidden),
    )
    async def end_invitations(request: Request, caller: Identity, conversation_id: str) -> HTTPResponse:
        """Only the owner and admins may do that."""
        await invitations.end_all(caller.user_id, path_id(conversation_id))
        return json_response()

    @bp.get("/invitations/<token:str>")
    @endpoint(
        "Look at an invitation",
        tag=TAG,
        auth=auth,
        limit=JOINING,
        responses={200: models.Invitation},
        errors=(NotFound,),
    )
    async def preview_invitation(request: Request, caller: Identity, token: str) -> HTTPResponse:
        return json_response(await invitations.preview(caller.user_id, token))

    @bp.post("/invitations/<token:str>")
    @endpoint(
        "Accept an invitation",
        tag=TAG,
        auth=auth,
        limit=JOINING,
        responses={200: models.Conversation},
        errors=(NotFound, Forbidden),
    )
    async def accept_invitation(request: Request, caller: Identity, token: str) -> HTTPResponse:
        """Joins the group; 403 if it is full. Users who have left it can return, and those who were removed by an
        invitation from after the removal."""
        byte_limit.take(caller.user_id, CONVERSATION_BYTES)
        conversation = await invitations.accept(caller.user_id, token)
        byte_limit.count_rest(caller.user_id, conversation, CONVERSATION_BYTES)
        return json_response(conversation)


def _add_message_routes(
    bp: Blueprint,
    messages: MessageService,
    conversations: ConversationService,
    auth: Authentication,
    byte_limit: ByteLimit,
) -> None:
    @bp.get("/conversations/<conversation_id:str>/messages")
    @endpoint(
        "List messages",
        tag=TAG,
        auth=auth,
        query=models.MessagesQuery,
        responses={200: models.MessagePage},
        errors=(NotFound,),
    )
    async def list_messages(
        request: Request, caller: Identity, conversation_id: str, *, query: models.MessagesQuery
    ) -> HTTPResponse:
        """A page of history, ascending by `seq`; or, with `after_rev`, the messages changed since, ascending by `rev`.

        Long messages come in pages of fewer than `limit`; `next` is set if there are more.
        """
        conversation_id = path_id(conversation_id)
        if query.after_rev is None:
            limit = min(query.limit or HISTORY_LIMIT, models.MAX_PAGE)
            page = await messages.history(caller.user_id, conversation_id, query.before, limit)
        elif query.before is None:
            page = await messages.changes(
                caller.user_id, conversation_id, query.after_rev, query.limit or CHANGES_LIMIT
            )
        else:
            raise ValidationFailed.of("after_rev", "Give either `before` or `after_rev`, not both.")
        return json_response(page._asdict())

    @bp.post("/conversations/<conversation_id:str>/messages")
    @endpoint(
        "Send a message",
        tag=TAG,
        auth=auth,
        limit=SENDING,
        body=models.NewMessage,
        responses={201: models.Message, 200: models.Message},
        errors=(NotFound, Blocked, NonceReused),
    )
    async def send_message(
        request: Request, caller: Identity, conversation_id: str, *, body: models.NewMessage
    ) -> HTTPResponse:
        """If the nonce was used before, the answer is 200 and the existing message."""
        byte_limit.take_message(caller.user_id, body.content)
        message, created = await messages.send(
            caller.user_id, path_id(conversation_id), body.content, body.nonce, body.reply_to
        )
        return json_response(message, 201 if created else 200)

    @bp.patch("/conversations/<conversation_id:str>/messages/<message_id:str>")
    @endpoint(
        "Edit a message",
        tag=TAG,
        auth=auth,
        limit=WRITING,
        body=models.MessageChange,
        responses={200: models.Message},
        errors=(NotFound, Blocked, Forbidden),
    )
    async def edit_message(
        request: Request, caller: Identity, conversation_id: str, message_id: str, *, body: models.MessageChange
    ) -> HTTPResponse:
        byte_limit.take_message(caller.user_id, body.content)
        message = await messages.edit(caller.user_id, path_id(conversation_id), path_id(message_id), body.content)
        return json_response(message)

    @bp.delete("/conversations/<conversation_id:str>/messages/<message_id:str>")
    @endpoint(
        "Delete a message",
        tag=TAG,
        auth=auth,
        limit=WRITING,
        responses={200: models.Message},
        errors=(NotFound, Forbidden),
    )
    async def delete_message(request: Request, caller: Identity, conversation_id: str, message_id: str) -> HTTPResponse:
        """The message remains as a tombstone without content, which is the answer."""
        return json_response(await messages.delete(caller.user_id, path_id(conversation_id), path_id(message_id)))

    async def react(caller: Identity, conversation_id: str, message_id: str, emoji: str, on: bool) -> dict[str, Any]:
        ids = path_id(conversation_id), path_id(message_id)
        byte_limit.take(caller.user_id, CHANGE_BYTES)
        message = await messages.react(caller.user_id, *ids, unquote(emoji), on=on)
        byte_limit.count_rest(caller.user_id, message, CHANGE_BYTES)
        return message

    @bp.put("/conversations/<conversation_id:str>/messages/<message_id:str>/reactions/<emoji:str>")
    @endpoint(
        "Add a reaction",
        tag=TAG,
        auth=auth,
        limit=WRITING,
        responses={200: models.Message},
        errors=(NotFound, Blocked, Forbidden, ValidationFailed),
    )
    async def add_reaction(
        request: Request, caller: Identity, conversation_id: str, message_id: str, emoji: str
    ) -> HTTPResponse:
        return json_response(await react(caller, conversation_id, message_id, emoji, True))

    @bp.delete("/conversations/<conversation_id:str>/messages/<message_id:str>/reactions/<emoji:str>")
    @endpoint(
        "Remove a reaction",
        tag=TAG,
        auth=auth,
        limit=WRITING,
        responses={200: models.Message},
        errors=(NotFound, Forbidden, ValidationFailed),
    )
    async def remove_reaction(
        request: Request, caller: Identity, conversation_id: str, message_id: str, emoji: str
    ) -> HTTPResponse:
        return json_response(await react(caller, conversation_id, message_id, emoji, False))

    @bp.put("/conversations/<conversation_id:str>/read")
    @endpoint(
        "Set the read mark",
        tag=TAG,
        auth=auth,
        limit=WRITING,
        body=models.ReadMark,
        responses={200: models.ReadState},
        errors=(NotFound,),
    )
    async def mark_read(
        request: Request, caller: Identity, conversation_id: str, *, body: models.ReadMark
    ) -> HTTPResponse:
        """The read mark only moves forward, at most to the last message."""
        return json_response(await conversations.mark_read(caller.user_id, path_id(conversation_id), body.seq))


def _user_id(part: str) -> str:
    try:
        return path_id(part.strip())
    except NotFound:
        raise ValidationFailed.of("user_ids", "This must be a list of user ids, separated by commas.") from None
