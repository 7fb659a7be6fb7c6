"""The events of posts for the AsyncAPI document: the chat socket sends them."""

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel

from service.http.asyncapi import Message as Frame
from service.posts.models import CommentState, PostState, WatchedPost


class PostCreated(BaseModel):
    type: Literal["post_created"]
    data: PostState


class PostUpdated(BaseModel):
    type: Literal["post_updated"]
    data: WatchedPost


class CommentCreated(BaseModel):
    type: Literal["comment_created"]
    post_id: str
    data: CommentState


class CommentUpdated(BaseModel):
    type: Literal["comment_updated"]
    post_id: str
    data: CommentState


class PostMute(BaseModel):
    post_id: str
    muted: bool


class PostMuteUpdated(BaseModel):
    type: Literal["post_mute_updated"]
    data: PostMute


def events() -> Sequence[Frame]:
    return [
        Frame("post_created", PostCreated, "A post was published. For connections that watch `feed`. Ephemeral."),
        Frame("post_updated", PostUpdated, "A watched post, its counts, or its reactions have changed. Ephemeral."),
        Frame(
            "comment_created",
            CommentCreated,
            "A comment on a watched post. Ephemeral: if there are many, some are left out, and `comment_count` of "
            "`post_updated` says so.",
        ),
        Frame(
            "comment_updated",
            CommentUpdated,
            "A comment on a watched post was edited, reacted to, or deleted. A deleted one stays as a tombstone if "
            "others reply to it. Ephemeral.",
        ),
        Frame("post_mute_updated", PostMuteUpdated, "The user has muted or unmuted a post, in one of their tabs."),
    ]
