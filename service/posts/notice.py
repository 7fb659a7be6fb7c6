"""What people are notified of: a comment, a mention in a post, or a reaction."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from bson import ObjectId

from service.common.mentions import Mention
from service.common.profiles import Profile
from service.notifications.models import PostNotificationType, PostRequest

Candidate = tuple[ObjectId, PostNotificationType]
"""A user, and the type of the notification that they would get."""


class Notice(NamedTuple):
    """Something that `sender` has done: written a post, or its comment `comment_id`, or reacted to it with `emoji`.

    `candidates` are notified independently of the text; `mentions` are those in the text. `post_author` has written the
    post that is commented on; None if nobody else than the sender has, or if they are deleted. `edited_at`: when the
    post or comment got the text `content`, if it had another one before.
    """

    sender: Profile
    post_id: ObjectId
    comment_id: ObjectId | None
    content: str
    candidates: Sequence[Candidate] = ()
    mentions: Sequence[Mention] = ()
    emoji: str | None = None
    post_author: ObjectId | None = None
    edited_at: datetime | None = None

    def request(self, user_id: ObjectId, type: PostNotificationType) -> PostRequest:
        """Return the notification to store for this user."""
        return PostRequest(
            type,
            str(user_id),
            self.sender,
            str(self.post_id),
            str(self.comment_id) if self.comment_id else None,
            self.content,
            self.emoji,
            self.edited_at,
        )
