"""All stores of the service, built together over one database."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import NamedTuple

from service.accounts.block_store import BlockStore
from service.accounts.external_ids import ExternalIdStore
from service.accounts.sessions import MAX_AGE, SessionStore
from service.accounts.users import UserStore
from service.attachments.attachment_store import AttachmentStore
from service.attachments.gridfs_storage import GridFSStorage
from service.attachments.links import AttachmentLinks
from service.chat.conversation_store import ConversationStore
from service.chat.invitation_store import InvitationStore
from service.chat.last_seen import LastSeenStore
from service.chat.message_store import MessageStore
from service.chat.settings_store import SettingsStore
from service.chat.writer_checkpoints import WriterCheckpoints
from service.datastores.mongo import Database
from service.moderation.audit_log import AuditLog
from service.moderation.report_store import ReportStore
from service.notifications.group_store import NotificationGroupStore
from service.notifications.inbox_store import InboxStore
from service.notifications.notification_store import NotificationStore
from service.notifications.preference_store import PreferenceStore
from service.posts.comment_store import CommentStore
from service.posts.mute_store import MuteStore
from service.posts.post_store import PostStore
from service.posts.reaction_store import ReactionStore
from service.push.delivery_store import DeliveryStore as PushDeliveryStore
from service.push.news_store import NewsStore
from service.push.subscription_store import SubscriptionStore
from service.push.vapid_store import VapidStore
from service.search.index_store import IndexStore
from service.webhooks.delivery_store import DeliveryStore


class Stores(NamedTuple):
    """Every store of the service, each of which owns its MongoDB collections and their indexes."""

    users: UserStore
    external_ids: ExternalIdStore
    sessions: SessionStore
    blocks: BlockStore
    conversations: ConversationStore
    settings: SettingsStore
    invitations: InvitationStore
    messages: MessageStore
    writers: WriterCheckpoints
    last_seen: LastSeenStore
    posts: PostStore
    comments: CommentStore
    post_mutes: MuteStore
    reactions: ReactionStore
    inboxes: InboxStore
    notifications: NotificationStore
    notification_groups: NotificationGroupStore
    preferences: PreferenceStore
    reports: ReportStore
    moderation_log: AuditLog
    webhook_deliveries: DeliveryStore
    attachments: AttachmentStore
    attachment_files: GridFSStorage
    push_keys: VapidStore
    push_subscriptions: SubscriptionStore
    push_news: NewsStore
    push_deliveries: PushDeliveryStore
    search_index: IndexStore

    @classmethod
    def build(
        cls,
        database: Database,
        on_batch: Callable[[str, int], None] | None = None,
        session_max_age: timedelta = MAX_AGE,
        links: AttachmentLinks | None = None,
    ) -> "Stores":
        """The stores of `database`. `on_batch(collection, size)` is called for each write of several documents.

        `links` signs the URLs of attachments; without it, nobody accepts them.
        """
        report_batch = on_batch or (lambda _, __: None)
        posts = PostStore(database)
        inboxes = InboxStore(database)
        return cls(
            UserStore(database),
            ExternalIdStore(database),
            SessionStore(database, max_age=session_max_age),
            BlockStore(database),
            ConversationStore(database),
            SettingsStore(database),
            InvitationStore(database),
            MessageStore(database, links),
            WriterCheckpoints(database),
            LastSeenStore(database),
            posts,
            CommentStore(database, posts, partial(report_batch, "comments")),
            MuteStore(database),
            ReactionStore(database),
            inboxes,
            NotificationStore(database, inboxes, partial(report_batch, "notifications")),
            NotificationGroupStore(database),
            PreferenceStore(database),
            ReportStore(database),
            AuditLog(database),
            DeliveryStore(database),
            AttachmentStore(database),
            GridFSStorage(database),
            VapidStore(database),
            SubscriptionStore(database),
            NewsStore(database),
            PushDeliveryStore(database),
            IndexStore(database),
        )

    async def create_indexes(self) -> None:
        for store in self:
            await store.create_indexes()
