"""The channels of the notification stream and socket in the AsyncAPI document."""

from typing import Any, Literal

from pydantic import BaseModel, create_model

from service.edge.frames import Authenticate, Error, Ping, Pong
from service.http.asyncapi import Channel, Message
from service.notifications.models import Notification
from service.notifications.preferences import Preferences
from service.notifications.socket import SocketQuery
from service.notifications.stream import StreamQuery


class NotificationHello(BaseModel):
    """`seq` is the number of the last notification; `heartbeat_interval` is in seconds."""

    seq: int
    unread_count: int
    heartbeat_interval: int
    token_expires_at: str


class UnreadState(BaseModel):
    """Neither `seq` nor `seq - unread_count` ever decreases. If two arrive out of order, keep the larger of each."""

    unread_count: int
    seq: int


class DeletedNumbers(BaseModel):
    """`seqs`: the numbers of the notifications, ascending."""

    seqs: list[int]


class ResetReason(BaseModel):
    reason: str


class TokenExpiry(BaseModel):
    token_expires_at: str


class Reconnect(BaseModel):
    reconnect_after_ms: int


class Heartbeat(BaseModel):
    server_time: str


class Authenticated(BaseModel):
    type: Literal["ack"]
    ref: str | None
    data: TokenExpiry


NAMED: list[tuple[str, type[BaseModel], str]] = [
    ("hello", NotificationHello, "The first event: the state of the user's notifications."),
    ("unread_count", UnreadState, "The number of unread notifications has changed."),
    ("notifications_deleted", DeletedNumbers, "What these notifications are about has been deleted."),
    ("preferences_updated", Preferences, "The user's preferences have changed, on this device or another."),
    ("reset", ResetReason, "The client may have missed notifications: fetch the list."),
    ("token_expiring", TokenExpiry, "The token expires within a minute: authenticate or reconnect with a fresh one."),
    ("draining", Reconnect, "The server is stopping: reconnect after the given time."),
]

NOTIFICATION = Message(
    "notification", Notification, "A new notification. They are durable and sent in the order of seq; see `type`."
)


def stream_channel() -> Channel:
    return Channel(
        "notification_stream",
        "/api/v1/notifications/stream",
        "Server-sent events. Notifications are unnamed, with their seq as the id; other events have a name. Of "
        "these only hello has an id, if there is nothing to resume.",
        "http",
        sent=[
            NOTIFICATION,
            *[Message(name, model, description) for name, model, description in NAMED],
            Message(
                "heartbeat", Heartbeat, "Every heartbeat_interval: a client that receives nothing for 45 s reconnects."
            ),
        ],
        query=StreamQuery,
    )


def socket_channel() -> Channel:
    return Channel(
        "notification_socket",
        "/api/v1/ws/notifications",
        "The events of the stream as text frames. The close codes are those of the chat socket.",
        "ws",
        received=[
            Message("authenticate", Authenticate, "Replace the token without reconnecting."),
            Message("ping", Ping, "Request a pong."),
        ],
        sent=[
            NOTIFICATION,
            *[Message(name, _frame(name, model), description) for name, model, description in NAMED],
            Message("ack", Authenticated, "The token was accepted."),
            Message("error", Error, "The frame with this ref was rejected; the socket stays open."),
            Message("pong", Pong, "The reply to a ping."),
        ],
        query=SocketQuery,
    )


def _frame(name: str, model: type[BaseModel]) -> type[BaseModel]:
    """Return `model` as a socket frame: its fields next to `type`."""
    kind: Any = Literal[name]
    return create_model(f"{model.__name__}Frame", __base__=model, type=(kind, ...))
