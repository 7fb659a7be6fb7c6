"""Request and response models of notifications."""

from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, Field, StringConstraints

from service.common.ids import Id
from service.common.models import Input, Query
from service.common.profiles import Profile
from service.common.times import Time

CHANNEL = "notifications"

CommentNotificationType = Literal["NEW_COMMENT", "NEW_REPLY"]
NotificationType = Annotated[str, StringConstraints(pattern="^[A-Z][A-Z0-9_]{1,63}$")]
BUILT_IN_TYPES = frozenset({"NEW_COMMENT", "NEW_REPLY", "NEW_MENTION", "NEW_REACTION"})
"""Types with a meaning of their own, which the servers of a site cannot send."""

MAX_SEQ = 2**53 - 1
"""The largest integer that JSON parsers with double-precision numbers represent exactly."""


class CommentRequest(NamedTuple):
    """A notification to store: `user_id` is notified of a comment.

    `content` is the comment's, from which the preview is taken. `sender` is the current profile of its author.
    """

    type: CommentNotificationType
    user_id: str
    sender: Profile
    post_id: str
    comment_id: str
    content: str


class CustomRequest(NamedTuple):
    """A notification to store, of a type that is none of BUILT_IN_TYPES.

    `sender` is a current profile. `key`: of the requests for one user that have the same key, the first is stored.
    """

    type: str
    user_id: str
    sender: Profile | None
    content: str
    url: str | None = None
    extra: dict[str, Any] | None = None
    group_key: str | None = None
    key: str | None = None


NotificationRequest = CommentRequest | CustomRequest


class Sender(BaseModel):
    id: str
    display_name: str
    avatar: str | None


class CommentNotification(BaseModel):
    """What the built-in types carry."""

    notification_id: Id
    sender: Sender
    post_id: Id
    comment_id: Id
    preview: str
    created_at: Time
    read: bool


class CustomNotification(BaseModel):
    """What a type of the site's own carries. `url` is relative or http(s); `extra` is the site's own object."""

    notification_id: Id
    sender: Sender | None
    url: str | None
    extra: dict[str, Any] | None
    group_key: str | None
    preview: str
    created_at: Time
    read: bool


class Notification(BaseModel):
    """`seq` numbers the notifications of a user 1, 2, 3 … without gaps. `type` is a built-in one or the site's own; a
    client shows one that it does not know with `preview`, `sender` and `url`."""

    type: NotificationType
    seq: int
    data: CommentNotification | CustomNotification


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
