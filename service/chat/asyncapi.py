"""What the chat socket carries, for the AsyncAPI document: `frames` is what comes in, this is what goes out."""

from typing import Literal

from pydantic import BaseModel

from service.chat import frames
from service.chat.models import Conversation, Message, PresenceState
from service.common.models import ConnectionQuery
from service.edge.frames import Authenticate, Error, Ping, Pong
from service.http.asyncapi import Channel
from service.http.asyncapi import Message as Described


class ConversationPlace(BaseModel):
    conversation_id: str
    last_seq: int
    last_rev: int
    last_read_seq: int


class Hello(BaseModel):
    type: Literal["hello"]
    connection_id: str
    user_id: str
    server_time: str
    heartbeat_interval: int
    max_message_bytes: int
    token_expires_at: str
    conversations: list[ConversationPlace]


class Ack(BaseModel):
    """`data` is the Message of a `send_message`, and what else a frame is answered with."""

    type: Literal["ack"]
    ref: str | None
    data: Message | dict[str, object] | None = None


class NewMessage(BaseModel):
    type: Literal["new_message"]
    conversation_id: str
    data: Message


class MessageUpdated(BaseModel):
    type: Literal["message_updated"]
    conversation_id: str
    data: Message


class ReadState(BaseModel):
    user_id: str
    seq: int


class Read(BaseModel):
    type: Literal["read"]
    conversation_id: str
    data: ReadState


class TypingState(BaseModel):
    user_id: str
    expires_in: int


class Typing(BaseModel):
    type: Literal["typing"]
    conversation_id: str
    data: TypingState


class UserPresence(PresenceState):
    user_id: str


class PresenceService(BaseModel):
    type: Literal["presence"]
    data: UserPresence


class ConversationUpdated(BaseModel):
    type: Literal["conversation_updated"]
    conversation_id: str
    data: Conversation


class ConversationRemoved(BaseModel):
    type: Literal["conversation_removed"]
    conversation_id: str


class SyncState(BaseModel):
    messages: list[Message]
    last_rev: int
    complete: bool


class Sync(BaseModel):
    type: Literal["sync"]
    conversation_id: str
    data: SyncState


class ResetReason(BaseModel):
    reason: str


class Reset(BaseModel):
    type: Literal["reset"]
    data: ResetReason


class Expiry(BaseModel):
    token_expires_at: str


class TokenExpiring(BaseModel):
    type: Literal["token_expiring"]
    data: Expiry


class Reconnect(BaseModel):
    reconnect_after_ms: int


class Draining(BaseModel):
    type: Literal["draining"]
    data: Reconnect


class Words(BaseModel):
    message: str


class Announcement(BaseModel):
    type: Literal["announcement"]
    data: Words


def channel() -> Channel:
    return Channel(
        "chat",
        "/api/v1/ws/chat",
        "Chat, both ways. Close codes say what to do next: 1008 sign in again, 1012 come back as told, 1013 back off.",
        "ws",
        received=[
            Described("send_message", frames.SendMessage, "Say something; the ack comes once it is stored."),
            Described("read", frames.Read, "Say how far one has read."),
            Described("typing", frames.Typing, "Say that one is writing."),
            Described("sync", frames.Sync, "Ask for what was missed; a `sync` for each conversation, then the ack."),
            Described("watch_presence", frames.WatchPresence, "Follow these users, in place of those before."),
            Described("authenticate", Authenticate, "Show a fresh token and stay connected."),
            Described("ping", Ping, "Ask for a pong."),
        ],
        sent=[
            Described("hello", Hello, "The first, with where the 200 most recently active conversations stand."),
            Described("ack", Ack, "The frame with this ref was done."),
            Described("error", Error, "The frame with this ref was refused; the socket stays open."),
            Described("pong", Pong, "The answer to a ping."),
            Described("new_message", NewMessage, "A message was stored. Durable, in the order of rev."),
            Described("message_updated", MessageUpdated, "A message changed. Durable, in the order of rev."),
            Described("read", Read, "Someone has read up to there."),
            Described("typing", Typing, "Someone is writing, for as many seconds."),
            Described("presence", PresenceService, "Someone watched came or went."),
            Described("conversation_updated", ConversationUpdated, "A conversation is new or has changed."),
            Described("conversation_removed", ConversationRemoved, "One takes no part in it any longer."),
            Described("sync", Sync, "What was missed of one conversation."),
            Described("reset", Reset, "Events may have been missed: sync."),
            Described("token_expiring", TokenExpiring, "The token ends in a minute: authenticate."),
            Described("draining", Draining, "The server stops: come back then."),
            Described("announcement", Announcement, "A word from the operator, to everyone."),
        ],
        query=ConnectionQuery,
    )
