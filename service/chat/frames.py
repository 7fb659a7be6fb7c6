"""The frames that a client sends on the chat socket: one model for each type."""

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from service.attachments.models import WithAttachments
from service.chat.models import Rev, Seq
from service.common.content import Nonce
from service.common.ids import Id
from service.edge.frames import Authenticate, ClientFrame, Ping

MAX_WATCHED = 200
MAX_WATCHED_POSTS = 50
MAX_SYNCED = 2000


class SendMessage(WithAttachments, ClientFrame):
    type: Literal["send_message"]
    conversation_id: Id
    nonce: Nonce | None = None
    reply_to: Id | None = None


class Read(ClientFrame):
    type: Literal["read"]
    conversation_id: Id
    seq: Seq


class Typing(ClientFrame):
    """`active`: false as soon as the user no longer types, because they have emptied the field or left it."""

    type: Literal["typing"]
    conversation_id: Id
    active: bool = True


class Sync(ClientFrame):
    """`conversations` maps each conversation to the rev up to which the client has all messages."""

    type: Literal["sync"]
    conversations: Annotated[dict[Id, Rev], Field(max_length=MAX_SYNCED)]


class WatchPresence(ClientFrame):
    type: Literal["watch_presence"]
    user_ids: Annotated[list[Id], Field(max_length=MAX_WATCHED)]


class WatchPosts(ClientFrame):
    """`post_ids`: also `feed`, for new posts."""

    type: Literal["watch_posts"]
    post_ids: Annotated[list[Id | Literal["feed"]], Field(max_length=MAX_WATCHED_POSTS)]


Frame = SendMessage | Read | Typing | Sync | WatchPresence | WatchPosts | Authenticate | Ping

FRAMES: TypeAdapter[Frame] = TypeAdapter(Annotated[Frame, Field(discriminator="type")])
