"""Request and response models of notifications."""

from collections.abc import Collection
from datetime import datetime
from typing import Annotated, Any, Literal, NamedTuple, get_args

from bson import ObjectId
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from service.common.content import check_no_nul
from service.common.errors import ValidationFailed
from service.common.ids import Id
from service.common.models import Input, Query
from service.common.profiles import Profile
from service.common.times import Time

CHANNEL = "notifications"

PostNotificationType = Literal["NEW_COMMENT", "NEW_REPLY", "NEW_MENTION", "NEW_REACTION"]
NotificationType = Annotated[str, StringConstraints(pattern="^[A-Z][A-Z0-9_]{1,63}$")]
BUILT_IN_TYPES: frozenset[str] = frozenset(get_args(PostNotificationType))
"""Types with a meaning of their own, which the servers of a site cannot send."""

MAX_SEQ = 2**53 - 1
"""The largest integer that JSON parsers with double-precision numbers represent exactly."""


class PostRequest(NamedTuple):
    """A notification to store: `user_id` is notified of a comment, of a mention in a post or comment, or of a reaction.

    `content` is that of the post or comment, from which the preview is taken. `comment_id` is None if it is the post's.
    `sender` is the current profile of the one who wrote or reacted. `emoji`: the reaction, of a NEW_REACTION.
    `edited_at`: when the post or comment got this text, if it had another one before.

    Of the requests for one user about one comment the first is stored; of NEW_REACTION, of those with one sender and
    one post or comment.
    """

    type: PostNotificationType
    user_id: str
    sender: Profile
    post_id: str
    comment_id: str | None
    content: str
    emoji: str | None = None
    edited_at: datetime | None = None

    @property
    def key(self) -> str | None:
        """What identifies the notification among those of the user; None if `comment_id` does.

        No key of the server API begins with a colon.
        """
        if self.type == "NEW_REACTION":
            return reaction_key(self.comment_id or self.post_id, self.sender.id)
        return None if self.comment_id else post_key(self.post_id)


def reaction_key(subject_id: str | ObjectId, sender_id: str) -> str:
    """Return the key of the notification of a reaction to a post or comment."""
    return f":reaction:{subject_id}:{sender_id}"


def post_key(post_id: str | ObjectId) -> str:
    """Return the key of the notification of a mention in a post."""
    return f":post:{post_id}"


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


NotificationRequest = PostRequest | CustomRequest


class DeletedSubject(NamedTuple):
    """A post, or its comment `comment_id`, that has been deleted or edited: the subject of notifications.

    `author_id`: who was notified of the reactions to it. `recipients`: who may have been notified of the comment, or of
    a mention in the post.
    """

    post_id: ObjectId
    comment_id: ObjectId | None
    author_id: ObjectId | None
    recipients: Collection[ObjectId]

    @property
    def id(self) -> ObjectId:
        """The id of the post or comment."""
        return self.comment_id or self.post_id


class Sender(BaseModel):
    id: str
    display_name: str
    avatar: str | None


class PostNotification(BaseModel):
    """What the built-in types carry. `comment_id` is null if it is about the post itself."""

    notification_id: Id
    sender: Sender
    post_id: Id
    comment_id: Id | None
    preview: str
    created_at: Time
    read: bool


class ReactionNotification(PostNotification):
    """What a NEW_REACTION carries: `emoji` is the first reaction of the sender."""

    emoji: str


class DeletedNotification(PostNotification):
    """What a built-in type carries if what it is about has been deleted. It has no preview and counts as read. Only
    clients that missed it get it, so that they see every number; lists leave it out."""

    deleted: Literal[True] = True


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
    data: PostNotification | ReactionNotification | DeletedNotification | CustomNotification


class NotificationPage(BaseModel):
    """Newest first. `next` is the `before` of the next page, null on the last page."""

    items: list[Notification]
    next: int | None


class NotificationGroup(BaseModel):
    """Notifications of one type about one post, or with one `group_key`, within at most 7 days.

    `key` identifies it for `PUT /notifications/read`; `seq` is the number of `latest`, its newest notification.
    `senders`: up to 3 different ones, newest first. `sender_count`: how many different ones there are; from 1,024 on it
    is an estimate, typically within 3 %.
    """

    key: str
    type: NotificationType
    seq: int
    count: int
    unread_count: int
    senders: list[Sender]
    sender_count: int
    latest: Notification


class GroupPage(BaseModel):
    """Newest first. `next` is the `before` of the next page, null on the last page."""

    items: list[NotificationGroup]
    next: int | None


class UnreadCount(BaseModel):
    unread_count: int


class PageQuery(Query):
    limit: int = Field(30, ge=1, le=100)
    before: int | None = Field(None, ge=1, le=MAX_SEQ)
    unread: bool = False


class GroupQuery(Query):
    limit: int = Field(20, ge=1, le=100)
    before: int | None = Field(None, ge=1, le=MAX_SEQ)


class MarkAsRead(Input):
    """`up_to_seq`: all notifications up to this number, or with `key` those of this group. `post_id` alone: all about
    this post."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"up_to_seq": 42}]})

    up_to_seq: int | None = Field(None, ge=1, le=MAX_SEQ)
    key: Annotated[str, StringConstraints(min_length=1, max_length=256), AfterValidator(check_no_nul)] | None = None
    post_id: Id | None = None

    def check_fields(self) -> None:
        """Raises ValidationFailed unless the fields are those of one of the three."""
        if self.post_id is None and self.up_to_seq is None:
            raise ValidationFailed.of("up_to_seq", "Needs either up_to_seq, or key and up_to_seq, or post_id")
        if self.post_id is not None and (self.up_to_seq, self.key) != (None, None):
            raise ValidationFailed.of("post_id", "Stands alone")
