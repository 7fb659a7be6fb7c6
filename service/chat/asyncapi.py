"""The chat socket for the AsyncAPI document: models of the frames it sends; `frames` has those it receives."""

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel

from service.chat import frames
from service.chat.models import Conversation, Message, PresenceState
from service.common.models import ConnectionQuery
from service.common.profiles import Profile
from service.edge.frames import Authenticate, Error, Ping, Pong
from service.http.asyncapi import Channel
from service.http.asyncapi import Message as Frame


class ConversationHead(BaseModel):
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
    conversations: list[ConversationHead]


class Ack(BaseModel):
    """`data` is the Message if the frame was a `send_message`, else the result of the frame, if it has one."""

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


class SkippedRev(BaseModel):
    rev: int


class RevSkipped(BaseModel):
    type: Literal["rev_skipped"]
    conversation_id: str
    data: SkippedRev


class ReadState(BaseModel):
    user_id: str
    seq: int


class Read(BaseModel):
    type: Literal["read"]
    conversation_id: str
    data: ReadState


class TypingState(BaseModel):
    """`expires_in`: seconds; 0 if the user no longer types."""

    user_id: str
    expires_in: int


class Typing(BaseModel):
    type: Literal["typing"]
    conversation_id: str
    data: TypingState


class UserPresence(PresenceState):
    user_id: str


class Presence(BaseModel):
    type: Literal["presence"]
    data: UserPresence


class ProfileUpdated(BaseModel):
    type: Literal["profile_updated"]
    data: Profile


class ClearedHistory(BaseModel):
    seq: int


class HistoryCleared(BaseModel):
    type: Literal["history_cleared"]
    conversation_id: str
    data: ClearedHistory


class BlockState(BaseModel):
    user_id: str
    blocked: bool


class BlockUpdated(BaseModel):
    type: Literal["block_updated"]
    data: BlockState


class AnnouncedConversation(Conversation):
    """In a conversation of more than 101 participants, `last_read_seq` and `unread_count` are null for all but those
    who were just added: a client keeps the ones it has, with their `last_seq` and `last_rev`, or fetches the
    conversation if it has none. Unless the user has just set them, `archived` and `mention_count` are null there, too:
    a client keeps the ones it has, and its `muted_until`."""

    last_read_seq: int | None  # type: ignore[assignment]  # wider than in an answer: only the schema is used
    unread_count: int | None  # type: ignore[assignment]
    mention_count: int | None  # type: ignore[assignment]
    archived: bool | None  # type: ignore[assignment]


class ConversationUpdated(BaseModel):
    type: Literal["conversation_updated"]
    conversation_id: str
    data: AnnouncedConversation


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


class AnnouncementBody(BaseModel):
    message: str


class Announcement(BaseModel):
    type: Literal["announcement"]
    data: AnnouncementBody


def channel(post_events: Sequence[Frame]) -> Channel:
    """`post_events`: those of posts."""
    return Channel(
        "chat",
        "/api/v1/ws/chat",
        "The chat, in both directions. `x-close-reasons` says why the server closes it, and what a client does then.",
        "ws",
        received=[
            Frame("send_message", frames.SendMessage, "Send a message; it is acknowledged once it is stored."),
            Frame("read", frames.Read, "Set the read mark."),
            Frame("typing", frames.Typing, "Tell the other participants that you are typing, or no longer."),
            Frame(
                "sync",
                frames.Sync,
                "Request missed messages; the answer is a `sync` for each conversation, then the ack.",
            ),
            Frame(
                "watch_presence",
                frames.WatchPresence,
                "Subscribe to the presence of these users, instead of those before.",
            ),
            Frame(
                "watch_posts",
                frames.WatchPosts,
                "Subscribe to the changes of these posts, instead of those before. A post that is loaded after the ack "
                "has all changes of which no event follows.",
            ),
            Frame("authenticate", Authenticate, "Replace the token of the connection with a fresh one."),
            Frame("ping", Ping, "Request a pong."),
        ],
        sent=[
            Frame("hello", Hello, "The first frame, with the heads of the 200 most recently active conversations."),
            Frame("ack", Ack, "The frame with this ref succeeded."),
            Frame("error", Error, "The frame with this ref failed; the socket stays open."),
            Frame("pong", Pong, "The answer to a ping."),
            Frame("new_message", NewMessage, "A message was stored. Durable, in the order of `rev`."),
            Frame("message_updated", MessageUpdated, "A message changed. Durable, in the order of `rev`."),
            Frame(
                "rev_skipped",
                RevSkipped,
                "The change with this `rev` is of a message that you do not see, because you joined after it was sent.",
            ),
            Frame(
                "read",
                Read,
                "A participant moved their read mark. Of more than 100, only the user's own connections get it.",
            ),
            Frame(
                "typing",
                Typing,
                "A participant is typing; expires after `expires_in` seconds. Not in a conversation of more than 100.",
            ),
            Frame("presence", Presence, "A watched user went online or offline."),
            Frame("conversation_updated", ConversationUpdated, "A conversation was created or has changed."),
            Frame("conversation_removed", ConversationRemoved, "You are no longer a participant of the conversation."),
            Frame("profile_updated", ProfileUpdated, "The user has changed their own profile, in one of their tabs."),
            Frame(
                "history_cleared",
                HistoryCleared,
                "The user has deleted the messages up to this `seq` for themselves, in one of their tabs.",
            ),
            Frame("block_updated", BlockUpdated, "The user has blocked or unblocked somebody, in one of their tabs."),
            *post_events,
            Frame("sync", Sync, "The missed messages of one conversation."),
            Frame("reset", Reset, "Events may have been missed: send `sync`."),
            Frame("token_expiring", TokenExpiring, "The token expires within a minute: send `authenticate`."),
            Frame("draining", Draining, "The server is shutting down: reconnect after `reconnect_after_ms`."),
            Frame("announcement", Announcement, "An announcement of the operator to all users."),
        ],
        query=ConnectionQuery,
    )
