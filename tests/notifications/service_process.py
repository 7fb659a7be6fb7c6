"""The post and notification services of one process, over a database that other processes may share."""

from datetime import timedelta
from itertools import count
from typing import Any

from bson import ObjectId

from service.accounts.block_store import BlockStore
from service.accounts.users import UserStore
from service.chat import events
from service.common.blocks import Block
from service.common.identity import Identity
from service.common.ids import new_id
from service.common.profiles import Profile
from service.datastores.mongo import Database
from service.notifications.deletion import NotificationDeletion
from service.notifications.group_service import NotificationGroupService
from service.notifications.group_store import NotificationGroupStore
from service.notifications.grouper import Grouper
from service.notifications.inbox_service import InboxService
from service.notifications.inbox_store import InboxStore
from service.notifications.models import CHANNEL, PostRequest
from service.notifications.notification_store import NotificationStore
from service.notifications.preference_service import PreferenceService
from service.notifications.preference_store import PreferenceStore
from service.notifications.preview_update import PreviewUpdate
from service.notifications.service import NotificationService
from service.posts.busy_posts import BusyPosts
from service.posts.comment_caches import CommentCaches
from service.posts.comment_context import CommentContextLoader
from service.posts.comment_notices import CommentNotices
from service.posts.comment_store import CommentStore
from service.posts.deletion_service import DeletionService
from service.posts.deletion_worker import DeletionWorker
from service.posts.edit_service import EditService
from service.posts.live_posts import LivePosts
from service.posts.models import NewComment, NewPost
from service.posts.mute_store import MuteStore
from service.posts.notification_outbox import NotificationOutbox
from service.posts.post_notices import PostNotices
from service.posts.post_store import PostStore
from service.posts.reaction_notices import ReactionNotices
from service.posts.reaction_service import ReactionService
from service.posts.reaction_store import ReactionStore
from service.posts.recipients import RecipientSelector
from service.posts.service import PostService
from service.posts.views import PostViews
from service.posts.visibility import Visibility
from service.realtime.bus import Bus, LocalBus
from service.realtime.dispatcher import Dispatcher
from service.realtime.event import Event
from service.realtime.event_stream import EventStream
from service.realtime.registry import Registry
from service.realtime.timer_wheel import TimerWheel
from tests.attachments.in_database import attachments_in
from tests.realtime.wire import queued

user_numbers = count(1)
NOBODY = new_id()
"""A reader who has done nothing yet."""


class ServiceProcess:
    """`notifications_database`: where notifications are stored, if not in `database`. `cache_bus`: the bus of the
    CommentCaches, if processes share them. `outbox_options`: see NotificationOutbox."""

    def __init__(
        self,
        database: Database,
        notifications_database: Database | None = None,
        cache_bus: Bus | None = None,
        **outbox_options: Any,
    ) -> None:
        if notifications_database is None:
            notifications_database = database
        self.registry = Registry(TimerWheel())
        bus = LocalBus()
        self.dispatcher = Dispatcher(bus, self.registry)
        self.users = UserStore(database)
        self.blocks = BlockStore(database)
        self.mutes = MuteStore(database)
        self.inboxes = InboxStore(notifications_database)
        self.store = NotificationStore(notifications_database, self.inboxes)
        self.preferences = PreferenceService(PreferenceStore(notifications_database), bus, self.dispatcher)
        self.group_store = NotificationGroupStore(notifications_database)
        self.grouper = Grouper(self.store, self.inboxes, self.group_store)
        self.read_states = InboxService(self.store, self.inboxes, self.dispatcher)
        self.notifications = NotificationService(
            self.store,
            self.inboxes,
            self.read_states,
            self.preferences,
            self.users,
            self.dispatcher,
            self.grouper.schedule,
        )
        self.groups = NotificationGroupService(
            self.notifications, self.store, self.read_states, self.group_store, self.grouper, self.users
        )
        self.deletion = NotificationDeletion(self.store, self.read_states, self.grouper, self.dispatcher)
        self.post_store = PostStore(database)
        self.comment_store = CommentStore(database, self.post_store)
        self.comment_caches = CommentCaches(
            cache_bus or bus, self.post_store, self.comment_store, self.users, self.blocks, self.mutes
        )
        self.contexts = CommentContextLoader(self.comment_caches, self.post_store, self.comment_store, self.users)
        self.comment_notices = CommentNotices(self.comment_store, self.post_store, self.contexts)
        self.post_notices = PostNotices(self.post_store, self.users)
        self.recipients = RecipientSelector(self.users, self.comment_caches)
        self.reaction_store = ReactionStore(database)
        previews = PreviewUpdate(self.store)
        self.reaction_notices = ReactionNotices(
            self.reaction_store, self.post_store, self.comment_store, self.users, previews
        )
        self.outbox = NotificationOutbox(
            [self.comment_notices, self.post_notices, self.reaction_notices],
            self.recipients,
            self.notifications,
            **outbox_options,
        )
        attachments = attachments_in(database)
        views = PostViews(self.users, self.mutes, self.reaction_store, attachments)
        self.live = LivePosts(
            bus, self.post_store, self.comment_store, self.users, self.blocks, views, channel=events.CHANNEL
        )
        visibility = Visibility(self.post_store, self.comment_store, self.blocks)
        busy_posts = BusyPosts()
        self.reactions = ReactionService(
            self.reaction_store,
            self.reaction_notices,
            self.users,
            self.mutes,
            self.blocks,
            self.outbox,
            self.live,
            views,
            busy_posts,
        )
        self.posts = PostService(
            self.post_store,
            self.comment_store,
            self.users,
            self.mutes,
            self.blocks,
            visibility,
            views,
            self.contexts,
            self.comment_notices,
            self.post_notices,
            self.outbox,
            self.live,
            attachments,
            busy_posts,
            lambda user_id, post_id, muted: self.comment_caches.mutes.changed([(ObjectId(user_id), ObjectId(post_id))]),
        )
        self.edits = EditService(
            self.post_store,
            self.comment_store,
            self.users,
            visibility,
            views,
            self.contexts,
            self.comment_notices,
            self.post_notices,
            self.recipients,
            self.outbox,
            self.live,
            previews,
        )
        self.deletion_worker = DeletionWorker(
            self.post_store,
            self.comment_store,
            self.reaction_store,
            self.contexts,
            self.recipients,
            self.deletion,
            self.live,
            attachments,
            grace=timedelta(),
        )
        self.deletions = DeletionService(
            self.post_store,
            self.comment_store,
            visibility,
            self.recipients,
            self.deletion_worker,
            self.live,
            self.comment_caches,
        )

    async def create_indexes(self) -> None:
        for store in (
            self.users,
            self.blocks,
            self.mutes,
            self.reaction_store,
            self.inboxes,
            self.store,
            self.group_store,
            self.post_store,
            self.comment_store,
        ):
            await store.create_indexes()

    async def block(self, user_id: str, other: str) -> None:
        await self.blocks.add(user_id, other)
        self.comment_caches.blocks.changed([Block(user_id, other)])

    async def complete_outbox(self) -> None:
        """Do everything that is due in the outbox, which has not been started."""
        while batch := self.outbox._queue.take(64):
            await self.outbox._dispatch_queued(batch)
        await self.outbox._recover()
        await self.outbox._clear_marks()

    async def close(self) -> None:
        await self.deletion_worker.close()
        await self.live.topics.close()
        await self.outbox.close()
        await self.recipients.close()
        await self.comment_notices.close()
        await self.grouper.close()
        await self.reactions.close()
        await self.reaction_store.close()
        await self.contexts.close()
        await self.comment_store.close()
        await self.store.close()
        await self.dispatcher.close()

    async def add_user(self, display_name: str = "Someone") -> str:
        """Store a new user, without a password, and return its id."""
        return (await self.users.add(f"user{next(user_numbers)}", display_name, "")).id

    async def username(self, user_id: str) -> str:
        return (await self.users.profiles([user_id]))[user_id].username

    def request(self, user_id: str, sender_id: str, display_name: str = "Someone", **fields: str) -> PostRequest:
        """A request for a notification of a new comment, unless `fields` name an existing one."""
        values = {"type": "NEW_COMMENT", "post_id": new_id(), "comment_id": new_id(), "content": "Hello", **fields}
        sender = Profile(id=sender_id, username="", display_name=display_name)
        return PostRequest(user_id=user_id, sender=sender, **values)  # type: ignore[arg-type]

    async def post(self, author_id: str, content: str = "A post") -> str:
        return (await self.posts.create(author_id, NewPost(content=content))).id

    async def comment(self, author_id: str, post_id: str, parent_id: str | None = None, content: str = "Aye") -> str:
        new = NewComment(content=content, parent_id=parent_id)
        return (await self.posts.comment(author_id, post_id, new))[0].id

    async def stored_comment(self, author_id: str, post_id: str, content: str = "Left") -> str:
        """Store a comment without enqueueing its notifications, as a process that crashes in between does."""
        appended = await self.comment_store.append(author_id, post_id, NewComment(content=content))
        return str(appended.document["_id"])

    def connect(self, user_id: str) -> EventStream:
        """Register a connection without a reader: what it is sent stays in its queue."""
        connection = EventStream(self.registry, Identity(user_id, new_id(), new_id(), 2e9), CHANNEL)
        self.registry.register(connection)
        connection.go_live([])
        return connection


def queued_notifications(connection: EventStream) -> list[Event]:
    """Return the notifications in the queue of `connection`."""
    return [event for event in queued(connection) if event.sequence]
