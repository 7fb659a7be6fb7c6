"""The HTTP routes of conversations: creating, listing and reading them, read marks."""

from sanic import Blueprint, HTTPResponse, Request

from service.chat import models
from service.chat.conversation_service import ConversationService
from service.common.errors import Forbidden, NotFound
from service.common.identity import Identity
from service.common.ids import path_id
from service.http.authentication import Authentication
from service.http.byte_limit import CONVERSATION_BYTES, ByteLimit
from service.http.endpoint import endpoint, json_response
from service.http.limits import WRITING

TAG = "chat"


def add_routes(bp: Blueprint, conversations: ConversationService, auth: Authentication, byte_limit: ByteLimit) -> None:
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
