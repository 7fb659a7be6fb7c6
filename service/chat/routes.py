"""The HTTP edge of the chat: conversations, messages, presence, and the way to the socket."""

from typing import Any
from urllib.parse import unquote

from sanic import Blueprint, HTTPResponse, Request

from service.chat import models
from service.chat.conversation_service import ConversationService
from service.chat.frames import MAX_WATCHED
from service.chat.message_service import MessageService
from service.chat.socket import ChatSocket
from service.common.errors import Forbidden, NonceReused, NotFound, OriginNotAllowed, ValidationFailed
from service.common.identity import Identity, Verifier
from service.common.ids import path_id
from service.common.models import ConnectionQuery
from service.edge.connection_opener import ConnectionOpener
from service.http.authentication import Authentication
from service.http.endpoint import connection, endpoint, json_response
from service.http.limits import SEARCH, SENDING, WRITING, RateLimits
from service.http.shielded_tasks import ShieldedTasks
from service.realtime.presence_service import PresenceService
from service.realtime.websocket import WebSocket
from service.telemetry.metrics import Metrics
from service.telemetry.tracing import Tracing

TAG = "chat"
HISTORY_LIMIT = 50
CHANGES_LIMIT = 200


def blueprint(
    chat: MessageService,
    membership: ConversationService,
    presence: PresenceService,
    auth: Authentication,
    verifier: Verifier,
    limits: RateLimits,
    upgrade: ConnectionOpener,
    metrics: Metrics,
    tracing: Tracing | None = None,
) -> Blueprint:
    bp = Blueprint("chat", url_prefix="/api/v1")
    conversations(bp, membership, auth)
    messages(bp, chat, membership, auth)

    @bp.get("/presence")
    @endpoint(
        "Who is online",
        tag=TAG,
        auth=auth,
        limit=SEARCH,
        query=models.PresenceQuery,
        answers={200: models.PresenceStates},
    )
    async def get_presence(request: Request, caller: Identity, *, query: models.PresenceQuery) -> HTTPResponse:
        """The state of each of at most 200 users, by id."""
        user_ids = list(dict.fromkeys(path_id_of_list(part) for part in query.user_ids.split(",")))
        if len(user_ids) > MAX_WATCHED:
            raise ValidationFailed.of("user_ids", f"At most {MAX_WATCHED} at a time.")
        return json_response(await presence.states(user_ids))

    @bp.get("/ws/chat")
    @connection("Chat on a WebSocket", tag=TAG, kind="websocket", query=ConnectionQuery, errors=(OriginNotAllowed,))
    async def socket(request: Request, *, query: ConnectionQuery) -> HTTPResponse:
        """What it carries is in `/asyncapi.json`."""

        async def begin(websocket: WebSocket) -> None:
            shielded_tasks: ShieldedTasks = request.app.ctx.shielded_tasks
            await ChatSocket(
                websocket, chat, membership, presence, verifier, limits, shielded_tasks, metrics, tracing
            ).begin()

        return await upgrade.open_socket(request, "chat", begin, nest_notice_fields=True)

    return bp


def conversations(bp: Blueprint, membership: ConversationService, auth: Authentication) -> None:
    @bp.post("/conversations")
    @endpoint(
        "Begin a conversation",
        tag=TAG,
        auth=auth,
        limit=WRITING,
        body=models.NewConversation,
        answers={201: models.Conversation, 200: models.Conversation},
    )
    async def create_conversation(request: Request, caller: Identity, *, body: models.NewConversation) -> HTTPResponse:
        """With one other participant and no title: the direct conversation of the two, 200 if it exists already."""
        conversation, new = await membership.create(caller.user_id, body.participant_ids, body.title)
        return json_response(conversation, 201 if new else 200)

    @bp.get("/conversations")
    @endpoint(
        "List one's conversations",
        tag=TAG,
        auth=auth,
        query=models.ConversationsQuery,
        answers={200: models.ConversationPage},
    )
    async def list_conversations(
        request: Request, caller: Identity, *, query: models.ConversationsQuery
    ) -> HTTPResponse:
        """Newest activity first."""
        items, following = await membership.page(caller.user_id, query.limit, query.before)
        return json_response({"items": items, "next": following})

    @bp.get("/conversations/<conversation_id:str>")
    @endpoint("Look at a conversation", tag=TAG, auth=auth, answers={200: models.Conversation}, errors=(NotFound,))
    async def get_conversation(request: Request, caller: Identity, conversation_id: str) -> HTTPResponse:
        return json_response(await membership.get(caller.user_id, path_id(conversation_id)))

    @bp.patch("/conversations/<conversation_id:str>")
    @endpoint(
        "Rename a group",
        tag=TAG,
        auth=auth,
        limit=WRITING,
        body=models.ConversationChange,
        answers={200: models.Conversation},
        errors=(NotFound, Forbidden),
    )
    async def rename_conversation(
        request: Request, caller: Identity, conversation_id: str, *, body: models.ConversationChange
    ) -> HTTPResponse:
        return json_response(await membership.rename(caller.user_id, path_id(conversation_id), body.title))

    @bp.post("/conversations/<conversation_id:str>/participants")
    @endpoint(
        "Add people to a group",
        tag=TAG,
        auth=auth,
        limit=WRITING,
        body=models.NewParticipants,
        answers={200: models.Conversation},
        errors=(NotFound, Forbidden),
    )
    async def add_participants(
        request: Request, caller: Identity, conversation_id: str, *, body: models.NewParticipants
    ) -> HTTPResponse:
        """Those who are in it already stay as they are."""
        return json_response(await membership.add(caller.user_id, path_id(conversation_id), body.user_ids))

    @bp.delete("/conversations/<conversation_id:str>/participants/<user_id:str>")
    @endpoint(
        "Leave a group, or take someone out of it",
        tag=TAG,
        auth=auth,
        limit=WRITING,
        answers={204: None},
        errors=(NotFound, Forbidden),
    )
    async def remove_participant(
        request: Request, caller: Identity, conversation_id: str, user_id: str
    ) -> HTTPResponse:
        """The owner takes out anyone, everyone else only themselves."""
        await membership.remove(caller.user_id, path_id(conversation_id), path_id(user_id))
        return json_response()


def messages(bp: Blueprint, chat: MessageService, membership: ConversationService, auth: Authentication) -> None:
    @bp.get("/conversations/<conversation_id:str>/messages")
    @endpoint(
        "Read messages",
        tag=TAG,
        auth=auth,
        query=models.MessagesQuery,
        answers={200: models.MessagePage},
        errors=(NotFound,),
    )
    async def list_messages(
        request: Request, caller: Identity, conversation_id: str, *, query: models.MessagesQuery
    ) -> HTTPResponse:
        """A page of history, ascending `seq`; with `after_rev`, what has changed since, ascending `rev`: fewer than
        `limit` at a time where they are long, and `next` where there are more."""
        conversation_id = path_id(conversation_id)
        if query.after_rev is None:
            limit = min(query.limit or HISTORY_LIMIT, models.MAX_PAGE)
            page = await chat.history(caller.user_id, conversation_id, query.before, limit)
        elif query.before is None:
            page = await chat.changes(caller.user_id, conversation_id, query.after_rev, query.limit or CHANGES_LIMIT)
        else:
            raise ValidationFailed.of("after_rev", "Give either `before` or `after_rev`.")
        return json_response(page._asdict())

    @bp.post("/conversations/<conversation_id:str>/messages")
    @endpoint(
        "Send a message",
        tag=TAG,
        auth=auth,
        limit=SENDING,
        body=models.NewMessage,
        answers={201: models.Message, 200: models.Message},
        errors=(NotFound, NonceReused),
    )
    async def send_message(
        request: Request, caller: Identity, conversation_id: str, *, body: models.NewMessage
    ) -> HTTPResponse:
        """200 and the first message where the nonce was seen before."""
        message, new = await chat.send(
            caller.user_id, path_id(conversation_id), body.content, body.nonce, body.reply_to
        )
        return json_response(message, 201 if new else 200)

    @bp.patch("/conversations/<conversation_id:str>/messages/<message_id:str>")
    @endpoint(
        "Edit a message",
        tag=TAG,
        auth=auth,
        limit=WRITING,
        body=models.MessageChange,
        answers={200: models.Message},
        errors=(NotFound, Forbidden),
    )
    async def edit_message(
        request: Request, caller: Identity, conversation_id: str, message_id: str, *, body: models.MessageChange
    ) -> HTTPResponse:
        message = await chat.edit(caller.user_id, path_id(conversation_id), path_id(message_id), body.content)
        return json_response(message)

    @bp.delete("/conversations/<conversation_id:str>/messages/<message_id:str>")
    @endpoint(
        "Delete a message",
        tag=TAG,
        auth=auth,
        limit=WRITING,
        answers={200: models.Message},
        errors=(NotFound, Forbidden),
    )
    async def delete_message(request: Request, caller: Identity, conversation_id: str, message_id: str) -> HTTPResponse:
        """It stays in its place as a tombstone without content, which is the answer."""
        return json_response(await chat.delete(caller.user_id, path_id(conversation_id), path_id(message_id)))

    async def react(caller: Identity, conversation_id: str, message_id: str, emoji: str, on: bool) -> dict[str, Any]:
        ids = path_id(conversation_id), path_id(message_id)
        return await chat.react(caller.user_id, *ids, unquote(emoji), on=on)

    @bp.put("/conversations/<conversation_id:str>/messages/<message_id:str>/reactions/<emoji:str>")
    @endpoint(
        "React to a message",
        tag=TAG,
        auth=auth,
        limit=WRITING,
        answers={200: models.Message},
        errors=(NotFound, Forbidden, ValidationFailed),
    )
    async def add_reaction(
        request: Request, caller: Identity, conversation_id: str, message_id: str, emoji: str
    ) -> HTTPResponse:
        return json_response(await react(caller, conversation_id, message_id, emoji, True))

    @bp.delete("/conversations/<conversation_id:str>/messages/<message_id:str>/reactions/<emoji:str>")
    @endpoint(
        "Take a reaction back",
        tag=TAG,
        auth=auth,
        limit=WRITING,
        answers={200: models.Message},
        errors=(NotFound, Forbidden, ValidationFailed),
    )
    async def remove_reaction(
        request: Request, caller: Identity, conversation_id: str, message_id: str, emoji: str
    ) -> HTTPResponse:
        return json_response(await react(caller, conversation_id, message_id, emoji, False))

    @bp.put("/conversations/<conversation_id:str>/read")
    @endpoint(
        "Say how far one has read",
        tag=TAG,
        auth=auth,
        limit=WRITING,
        body=models.ReadMark,
        answers={200: models.ReadState},
        errors=(NotFound,),
    )
    async def mark_read(
        request: Request, caller: Identity, conversation_id: str, *, body: models.ReadMark
    ) -> HTTPResponse:
        """Never back, and never beyond the last message."""
        return json_response(await membership.read(caller.user_id, path_id(conversation_id), body.seq))


def path_id_of_list(part: str) -> str:
    try:
        return path_id(part.strip())
    except NotFound:
        raise ValidationFailed.of("user_ids", "It is a list of user ids, separated by commas.") from None
