"""The HTTP routes that change groups: title and history, participants, roles."""

from sanic import Blueprint, HTTPResponse, Request

from service.chat import models
from service.chat.group_service import GroupService
from service.common.errors import Forbidden, NotFound
from service.common.identity import Identity
from service.common.ids import path_id
from service.http.authentication import Authentication
from service.http.byte_limit import CONVERSATION_BYTES, ByteLimit
from service.http.endpoint import endpoint, json_response
from service.http.limits import WRITING

TAG = "chat"


def add_routes(bp: Blueprint, groups: GroupService, auth: Authentication, byte_limit: ByteLimit) -> None:
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
