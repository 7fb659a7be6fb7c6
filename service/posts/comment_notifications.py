"""The notifications of a comment: who gets one, and of which type."""

from bson import ObjectId

from service.datastores.mongo import Document
from service.notifications.models import CommentNotificationType, CommentRequest
from service.posts.comment_context import CommentContext


def requests_of(comment: Document, context: CommentContext) -> list[CommentRequest]:
    """Return the notifications to store for `comment`."""
    return [
        CommentRequest(
            type=type,
            user_id=str(user_id),
            sender=context.author,
            post_id=str(comment["post_id"]),
            comment_id=str(comment["_id"]),
            content=comment["content"],
        )
        for user_id, type in recipients(comment["author_id"], context.post_author, context.parent_author).items()
    ]


def recipients(
    author: ObjectId, post_author: ObjectId | None, parent_author: ObjectId | None
) -> dict[ObjectId, CommentNotificationType]:
    """Return who is notified of a comment by `author`, and with which type of notification.

    A user who would get both types gets NEW_REPLY. The author gets none.
    """
    types: dict[ObjectId, CommentNotificationType] = {}
    if post_author:
        types[post_author] = "NEW_COMMENT"
    if parent_author:
        types[parent_author] = "NEW_REPLY"
    types.pop(author, None)
    return types
