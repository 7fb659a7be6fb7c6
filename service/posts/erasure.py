"""Erasing what a deleted user has posted, also from the notifications of others."""

from datetime import datetime

from bson import ObjectId

from service.common.profiles import Profile
from service.notifications.models import PostRequest
from service.notifications.notification_store import NotificationStore
from service.posts.comment_context import CommentContextLoader
from service.posts.comment_notices import comment_notice_of
from service.posts.comment_store import CommentStore
from service.posts.notice import Notice
from service.posts.post_notices import post_notice_of
from service.posts.post_store import PostStore
from service.posts.reaction_store import ReactionStore
from service.posts.recipients import RecipientSelector


class PostErasure:
    """All steps can be repeated. Methods raise Unavailable."""

    def __init__(
        self,
        posts: PostStore,
        comments: CommentStore,
        contexts: CommentContextLoader,
        recipients: RecipientSelector,
        reactions: ReactionStore,
        notifications: NotificationStore,
    ) -> None:
        self._posts = posts
        self._comments = comments
        self._contexts = contexts
        self._recipients = recipients
        self._reactions = reactions
        self._notifications = notifications
        self._mentions: list[PostRequest] = []
        """The notifications of posts that were deleted: a process may have been about to store them."""

    async def erase_posts(self, user_id: str, since: datetime | None = None) -> int:
        """Delete a user's posts, optionally only those since `since`; posts with comments are emptied instead.

        Returns the number of posts.
        """
        count = 0
        author = Profile(id=user_id, username="", display_name="")
        async for batch in self._posts.written_by(user_id, since):
            requests = await self._requests([post_notice_of(post, author) for post in batch])
            post_ids = [post["_id"] for post in batch]
            # First: if this is interrupted, the next run does not find an erased post, nor whom it has mentioned.
            await self._notifications.erase_previews(requests)
            await self._reactions.delete(post_ids)
            self._mentions += requests
            await self._posts.erase(post_ids)
            await self._reactions.delete(post_ids)
            count += len(batch)
        await self._notifications.erase_previews(self._mentions)
        return count

    async def erase_comments(self, user_id: str, since: datetime | None = None) -> int:
        """Empty a user's comments, optionally only those since `since`. Returns the number of comments, including those
        that were erased before."""
        count = 0
        async for batch in self._comments.written_by(user_id, since):
            contexts = await self._contexts.load_stored(batch)
            notices = [comment_notice_of(*pair) for pair in zip(batch, contexts, strict=True)]
            requests = await self._requests(notices)
            mentioned: dict[ObjectId, list[ObjectId]] = {}
            for request in requests:
                if request.type == "NEW_MENTION":
                    mentioned.setdefault(ObjectId(request.comment_id), []).append(ObjectId(request.user_id))
            await self._comments.erase(batch, mentioned)
            await self._notifications.erase_previews(requests)
            count += len(batch)
        return count

    async def erase_reactions(self, user_id: str) -> None:
        """Remove all reactions of a user."""
        await self._reactions.erase(user_id)

    async def _requests(self, notices: list[Notice]) -> list[PostRequest]:
        found = await self._recipients.candidates(notices)
        return [
            notice.request(*candidate)
            for notice, candidates in zip(notices, found, strict=True)
            for candidate in candidates
        ]
