"""Everything that Loa has stored of one user, read in batches."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from datetime import datetime, timedelta
from typing import Any

from bson import ObjectId
from pydantic import BaseModel

from service.accounts.blocks import BlockService
from service.accounts.profiles import ProfileService
from service.accounts.service import AccountService
from service.chat.conversation_service import ConversationService
from service.chat.message_store import MessageStore
from service.common.encoding import dumps
from service.common.identity import Identity
from service.export.models import Kind
from service.notifications.preference_service import PreferenceService
from service.notifications.service import NotificationService
from service.posts.comment_store import CommentStore
from service.posts.post_store import PostStore
from service.posts.reaction_store import ReactionStore
from service.posts.views import PostViews

PAGE = 100
"""Objects that are sent at a time: two megabytes of the longest."""
CLOCK_TOLERANCE = timedelta(days=1)
"""By how much the clocks of the processes that made two ids may differ. Nothing is older than its author."""
OF_OTHERS = {"last_message", "read_marks", "reactions"}
"""Fields of conversations and messages that say what others have written, read or reacted with."""

Items = AsyncGenerator[list[Any]]


class UserExport:
    """Reads what belongs to a user, in the forms that the API has for it. What others have written is left out,
    but for the previews of the user's notifications."""

    def __init__(
        self,
        accounts: AccountService,
        profiles: ProfileService,
        conversations: ConversationService,
        messages: MessageStore,
        posts: PostStore,
        comments: CommentStore,
        reactions: ReactionStore,
        views: PostViews,
        notifications: NotificationService,
        preferences: PreferenceService,
        blocks: BlockService,
        check: Callable[[Identity], Awaitable[None]],
    ) -> None:
        """`check(caller)` raises TokenRevoked, or Unavailable: see `Verifier.check`."""
        self._accounts = accounts
        self._profiles = profiles
        self._conversations = conversations
        self._messages = messages
        self._posts = posts
        self._comments = comments
        self._reactions = reactions
        self._views = views
        self._notifications = notifications
        self._preferences = preferences
        self._blocks = blocks
        self._check = check

    async def read(self, caller: Identity) -> AsyncGenerator[bytes]:
        """Yield the lines of the export, several at a time: each a JSON object with `kind` and `data`.

        The next batch is read when it is asked for, and only while the caller's session lasts. Raises NotFound,
        TokenRevoked, Unavailable.
        """
        user_id = caller.user_id
        since = ObjectId(user_id).generation_time - CLOCK_TOLERANCE
        parts: dict[Kind, Items] = {
            "profile": self._profile(caller),
            "session": self._sessions(caller),
            "conversation": self._conversations_of(user_id),
            "message": self._messages_of(user_id, since),
            "post": self._posts_of(user_id, since),
            "comment": self._comments_of(user_id, since),
            "reaction": self._reactions_of(user_id),
            "notification": self._notifications_of(user_id),
            "preferences": self._own_preferences(user_id),
            "block": self._blocked(user_id),
        }
        for kind, batches in parts.items():
            async for items in batches:
                # More than a page of them may have been created within one second.
                for first in range(0, len(items), PAGE):
                    await self._check(caller)
                    yield b"".join(_line(kind, item) for item in items[first : first + PAGE])

    async def _profile(self, caller: Identity) -> Items:
        yield [await self._profiles.own_profile(caller.user_id, caller.roles)]

    async def _sessions(self, caller: Identity) -> Items:
        yield await self._accounts.sessions(caller)

    async def _own_preferences(self, user_id: str) -> Items:
        yield [await self._preferences.preferences(user_id)]

    async def _blocked(self, user_id: str) -> Items:
        cursor: str | None = None
        while True:
            page = await self._blocks.page(user_id, PAGE, cursor)
            yield page.items
            if (cursor := page.next) is None:
                return

    async def _conversations_of(self, user_id: str) -> Items:
        """As the lists show them. One that becomes active before its page is read has moved: it is missing."""
        for read in (self._conversations.page, self._conversations.archived_page):
            cursor: str | None = None
            while True:
                items, cursor = await read(user_id, PAGE, cursor)
                yield [_own(item) for item in items]
                if cursor is None:
                    break

    async def _messages_of(self, user_id: str, since: datetime) -> Items:
        async for batch in self._messages.whole_of(user_id, since):
            yield [_own(self._messages.as_json(document)) for document in batch]

    async def _posts_of(self, user_id: str, since: datetime) -> Items:
        async for batch in self._posts.whole_of(user_id, since):
            yield await self._views.posts(user_id, batch)

    async def _comments_of(self, user_id: str, since: datetime) -> Items:
        async for batch in self._comments.whole_of(user_id, since):
            yield await self._views.comments(user_id, batch)

    async def _reactions_of(self, user_id: str) -> Items:
        """To messages, posts and comments, also to those that are older than the user."""
        async for batch in self._messages.reacted_by(user_id):
            yield [
                _reaction(emoji, conversation_id=document["conversation_id"], message_id=document["_id"])
                for document in batch
                for emoji, users in document["reactions"].items()
                if user_id in users
            ]
        async for reacted in self._reactions.reacted_by(user_id):
            yield [
                _reaction(emoji, post_id=subject.post_id, comment_id=subject.comment_id)
                for subject, emojis in reacted
                for emoji in emojis
            ]

    async def _notifications_of(self, user_id: str) -> Items:
        before: int | None = None
        while True:
            page = await self._notifications.page(user_id, limit=PAGE, before=before, unread=False)
            yield page.items
            if (before := page.next) is None:
                return


def _line(kind: Kind, item: BaseModel | dict[str, Any]) -> bytes:
    data = item.model_dump() if isinstance(item, BaseModel) else item
    return dumps({"kind": kind, "data": data}).encode() + b"\n"


def _own(item: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in item.items() if name not in OF_OTHERS}


def _reaction(emoji: str, **subject: ObjectId | None) -> dict[str, Any]:
    ids: Iterable[str] = ("conversation_id", "message_id", "post_id", "comment_id")
    return {"emoji": emoji, **{name: str(subject[name]) if subject.get(name) else None for name in ids}}
