"""Posts that are live: users who look at a post get its new comments, and each change of it."""

from collections.abc import Collection, Mapping

from bson import ObjectId

from service.common.blocks import Blocks
from service.common.profiles import Profile, Profiles, profile_of
from service.datastores.mongo import Document
from service.posts.comment_store import CommentStore
from service.posts.post_store import PostStore
from service.posts.views import PostViews
from service.realtime.bus import Bus
from service.realtime.connection import Connection
from service.realtime.event import Event, Policy
from service.realtime.topic_watch import SELF, TopicWatch, Watched

TOPIC_PREFIX = "p:"
FEED = "feed"
"""What a connection watches, among the ids of posts, to get new posts."""
PERSONAL = {"my_reactions", "muted"}
"""The fields that an event does not have, because they are of the user who reads the post or comment."""
NEW, CHANGED = "+", "~"
"""Precede the id of a post or comment in the name of a change."""


class LivePosts:
    """Sends `post_created`, `post_updated`, `comment_created` and `comment_updated` to connections that watch.

    An event is the same for everyone: it does not say how its recipient has reacted, nor whether they have muted the
    post. Connections do not get what was written by somebody whom their user blocks.
    """

    def __init__(
        self,
        bus: Bus,
        posts: PostStore,
        comments: CommentStore,
        profiles: Profiles,
        blocks: Blocks,
        views: PostViews,
        *,
        channel: str,
    ) -> None:
        """`channel`: the one of the connections that watch."""
        self._posts = posts
        self._comments = comments
        self._profiles = profiles
        self._views = views
        self._channel = channel
        self.topics = TopicWatch(bus, self._read, blocks.blocked_by)

    async def watch(self, connection: Connection, post_ids: Collection[str]) -> None:
        """Let the connection watch these posts, and FEED, instead of those before; see TopicWatch. Raises
        Unavailable."""
        await self.topics.watch(connection, [TOPIC_PREFIX + post_id for post_id in post_ids])

    def post_created(self, post_id: str) -> None:
        self.topics.publish(TOPIC_PREFIX + FEED, [NEW + post_id])

    def post_changed(self, post_id: str) -> None:
        """The text, a count, or that the post was deleted."""
        self.topics.publish(TOPIC_PREFIX + post_id, [SELF])

    def comment_created(self, post_id: str, comment_id: str) -> None:
        self.topics.publish(TOPIC_PREFIX + post_id, [SELF, NEW + comment_id])

    def comment_changed(self, post_id: str, comment_id: str) -> None:
        """The text, a reaction."""
        self.topics.publish(TOPIC_PREFIX + post_id, [CHANGED + comment_id])

    def comments_deleted(self, post_id: str, comment_ids: Collection[str]) -> None:
        self.topics.publish(TOPIC_PREFIX + post_id, [SELF, *(CHANGED + comment_id for comment_id in comment_ids)])

    async def _read(self, topic: str, changes: Collection[str]) -> list[Watched]:
        name = topic.removeprefix(TOPIC_PREFIX)
        new = {ObjectId(change[1:]) for change in changes if change.startswith(NEW)}
        if name == FEED:
            return await self._new_posts(new)
        post = await self._posts.with_deleted(ObjectId(name))
        if post is None:
            return []
        changed = {ObjectId(change[1:]) for change in changes if change.startswith(CHANGED)}
        places = [(post["_id"], comment_id) for comment_id in new | changed]
        comments = await self._comments.with_deleted(places) if places and "deleted_at" not in post else []
        profiles = await self._profiles.profiles({str(each["author_id"]) for each in (post, *comments)})
        found: list[Watched] = []
        if SELF in changes:
            state = {**self._post_state(post, profiles), "deleted": "deleted_at" in post}
            found.append(self._watched("post_updated", {"data": state}, f"post:{name}", post))
        for comment in sorted(comments, key=lambda comment: int(comment["number"])):
            is_new = comment["_id"] in new
            if not (is_new and "deleted_at" in comment):
                author = profile_of(str(comment["author_id"]), profiles)
                body = {"post_id": name, "data": self._views.new_comment(comment, author).model_dump(exclude=PERSONAL)}
                type = "comment_created" if is_new else "comment_updated"
                found.append(self._watched(type, body, f"comment:{comment['_id']}", post, comment))
        return found

    async def _new_posts(self, post_ids: Collection[ObjectId]) -> list[Watched]:
        posts = sorted(await self._posts.by_ids(post_ids), key=lambda post: (post["created_at"], post["_id"]))
        profiles = await self._profiles.profiles({str(post["author_id"]) for post in posts})
        return [self._watched("post_created", {"data": self._post_state(post, profiles)}, "", post) for post in posts]

    def _watched(self, type: str, body: Document, key: str, *written: Document) -> Watched:
        """Return the event; a later one with the same type and `key` replaces it in a queue."""
        policy = Policy.LATEST if type in ("post_updated", "comment_updated") else Policy.EPHEMERAL
        event = Event(type, body, channel=self._channel, policy=policy, key=key if policy is Policy.LATEST else "")
        return Watched(event, frozenset(str(each["author_id"]) for each in written))

    def _post_state(self, post: Document, profiles: Mapping[str, Profile]) -> Document:
        return self._views.new_post(post, profiles).model_dump(exclude=PERSONAL)
