"""The HTTP routes of messages and their reactions."""

from functools import partial
from typing import Any
from urllib.parse import unquote

from sanic import Blueprint, HTTPResponse, Request

from service.chat import models
from service.chat.message_service import MessageService
from service.common.errors import Blocked, Forbidden, NonceReused, NotFound, ValidationFailed
from service.common.identity import Identity
from service.common.ids import path_id
from service.common.moderation import Moderators
from service.http.authentication import Authentication
from service.http.byte_limit import CHANGE_BYTES, ByteLimit
from service.http.endpoint import endpoint, json_response
from service.http.limits import SENDING, WRITING

TAG = "chat"
HISTORY_LIMIT = 50
CHANGES_LIMIT = 200


def add_routes(
    bp: Blueprint, messages: MessageService, moderators: Moderators, auth: Authentication, byte_limit: ByteLimit
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
        byte_limit.take_message(caller.user_id, body.content, len(body.attachments))
        message, created = await messages.send(
            caller.user_id, path_id(conversation_id), body.content, body.nonce, body.reply_to, body.attachments
        )
        return json_response(message, 201 if created else 200)

    @bp.get("/conversations/<conversation_id:str>/messages/<message_id:str>")
    @endpoint("Get a message", tag=TAG, auth=auth, responses={200: models.Message}, errors=(NotFound,))
    async def get_message(request: Request, caller: Identity, conversation_id: str, message_id: str) -> HTTPResponse:
        """For example one that another replies to. A deleted one is a tombstone without content."""
        return json_response(await messages.get(caller.user_id, path_id(conversation_id), path_id(message_id)))

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
        """The message remains as a tombstone without content, which is the answer. A moderator deletes a message that
        was reported, of anybody and in any conversation."""
        ids = path_id(conversation_id), path_id(message_id)
        may_delete = partial(moderators.may_delete, caller, "message", ids[1])
        return json_response(await messages.delete(caller.user_id, *ids, may_delete))

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
