"""What the notification stream and socket carry, for the AsyncAPI document."""

from typing import Any, Literal

from pydantic import BaseModel, create_model

from service.edge.frames import Authenticate, Error, Ping, Pong
from service.http.asyncapi import Channel, Message
from service.notifications.models import Notification
from service.notifications.socket import SocketQuery
from service.notifications.stream import StreamQuery


class NotificationHello(BaseModel):
    """`seq` is the last notification's number; `heartbeat_interval` is in seconds."""

    seq: int
    unread_count: int
    heartbeat_interval: int
    token_expires_at: str


class UnreadState(BaseModel):
    """Neither `seq` nor `seq - unread_count` ever falls: of two that arrive out of order, keep the larger of each."""

    unread_count: int
    seq: int


class ResetReason(BaseModel):
    reason: str


class TokenExpiry(BaseModel):
    token_expires_at: str


class Reconnect(BaseModel):
    reconnect_after_ms: int


class Authenticated(BaseModel):
    type: Literal["ack"]
    ref: str | None
    data: TokenExpiry


NAMED: list[tuple[str, type[BaseModel], str]] = [
    ("hello", NotificationHello, "The first: where the user's notifications stand."),
    ("unread_count", UnreadState, "How many are unread has changed."),
    ("reset", ResetReason, "Notifications may have been missed: fetch the list."),
    ("token_expiring", TokenExpiry, "The token ends in a minute: come back, or authenticate, with a fresh one."),
    ("draining", Reconnect, "The server stops: come back then."),
]

NOTIFICATION = Message("notification", Notification, "One more, durable, in the order of seq; see its `type`.")


def stream_channel() -> Channel:
    return Channel(
        "notification_stream",
        "/api/v1/notifications/stream",
        "Server-sent events. Notifications come unnamed, their seq as the id; everything else is named, without id.",
        "http",
        sent=[NOTIFICATION, *[Message(name, model, description) for name, model, description in NAMED]],
        query=StreamQuery,
    )


def socket_channel() -> Channel:
    return Channel(
        "notification_socket",
        "/api/v1/ws/notifications",
        "The events of the stream as text frames. Close codes are those of the chat.",
        "ws",
        received=[
            Message("authenticate", Authenticate, "Show a fresh token and stay connected."),
            Message("ping", Ping, "Ask for a pong."),
        ],
        sent=[
            NOTIFICATION,
            *[Message(name, _frame(name, model), description) for name, model, description in NAMED],
            Message("ack", Authenticated, "The token was taken."),
            Message("error", Error, "The frame with this ref was refused; the socket stays open."),
            Message("pong", Pong, "The answer to a ping."),
        ],
        query=SocketQuery,
    )


def _frame(name: str, model: type[BaseModel]) -> type[BaseModel]:
    """`model` as it goes on a socket: its fields beside the type."""
    kind: Any = Literal[name]
    return create_model(f"{model.__name__}Frame", __base__=model, type=(kind, ...))
