"""Editing posts and comments."""

from bson import ObjectId

from service.attachments.attachments import ids_in
from service.common.errors import Forbidden, NotFound, Unavailable, ValidationFailed
from service.common.profiles import Profiles, profile_of
from service.datastores.mongo import Document
from service.notifications.models import DeletedSubject
from service.notifications.preview_update import PreviewUpdate
from service.posts.comment_context import CommentContextLoader
from service.posts.comment_notices import CommentNotices, PendingComment, comment_notice_of
from service.posts.comment_store import CommentStore
from service.posts.content_change import edit_of
from service.posts.live_posts import LivePosts
from service.posts.models import Comment, Post
from service.posts.notice import Notice
from service.posts.notification_outbox import NotificationOutbox
from service.posts.pending import PENDING, Pending, pending_notice, with_formerly_mentioned
from service.posts.post_notices import PostNotices, post_notice_of
from service.posts.post_store import PostStore
from service.posts.recipients import RecipientSelector
from service.posts.views import PostViews
from service.posts.visibility import Visibility

MAX_ATTEMPTS = 20
"""Changes of the same post or comment by others, in a row, after which one gives up."""
CONTENDED = "Too many changes are made here at once."


class EditService:
    """Replaces the text of posts and comments, by their authors only, and in the previews of notifications, and
    notifies those whom the new text mentions for the first time. All ids are strings of 24 hex digits. A repeated
    request changes no text, and takes the other steps again.

    Methods raise NotFound, Forbidden (another user's, or deleted), ValidationFailed (`content`: empty, and there are no
    attachments), and Unavailable.
    """

    def __init__(
        self,
        posts: PostStore,
        comments: CommentStore,
        profiles: Profiles,
        visibility: Visibility,
        views: PostViews,
        contexts: CommentContextLoader,
        comment_notices: CommentNotices,
        post_notices: PostNotices,
        recipients: RecipientSelector,
        outbox: NotificationOutbox,
        live: LivePosts,
        previews: PreviewUpdate,
    ) -> None:
        self._posts = posts
        self._comments = comments
        self._profiles = profiles
        self._visibility = visibility
        self._views = views
        self._contexts = contexts
        self._comment_notices = comment_notices
        self._post_notices = post_notices
        self._recipients = recipients
        self._outbox = outbox
        self._live = live
        self._previews = previews

    async def edit_post(self, user_id: str, post_id: str, content: str) -> Post:
        """Return the edited post."""
        for _ in range(MAX_ATTEMPTS):
            post = await self._posts.post(post_id)
            if post is None or not is_own(post, user_id):
                await self._visibility.post(user_id, post_id)
                raise Forbidden("The post is someone else's.")
            check_not_empty(content, post)
            if post["content"] != content:
                change = edit_of(post, content, await self._recipients.mentioned_in(post["content"]))
                edited = await self._posts.change(post, user_id, change)
                if edited is None:
                    continue
                post = edited
            self._live.post_changed(post_id)
            await self._notify_of_post(post)
            return (await self._views.posts(user_id, [post]))[0]
        raise Unavailable(CONTENDED)

    async def edit_comment(self, user_id: str, post_id: str, comment_id: str, content: str) -> Comment:
        """Return the edited comment."""
        place = (ObjectId(post_id), ObjectId(comment_id))
        for _ in range(MAX_ATTEMPTS):
            if await self._posts.post(post_id) is None:
                raise NotFound
            found = await self._comments.by_places([place])
            if not found or not is_own(found[0], user_id):
                await self._visibility.comment(user_id, post_id, comment_id)
                raise Forbidden("The comment is someone else's, or has been deleted.")
            comment = found[0]
            check_not_empty(content, comment)
            if comment["content"] != content:
                change = edit_of(comment, content, await self._recipients.mentioned_in(comment["content"]))
                edited = await self._comments.change(comment, user_id, change)
                if edited is None:
                    continue
                comment = edited
            self._live.comment_changed(post_id, comment_id)
            await self._notify_of_comment(comment)
            return (await self._views.comments(user_id, [comment]))[0]
        raise Unavailable(CONTENDED)

    async def _notify_of_post(self, post: Document) -> None:
        """Notify those whom the text mentions for the first time, and update the previews of the others."""
        author = str(post["author_id"])
        profiles = await self._profiles.profiles([author])
        notice = post_notice_of(post, profile_of(author, profiles))
        if post.get(PENDING):
            self._outbox.enqueue(Pending(self._post_notices, post, [pending_notice(post, notice)]))
        await self._update_previews(post, notice)

    async def _notify_of_comment(self, comment: Document) -> None:
        """See `_notify_of_post`."""
        [context] = await self._contexts.load_stored([comment])
        notice = comment_notice_of(comment, context)
        if comment.get(PENDING):
            self._outbox.enqueue(PendingComment(self._comment_notices, comment, [pending_notice(comment, notice)]))
        await self._update_previews(comment, notice)

    async def _update_previews(self, document: Document, notice: Notice) -> None:
        edited_at = document.get("edited_at")
        if edited_at is None:
            return
        [candidates] = await self._recipients.candidates([with_formerly_mentioned(document, notice)])
        recipients = [user_id for user_id, _ in candidates]
        subject = DeletedSubject(notice.post_id, notice.comment_id, document["author_id"], recipients)
        await self._previews.update(subject, document["content"], edited_at)


def check_not_empty(content: str, document: Document) -> None:
    """Raises ValidationFailed if nothing would be left of the post or comment."""
    if not content and not ids_in(document):
        raise ValidationFailed.of("content", "Contains no visible character")


def is_own(document: Document, user_id: str) -> bool:
    """Return whether the user has written this post or comment. Nobody has written that of a deleted user."""
    return str(document["author_id"]) == user_id and not document.get("erased")
