"""The HTTP routes of what users set for themselves: muted and archived conversations, the beginning of a history."""

from sanic import Blueprint, HTTPResponse, Request

from service.chat import models
from service.chat.settings_service import SettingsService
from service.common.errors import NotFound
from service.common.identity import Identity
from service.common.ids import path_id
from service.http.authentication import Authentication
from service.http.endpoint import endpoint, json_response
from service.http.limits import WRITING

TAG = "chat"


def add_routes(bp: Blueprint, settings: SettingsService, auth: Authentication) -> None:
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
