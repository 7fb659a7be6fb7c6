"""Request and response models of notifications."""

from typing import Literal, NamedTuple

from pydantic import BaseModel, Field

from service.common.ids import Id
from service.common.models import Input, Query
from service.common.profiles import Profile
from service.common.times import Time

CHANNEL = "notifications"

NotificationType = Literal["NEW_COMMENT", "NEW_REPLY"]

MAX_SEQ = 2**53 - 1
"""The largest integer that JSON parsers with double-precision numbers represent exactly."""


class NotificationRequest(NamedTuple):
    """A notification to store: `user_id` is notified of a comment.

    `content` is the comment's, from which the preview is taken. `sender` is the current profile of its author.
    """

    type: NotificationType
    user_id: str
    sender: Profile
    post_id: str
    comment_id: str
    content: str


class Sender(BaseModel):
    id: str
    display_name: str
    avatar: str | None


class NotificationData(BaseModel):
    notification_id: Id
    sender: Sender
    post_id: Id
    comment_id: Id
    preview: str
    created_at: Time
    read: bool


class Notification(BaseModel):
    """`seq` numbers the notifications of a user 1, 2, 3 … without gaps."""

    type: NotificationType
    seq: int
    data: NotificationData


class NotificationPage(BaseModel):
    """Newest first. `next` is the `before` of the next page, null on the last page."""

    items: list[Notification]
    next: int | None


class UnreadCount(BaseModel):
    unread_count: int


class PageQuery(Query):
    limit: int = Field(30, ge=1, le=100)
    before: int | None = Field(None, ge=1, le=MAX_SEQ)
    unread: bool = False


class ReadUpTo(Input):
    up_to_seq: int = Field(ge=1, le=MAX_SEQ)
