"""The HTTP routes of invitations to groups."""

from sanic import Blueprint, HTTPResponse, Request

from service.chat import models
from service.chat.invitation_service import InvitationService
from service.common.errors import Forbidden, NotFound
from service.common.identity import Identity
from service.common.ids import path_id
from service.http.authentication import Authentication
from service.http.byte_limit import CONVERSATION_BYTES, ByteLimit
from service.http.endpoint import endpoint, json_response
from service.http.limits import INVITING, JOINING, WRITING

TAG = "chat"


def add_routes(bp: Blueprint, invitations: InvitationService, auth: Authentication, byte_limit: ByteLimit) -> None:
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
