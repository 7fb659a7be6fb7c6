"""HTTP routes for the servers of a site beside Loa."""

from collections.abc import Awaitable, Callable

from sanic import HTTPResponse, Request

from service.chat.models import Message
from service.common.errors import Banned, Forbidden, NonceReused, NotFound
from service.http.authentication import Authenticator
from service.http.blueprint import Blueprint
from service.http.endpoint import endpoint, json_response
from service.http.limits import ANNOUNCING, DELETING, NOTIFYING, SERVER_WRITING
from service.server_api.conversations import ServerConversations
from service.server_api.external_ids import path_external_id
from service.server_api.models import (
    Accepted,
    AccessToken,
    Announcement,
    GroupChange,
    NewNotification,
    NewServerConversation,
    NewServerMessage,
    NewToken,
    Notified,
    ServerConversation,
    ServerUser,
    ServerUserState,
    UserFields,
)
from service.server_api.notifications import ServerNotifications
from service.server_api.users import ServerUsers

TAG = "server"
PREFIX = "/api/v1/server"
BODY_LIMITS = dict.fromkeys((f"{PREFIX}/notifications".encode(), f"{PREFIX}/conversations".encode()), 512 * 1024)
"""By path, in bytes: a thousand external ids of 255 characters do not fit into the limit of all other bodies."""


def blueprint(
    users: ServerUsers,
    notifications: ServerNotifications,
    conversations: ServerConversations,
    announce: Callable[[str], Awaitable[None]],
    auth: Authenticator,
) -> Blueprint:
    """`announce(message)` sends a message to everybody who is connected, and keeps it for others."""
    bp = Blueprint("server_api", url_prefix=PREFIX)
    _add_user_routes(bp, users, auth)
    _add_conversation_routes(bp, conversations, auth)

    @bp.post("/notifications")
    @endpoint(
        "Notify users",
        tag=TAG,
        auth=auth,
        limit=NOTIFYING,
        body=NewNotification,
        responses={202: Notified},
        errors=(NonceReused,),
    )
    async def notify(request: Request, caller: str, *, body: NewNotification) -> HTTPResponse:
        """Each user gets a notification of their own, on all devices. If the request fails, some may have it: repeat it
        with the same `nonce`."""
        return json_response(await notifications.send(caller, body), 202)

    @bp.post("/announcements")
    @endpoint(
        "Announce something to everybody",
        tag=TAG,
        auth=auth,
        limit=ANNOUNCING,
        body=Announcement,
        responses={202: Accepted},
    )
    async def post_announcement(request: Request, caller: str, *, body: Announcement) -> HTTPResponse:
        """Every open chat socket receives it, on every process. Users who are away can get it for three days."""
        await announce(body.message)
        return json_response(Accepted(), 202)

    return bp


def _add_user_routes(bp: Blueprint, users: ServerUsers, auth: Authenticator) -> None:
    @bp.put("/users/<external_id:str>")
    @endpoint(
        "Create or change a user",
        tag=TAG,
        auth=auth,
        limit=SERVER_WRITING,
        body=UserFields,
        responses={201: ServerUser, 200: ServerUser},
    )
    async def put_user(request: Request, caller: str, external_id: str, *, body: UserFields) -> HTTPResponse:
        """201 if the user is new. People whose tokens the site issues itself need not be created: the first token
        does it."""
        user, created = await users.put(path_external_id(external_id), body)
        return json_response(user, 201 if created else 200)

    @bp.get("/users/<external_id:str>")
    @endpoint("Get a user", tag=TAG, auth=auth, responses={200: ServerUserState}, errors=(NotFound,))
    async def get_user(request: Request, caller: str, external_id: str) -> HTTPResponse:
        """With what they have not read, and whether they are online, even if they do not show that to others."""
        return json_response(await users.get(path_external_id(external_id)))

    @bp.delete("/users/<external_id:str>")
    @endpoint(
        "Delete a user",
        tag=TAG,
        auth=auth,
        limit=DELETING,
        responses={202: Accepted},
        errors=(NotFound,),
    )
    async def delete_user(request: Request, caller: str, external_id: str) -> HTTPResponse:
        """The user's sessions end and the profile is erased at once; what they have written is deleted in the
        background. Meanwhile the external id may be used for somebody new."""
        await users.delete(path_external_id(external_id))
        return json_response(Accepted(), 202)

    @bp.post("/users/<external_id:str>/tokens")
    @endpoint(
        "Issue an access token for a user",
        tag=TAG,
        auth=auth,
        limit=SERVER_WRITING,
        body=NewToken,
        body_required=False,
        responses={201: AccessToken},
        errors=(Banned, NotFound),
    )
    async def issue_token(request: Request, caller: str, external_id: str, *, body: NewToken) -> HTTPResponse:
        """For sites whose own sessions are cookies. Each token has a session of its own, named after the API key in the
        user's list of sessions; beyond 100, the oldest ones end."""
        return json_response(await users.issue_token(caller, path_external_id(external_id), body), 201)

    @bp.post("/users/<external_id:str>/revoke")
    @endpoint(
        "Revoke a user's tokens",
        tag=TAG,
        auth=auth,
        limit=SERVER_WRITING,
        responses={204: None},
        errors=(NotFound,),
    )
    async def revoke_tokens(request: Request, caller: str, external_id: str) -> HTTPResponse:
        """Every token issued so far becomes invalid, also those that the site has issued itself, and every connection
        closes, on every process. A JWT says in whole seconds when it was issued: one of the current second is invalid,
        too."""
        await users.revoke(path_external_id(external_id))
        return json_response()


def _add_conversation_routes(bp: Blueprint, conversations: ServerConversations, auth: Authenticator) -> None:
    @bp.post("/conversations")
    @endpoint(
        "Create a conversation",
        tag=TAG,
        auth=auth,
        limit=SERVER_WRITING,
        body=NewServerConversation,
        responses={201: ServerConversation, 200: ServerConversation},
    )
    async def create_conversation(request: Request, caller: str, *, body: NewServerConversation) -> HTTPResponse:
        """200 if the conversation exists already, which then stays as it is."""
        conversation, created = await conversations.create(body)
        return json_response(conversation, 201 if created else 200)

    @bp.get("/conversations/<external_id:str>")
    @endpoint("Get a conversation", tag=TAG, auth=auth, responses={200: ServerConversation}, errors=(NotFound,))
    async def get_conversation(request: Request, caller: str, external_id: str) -> HTTPResponse:
        return json_response(await conversations.get(path_external_id(external_id)))

    @bp.patch("/conversations/<external_id:str>")
    @endpoint(
        "Change a conversation",
        tag=TAG,
        auth=auth,
        limit=SERVER_WRITING,
        body=GroupChange,
        responses={200: ServerConversation},
        errors=(NotFound, Forbidden),
    )
    async def change_conversation(
        request: Request, caller: str, external_id: str, *, body: GroupChange
    ) -> HTTPResponse:
        """Those who have left, or were removed, can be added again. 403 if the group is full."""
        return json_response(await conversations.change(path_external_id(external_id), body))

    @bp.post("/conversations/<external_id:str>/messages")
    @endpoint(
        "Send a message for a participant",
        tag=TAG,
        auth=auth,
        limit=SERVER_WRITING,
        body=NewServerMessage,
        responses={201: Message, 200: Message},
        errors=(Banned, NotFound, NonceReused),
    )
    async def post_message(request: Request, caller: str, external_id: str, *, body: NewServerMessage) -> HTTPResponse:
        """If the nonce was used before, the answer is 200 and the existing message. 403 if a moderator has banned the
        sender."""
        message, created = await conversations.send(path_external_id(external_id), body)
        return json_response(message, 201 if created else 200)
