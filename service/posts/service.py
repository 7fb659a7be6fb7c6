"""What can be done with posts and comments."""

from collections.abc import Iterable, Mapping

from service.common.errors import NonceReused, NotFound, ValidationFailed
from service.common.profiles import Profile, Profiles, profile_of
from service.common.times import now
from service.datastores.mongo import Document
from service.posts.comment_context import CommentContextLoader
from service.posts.comment_store import CommentStore
from service.posts.models import Comment, CommentPage, NewComment, NewPost, Post, PostPage
from service.posts.notification_outbox import NotificationOutbox
from service.posts.post_store import PostStore


class PostService:
    """All ids are 24-hex strings; every method raises Unavailable."""

    def __init__(
        self,
        posts: PostStore,
        comments: CommentStore,
        profiles: Profiles,
        contexts: CommentContextLoader,
        outbox: NotificationOutbox,
    ) -> None:
        self._posts = posts
        self._comments = comments
        self._profiles = profiles
        self._contexts = contexts
        self._outbox = outbox

    async def create(self, author_id: str, new: NewPost) -> Post:
        # The author is read first: what has been stored must not be answered with a 503.
        profiles = await self._profiles.profiles([author_id])
        return _post(await self._posts.insert(author_id, new.content, now()), profiles)

    async def post(self, post_id: str) -> Post:
        """Raises NotFound."""
        document = await self._existing(post_id)
        return _post(document, await self._authors([document]))

    async def page(self, *, limit: int, before: str | None) -> PostPage:
        """The latest posts before the post `before`. Raises ValidationFailed where that is none."""
        cursor = None
        if before is not None and (cursor := await self._posts.post(before)) is None:
            raise ValidationFailed.of("before", "This is not the cursor of a page.")
        found = await self._posts.latest(limit + 1, cursor, now())
        shown = found[:limit]
        profiles = await self._authors(shown)
        items = [_post(document, profiles) for document in shown]
        return PostPage(items=items, next=items[-1].id if len(found) > limit else None)

    async def comment(self, author_id: str, post_id: str, new: NewComment) -> tuple[Comment, bool]:
        """Store a comment and hand it to NotificationOutbox. If its nonce was seen: the first comment, and False.

        Raises NotFound for the post, ValidationFailed for `parent_id`, NonceReused.
        """
        context = await self._contexts.load(author_id, post_id, new.parent_id)
        document, is_new = await self._comments.append(author_id, post_id, new)
        comment = _comment(document, context.author)
        if is_new:
            await self._outbox.enqueue(document, context)
        elif (comment.content, comment.parent_id) != (new.content, new.parent_id):
            raise NonceReused
        return comment, is_new

    async def comments(self, post_id: str, *, limit: int, after: int) -> CommentPage:
        """The post's comments that follow the cursor `after`. Raises NotFound."""
        await self._existing(post_id)
        found = await self._comments.after(post_id, after, limit + 1)
        shown = found[:limit]
        profiles = await self._authors(shown)
        return CommentPage(
            items=[_comment(document, _author(document, profiles)) for document in shown],
            next=shown[-1]["number"] if len(found) > limit else None,
        )

    async def _existing(self, post_id: str) -> Document:
        document = await self._posts.post(post_id)
        if document is None:
            raise NotFound
        return document

    async def _authors(self, documents: Iterable[Document]) -> Mapping[str, Profile]:
        author_ids = {str(document["author_id"]) for document in documents}
        return await self._profiles.profiles(author_ids) if author_ids else {}


def _author(document: Document, profiles: Mapping[str, Profile]) -> Profile:
    return profile_of(str(document["author_id"]), profiles)


def _post(document: Document, profiles: Mapping[str, Profile]) -> Post:
    return Post(
        id=str(document["_id"]),
        author=_author(document, profiles),
        content=document["content"],
        comment_count=document["comment_count"],
        created_at=document["created_at"],
    )


def _comment(document: Document, author: Profile) -> Comment:
    return Comment(
        id=str(document["_id"]),
        post_id=str(document["post_id"]),
        parent_id=str(document["parent_id"]) if document["parent_id"] else None,
        author=author,
        content=document["content"],
        created_at=document["created_at"],
    )
