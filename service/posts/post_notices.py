"""The notices of posts: the mentions in them."""

from collections.abc import Sequence

from bson import ObjectId

from service.common.mentions import mentions_in
from service.common.profiles import Profile, Profiles, profile_of
from service.datastores.mongo import Document
from service.posts.notice import Notice
from service.posts.pending import Pending, pending_notice
from service.posts.post_store import PostStore


class PostNotices:
    """The posts whose notifications may be missing: a PendingSource. Only posts that mention somebody are marked."""

    def __init__(self, posts: PostStore, profiles: Profiles) -> None:
        self._posts = posts
        self._profiles = profiles

    async def pending(self, after: ObjectId | None, limit: int) -> list[Pending]:
        found = await self._posts.pending(after, limit)
        if not found:
            return []
        profiles = await self._profiles.profiles({str(post["author_id"]) for post in found})
        return [
            Pending(
                self, post, [pending_notice(post, post_notice_of(post, profile_of(str(post["author_id"]), profiles)))]
            )
            for post in found
        ]

    async def complete(self, done: Sequence[Pending]) -> None:
        await self._posts.clear_pending([each.document for each in done])


def post_notice(post_id: ObjectId, content: str, author: Profile) -> Notice:
    """Return what people are notified of if the post is stored."""
    return Notice(author, post_id, None, content, mentions=mentions_in(content))


def post_notice_of(post: Document, author: Profile) -> Notice:
    """Return what people are notified of because of the current text of `post`."""
    return post_notice(post["_id"], post["content"], author)._replace(edited_at=post.get("edited_at"))
