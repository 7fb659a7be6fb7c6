"""Posts and comments: publishing, listing and commenting."""

from collections.abc import Callable
from datetime import datetime

from bson import ObjectId
from pymongo.errors import DuplicateKeyError

from service.attachments.attachment_store import Claim
from service.attachments.attachments import Attachments, ids_in, not_claimable, own_nonce, repeatable_nonce
from service.common.blocks import Blocks
from service.common.cursor import CursorFormat
from service.common.errors import NonceReused, ValidationFailed
from service.common.page_size import fitting
from service.common.profiles import Profiles, profile_of
from service.common.times import now
from service.datastores.mongo import Document
from service.posts.busy_posts import BusyPosts
from service.posts.comment_context import CommentContextLoader
from service.posts.comment_notices import CommentNotices, comment_notice
from service.posts.comment_store import CommentStore, is_same
from service.posts.live_posts import LivePosts
from service.posts.models import Comment, CommentPage, NewComment, NewPost, Post, PostPage
from service.posts.mute_store import MuteStore
from service.posts.notification_outbox import NotificationOutbox
from service.posts.pending import Pending
from service.posts.post_notices import PostNotices, post_notice
from service.posts.post_store import PostStore
from service.posts.views import PostViews
from service.posts.visibility import Visibility

CURSORS = CursorFormat("posts", datetime, ObjectId)


class PostService:
    """All ids are strings of 24 hex digits. Every method raises Unavailable.

    `viewer` is the user who reads: posts and comments of those whom they block do not exist for them.
    """

    def __init__(
        self,
        posts: PostStore,
        comments: CommentStore,
        profiles: Profiles,
        mutes: MuteStore,
        blocks: Blocks,
        visibility: Visibility,
        views: PostViews,
        contexts: CommentContextLoader,
        comment_notices: CommentNotices,
        post_notices: PostNotices,
        outbox: NotificationOutbox,
        live: LivePosts,
        attachments: Attachments,
        busy: BusyPosts,
        on_muted: Callable[[str, str, bool], None],
    ) -> None:
        """`on_muted(user_id, post_id, muted)` is called after a user has muted a post, or unmuted it."""
        self._posts = posts
        self._comments = comments
        self._profiles = profiles
        self._mutes = mutes
        self._blocks = blocks
        self._visibility = visibility
        self._views = views
        self._contexts = contexts
        self._comment_notices = comment_notices
        self._post_notices = post_notices
        self._outbox = outbox
        self._live = live
        self._attachments = attachments
        self._busy = busy
        self._on_muted = on_muted

    async def create(self, author_id: str, new: NewPost) -> Post:
        """Publish a post, and enqueue the notifications of those whom it mentions. Raises ValidationFailed for
        `attachments`.

        A post with files has the id of the first one, which nothing else uses: a repeated request is the same post.
        """
        # The author is read first: a stored post must not be answered with a 503.
        profiles = await self._profiles.profiles([author_id])
        post_id = ObjectId(new.attachments[0]) if new.attachments else ObjectId()
        claim = Claim("post", None, ObjectId(author_id), post_id)
        attached = await self._attachments.claim_all(claim, new.attachments)
        notice = post_notice(post_id, new.content, profile_of(author_id, profiles))
        pending = bool(notice.mentions)
        selection = self._outbox.prepare(notice) if pending else None
        try:
            document = await self._posts.insert(
                author_id, new.content, now(), post_id=post_id, pending=pending, attachments=attached
            )
        except DuplicateKeyError:
            return await self._repeated(str(post_id), new)
        if pending:
            self._outbox.enqueue(Pending(self._post_notices, document, [notice], [selection]))
        self._live.post_created(str(post_id))
        return self._views.new_post(document, profiles)

    async def _repeated(self, post_id: str, new: NewPost) -> Post:
        """Return the post that an earlier request has stored. Raises ValidationFailed if it is not the same."""
        stored = await self._posts.post(post_id)
        if stored is None or (stored["content"], list(map(str, ids_in(stored)))) != (new.content, new.attachments):
            raise not_claimable()
        self._live.post_created(post_id)
        return (await self._views.posts(str(stored["author_id"]), [stored]))[0]

    async def post(self, viewer: str, post_id: str) -> Post:
        """Return one post. Raises NotFound."""
        return (await self._views.posts(viewer, [await self._visibility.post(viewer, post_id)]))[0]

    async def mute(self, user_id: str, post_id: str, *, on: bool) -> Post:
        """Let the post no longer notify the user, or let it again. Returns the post. Raises NotFound.

        A repeated request makes up for a lost announcement, or the post when it is loaded next.
        """
        await self.post(user_id, post_id)
        await (self._mutes.add if on else self._mutes.remove)(user_id, post_id)
        self._on_muted(user_id, post_id, on)
        return await self.post(user_id, post_id)

    async def page(self, viewer: str, *, limit: int, before: str | None) -> PostPage:
        """Return the latest posts behind the cursor `before`, or of all. Raises ValidationFailed if it is none."""
        key = CURSORS.parse(before) if before is not None else None
        found = await self._posts.latest(limit + 1, key, now(), await self._hidden_from(viewer))
        items = await self._views.posts(viewer, found[:limit])
        count = fitting(items)
        last = found[count - 1] if count < len(found) else None
        return PostPage(items=items[:count], next=CURSORS.encode((last["created_at"], last["_id"])) if last else None)

    async def comment(self, author_id: str, post_id: str, new: NewComment) -> tuple[Comment, bool]:
        """Store a comment and enqueue its notifications. Returns it and True.

        If the author has used the nonce on this post before, returns the earlier comment and False. Raises NotFound for
        the post, ValidationFailed for `parent_id` or `attachments`, and NonceReused if the earlier comment differs.
        """
        new = new.model_copy(update={"nonce": repeatable_nonce(new.nonce, new.attachments)})
        async with self._busy.turn(post_id):
            return await self._comment(author_id, post_id, new)

    async def _comment(self, author_id: str, post_id: str, new: NewComment) -> tuple[Comment, bool]:
        try:
            context = await self._contexts.load(author_id, post_id, new.parent_id)
        except ValidationFailed:
            # The parent may have been deleted since the comment was stored.
            if earlier := await self._earlier(author_id, post_id, new):
                return earlier, False
            raise
        comment_id = ObjectId()
        notice = comment_notice(ObjectId(post_id), comment_id, new.content, context)
        selection = self._outbox.prepare(notice)
        document, created = await self._store_comment(author_id, post_id, new, comment_id)
        comment = self._views.new_comment(document, context.author)
        if created:
            pending = self._comment_notices.stored(document, notice, selection)
            self._outbox.enqueue(pending)
            await pending.wait_until_counted()
            self._live.comment_created(post_id, comment.id)
        else:
            _check_same(new, document)
        return comment, created

    async def _earlier(self, author_id: str, post_id: str, new: NewComment) -> Comment | None:
        """Return the comment for which the author has used the nonce, or None. Raises NonceReused."""
        claim = Claim("comment", ObjectId(post_id), ObjectId(author_id), None, new.nonce)
        document = await self._comments.claimed(claim) if new.nonce else None
        if document is None:
            return None
        _check_same(new, document)
        return (await self._views.comments(author_id, [document]))[0]

    async def _store_comment(
        self, author_id: str, post_id: str, new: NewComment, comment_id: ObjectId
    ) -> tuple[Document, bool]:
        """Store a comment with its attachments, or find the earlier one with its nonce."""
        claim = Claim("comment", ObjectId(post_id), ObjectId(author_id), None, new.nonce)
        try:
            attached = await self._attachments.claim_all(claim, new.attachments)
        except ValidationFailed:
            # They are gone if the comment that the nonce stands for has been deleted.
            earlier = await self._comments.claimed(claim)
            if earlier is None:
                raise
            return earlier, False
        document, created = await self._comments.append(author_id, post_id, new, comment_id, attached)
        return document, created

    async def comments(self, viewer: str, post_id: str, *, limit: int, after: int) -> CommentPage:
        """Return the post's comments after the cursor `after`, oldest first. Raises NotFound."""
        post = await self._visibility.post(viewer, post_id)
        hidden = await self._hidden_from(viewer)
        found = await self._comments.after(post_id, after, post["comment_count"], limit + 1, hidden)
        items = await self._views.comments(viewer, found[:limit])
        count = fitting(items)
        return CommentPage(items=items[:count], next=found[count - 1]["number"] if count < len(found) else None)

    async def _hidden_from(self, viewer: str) -> set[ObjectId]:
        return {ObjectId(user_id) for user_id in await self._blocks.blocked_by(viewer)}


def _check_same(new: NewComment, stored: Document) -> None:
    """Raise NonceReused if `stored`, found by its nonce, was not made of `new`; ValidationFailed (`attachments`) if the
    nonce is that of an attachment."""
    if not is_same(new, stored):
        raise NonceReused if own_nonce(new.nonce) else not_claimable()
