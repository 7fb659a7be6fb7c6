"""Request and response models of posts and comments."""

from pydantic import BaseModel, Field

from service.attachments.models import Attachment, WithAttachments
from service.common.content import Nonce, OptionalContent
from service.common.cursor import Cursor
from service.common.ids import Id
from service.common.models import Input, Query
from service.common.profiles import Profile
from service.common.times import Time

MAX_NUMBER = 2**53 - 1
"""The largest integer that JSON parsers with double-precision numbers represent exactly."""

ReactionCounts = dict[str, int]
"""How many users have reacted with each emoji."""


class NewPost(WithAttachments, Input):
    """A post may have nothing but attachments."""


class NewComment(WithAttachments, Input):
    """`parent_id`: the comment of the same post that this one replies to. `nonce`: makes sending it repeatable."""

    parent_id: Id | None = None
    nonce: Nonce | None = None


class PostChange(Input):
    """`content` may be empty if there are attachments, which stay."""

    content: OptionalContent


class CommentChange(Input):
    """Like a PostChange."""

    content: OptionalContent


class PostState(BaseModel):
    """A post as it is for everyone."""

    id: Id
    author: Profile
    content: str
    attachments: list[Attachment]
    comment_count: int
    reactions: ReactionCounts
    created_at: Time
    edited_at: Time | None


class WatchedPost(PostState):
    """`deleted`: the post was deleted while it was watched."""

    deleted: bool


class Post(PostState):
    """`my_reactions`: those of the user who reads it. `muted`: it does not notify them."""

    my_reactions: list[str]
    muted: bool


class PostPage(BaseModel):
    """Newest first. `next` is the `before` of the next page, null on the last page. Long posts come in pages of fewer
    than `limit`."""

    items: list[Post]
    next: str | None


class CommentState(BaseModel):
    """A comment as it is for everyone. A deleted one is there only while others reply to it: with empty `content`, and
    without reactions."""

    id: Id
    post_id: Id
    parent_id: Id | None
    author: Profile
    content: str
    attachments: list[Attachment]
    reactions: ReactionCounts
    created_at: Time
    edited_at: Time | None
    deleted: bool


class Comment(CommentState):
    """`my_reactions`: those of the user who reads it."""

    my_reactions: list[str]


class CommentPage(BaseModel):
    """Oldest first. `next` is the `after` of the next page, null on the last page. Long comments come in pages of fewer
    than `limit`."""

    items: list[Comment]
    next: int | None


class PostQuery(Query):
    """`before`: a cursor, the `next` of the previous page."""

    limit: int = Field(30, ge=1, le=100)
    before: Cursor | None = None


class CommentQuery(Query):
    """`after`: a cursor, the `next` of the previous page."""

    limit: int = Field(30, ge=1, le=100)
    after: int = Field(0, ge=0, le=MAX_NUMBER)
