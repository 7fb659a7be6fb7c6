"""Erasing what a deleted user has posted, with the notifications of others about it."""

from datetime import datetime

from bson import ObjectId

from service.common.profiles import Profile
from service.notifications.deletion import NotificationDeletion
from service.notifications.models import DeletedSubject
from service.posts.comment_caches import CommentCaches
from service.posts.comment_context import CommentContextLoader
from service.posts.comment_notices import comment_notice_of
from service.posts.comment_store import CommentStore
from service.posts.notice import Candidate, Notice
from service.posts.pending import with_formerly_mentioned
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
        notifications: NotificationDeletion,
        caches: CommentCaches,
    ) -> None:
        self._posts = posts
        self._comments = comments
        self._contexts = contexts
        self._recipients = recipients
        self._reactions = reactions
        self._notifications = notifications
        self._caches = caches
        self._posts_erased: list[DeletedSubject] = []
        """A process may have been about to store the notifications of mentions in them."""

    async def erase_posts(self, user_id: str, since: datetime | None = None) -> int:
        """Delete a user's posts, optionally only those since `since`; posts with comments are emptied instead.

        Returns the number of posts.
        """
        count = 0
        author = Profile(id=user_id, username="", display_name="")
        async for batch in self._posts.written_by(user_id, since):
            notices = [with_formerly_mentioned(post, post_notice_of(post, author)) for post in batch]
            subjects = [
                _deleted(*pair) for pair in zip(notices, await self._recipients.candidates(notices), strict=True)
            ]
            post_ids = [post["_id"] for post in batch]
            # First: if this is interrupted, the next run does not find an erased post, nor whom it has mentioned.
            await self._notifications.delete(subjects)
            await self._reactions.delete(post_ids)
            self._posts_erased += subjects
            await self._posts.erase(post_ids)
            # Else other processes would go on to notify the user of comments.
            self._caches.posts.changed(post_ids)
            await self._reactions.delete(post_ids)
            count += len(batch)
        await self._notifications.delete(self._posts_erased)
        return count

    async def erase_comments(self, user_id: str, since: datetime | None = None) -> int:
        """Empty a user's comments, optionally only those since `since`. Returns the number of comments, including those
        that were erased before."""
        count = 0
        async for batch in self._comments.written_by(user_id, since):
            contexts = await self._contexts.load_stored(batch)
            notices = [
                with_formerly_mentioned(comment, comment_notice_of(comment, context))
                for comment, context in zip(batch, contexts, strict=True)
            ]
            found = await self._recipients.candidates(notices)
            mentioned: dict[ObjectId, list[ObjectId]] = {}
            for comment, candidates in zip(batch, found, strict=True):
                if mentions := [user_id for user_id, type in candidates if type == "NEW_MENTION"]:
                    mentioned[comment["_id"]] = mentions
            await self._comments.erase(batch, mentioned)
            self._caches.parents.changed([(comment["post_id"], comment["_id"]) for comment in batch])
            await self._notifications.delete([_deleted(*pair) for pair in zip(notices, found, strict=True)])
            count += len(batch)
        return count

    async def erase_reactions(self, user_id: str) -> None:
        """Remove all reactions of a user."""
        await self._reactions.erase(user_id)


def _deleted(notice: Notice, candidates: list[Candidate]) -> DeletedSubject:
    # The inbox of the author is deleted as a whole.
    return DeletedSubject(notice.post_id, notice.comment_id, None, [user_id for user_id, _ in candidates])
