"""All services of a worker process, wired together. The web layer is added by `service/app.py`."""

from contextlib import AsyncExitStack, suppress
from datetime import timedelta
from functools import partial
from typing import Any, Protocol

from bson import ObjectId

from config.settings import Settings
from service.accounts.access_issuer import AccessIssuer
from service.accounts.account_deletion import AccountDeletion
from service.accounts.blocks import BlockService
from service.accounts.denylist import Denylist
from service.accounts.external_sessions import ExternalSessions
from service.accounts.external_tokens import ExternalTokens
from service.accounts.external_users import ExternalUsers
from service.accounts.key_source import key_source
from service.accounts.passwords import MAX_WAITING_PER_CALLER, Passwords
from service.accounts.profiles import ProfileService
from service.accounts.revocation import Revocation, revocation_lease
from service.accounts.service import AccountService
from service.accounts.tickets import Tickets
from service.accounts.tokens import Tokens
from service.accounts.user_remover import UserRemover
from service.accounts.verifier import CredentialVerifier
from service.attachments.attachments import Attachments
from service.attachments.avatars import Avatars
from service.attachments.images import ImageProcessor
from service.attachments.links import AttachmentLinks
from service.attachments.service import AttachmentService
from service.attachments.storage import file_storage
from service.chat import events
from service.chat.conversation_service import ConversationService
from service.chat.counter_reader import CounterReader
from service.chat.group_service import GroupService
from service.chat.invitation_service import InvitationService
from service.chat.last_announcement import LastAnnouncement
from service.chat.message_service import MessageService
from service.chat.presence_visibility import PresenceVisibility
from service.chat.settings_service import SettingsService
from service.commands.delete_user import delete_user
from service.common.blocks import Block
from service.common.profiles import Profile
from service.common.times import now
from service.datastores.mongo import Mongo
from service.datastores.mongo_tracing import MongoCommandSpans
from service.datastores.redis import REDIS_ERRORS, connect
from service.export.user_export import UserExport
from service.moderation.ban_service import BanService
from service.moderation.moderators import ModeratorService
from service.moderation.report_service import ReportService
from service.moderation.subjects import Subjects
from service.notifications.deletion import NotificationDeletion
from service.notifications.group_service import NotificationGroupService
from service.notifications.grouper import Grouper
from service.notifications.inbox_service import InboxService
from service.notifications.preference_service import PreferenceService
from service.notifications.preview_update import PreviewUpdate
from service.notifications.service import NotificationService
from service.pending_user_changes import PendingUserChanges
from service.posts.attachment_holders import AttachedComments, AttachedPosts
from service.posts.busy_posts import BusyPosts
from service.posts.comment_caches import CommentCaches
from service.posts.comment_context import CommentContextLoader
from service.posts.comment_notices import CommentNotices
from service.posts.deletion_service import DeletionService
from service.posts.deletion_worker import DeletionWorker
from service.posts.edit_service import EditService
from service.posts.live_posts import LivePosts
from service.posts.notification_outbox import NotificationOutbox
from service.posts.post_notices import PostNotices
from service.posts.reaction_notices import ReactionNotices
from service.posts.reaction_service import ReactionService
from service.posts.recipients import RecipientSelector
from service.posts.service import PostService
from service.posts.views import PostViews
from service.posts.visibility import Visibility
from service.push.collector import NewsCollector
from service.push.composer import Composer
from service.push.hosts import PushHosts
from service.push.planner import Planner
from service.push.push_queue import PushDependencies
from service.push.sender import PushSender
from service.push.service import PushService
from service.push.subscriptions import SubscriptionService
from service.realtime.dispatcher import Dispatcher
from service.realtime.presence_service import PresenceService
from service.realtime.presence_store import PresenceStore
from service.realtime.redis_bus import RedisBus
from service.realtime.registry import Registry
from service.realtime.timer_wheel import TimerWheel
from service.retention import Deletion, Retention
from service.search.indexer import SearchIndexer
from service.search.search_service import SearchService
from service.server_api.conversations import ServerConversations
from service.server_api.notifications import ServerNotifications
from service.server_api.users import ServerUsers
from service.stores import Stores
from service.telemetry.metrics import Metrics
from service.webhooks.service import WebhookService


class Lifecycle(Protocol):
    """Something that is started and closed together with the server."""

    async def start(self) -> None: ...

    async def close(self) -> None: ...


class Services:
    """The services by name. Nothing is connected before `start`."""

    def __init__(self, settings: Settings, metrics: Metrics, *, traced: bool) -> None:
        """`settings` has to name both datastores. `traced`: record database and Redis commands as spans."""
        assert settings.mongodb_uri
        assert settings.redis_url
        self._closing = AsyncExitStack()

        self.mongo = Mongo(settings.mongodb_uri, [MongoCommandSpans()] if traced else ())
        tag = settings.redis_tag
        self.redis = connect(settings.redis_url, tag, traced=traced)
        self.links = AttachmentLinks(settings.jwt_secret, settings.jwt_secret_previous)
        self.stores = stores = Stores.build(
            self.mongo.database, metrics.batch_committed, timedelta(seconds=settings.session_max_age), self.links
        )
        storage = file_storage(settings.attachments_url, stores.attachment_files)
        self.attached = attached = Attachments(stores.attachments, storage, self.links)

        self.timers = TimerWheel()
        self.registry = Registry(self.timers)
        self.bus = RedisBus(settings.redis_url, tag)
        self.dispatcher = Dispatcher(self.bus, self.registry)

        self.presence_store = PresenceStore(self.registry, self.bus, self.redis, stores.last_seen, tag=tag)
        self.presence = PresenceService(
            self.presence_store,
            self.bus,
            stores.last_seen,
            events.presence,
            PresenceVisibility(stores.conversations, stores.users.showing_presence, stores.blocks),
        )
        self.dispatcher.subscriptions.on_doubt(self.presence.check_visibility)

        ttl = settings.access_token_ttl
        tokens = Tokens(
            settings.jwt_secret,
            access_ttl=ttl,
            refresh_ttl=settings.refresh_token_ttl,
            other_secrets=settings.jwt_secret_previous,
        )
        limited = settings.rate_limits == "on"
        self.passwords = Passwords(max_per_caller=MAX_WAITING_PER_CALLER if limited else None)
        self.tickets = Tickets(self.redis, tag)
        self.revocation = Revocation(
            stores.sessions,
            Denylist(self.redis, tag),
            self.bus,
            self.registry,
            revocation_lease(self.redis, tag),
            access_ttl=settings.max_access_ttl,
        )
        self.dispatcher.subscriptions.on_doubt(self.revocation.poll_soon)
        self.accounts = AccountService(stores.users, stores.sessions, self.passwords, tokens, self.revocation)
        remover = UserRemover(stores.users, stores.external_ids, stores.sessions, self.revocation)
        self.account_deletion = AccountDeletion(stores.users, self.passwords, remover)
        self.profiles = ProfileService(
            stores.users,
            self._publish_profile,
            lambda user_id: self.presence.announce_visibility([user_id]),
            avatars := Avatars(stores.users, attached),
        )
        self.external_users = ExternalUsers(
            stores.external_ids, stores.users, self.profiles, stores.sessions, self.revocation
        )
        self.external_sessions = self._external_sessions(settings) if settings.auth_issuer else None
        self.verifier = CredentialVerifier(tokens, self.revocation, self.tickets, self.external_sessions)

        self.messages = MessageService(
            stores.conversations,
            stores.messages,
            stores.writers,
            self.dispatcher,
            self.profiles,
            attached,
            partial(metrics.batch_committed, "messages"),
        )
        self.conversations = ConversationService(
            stores.conversations,
            stores.messages,
            self.profiles,
            self.dispatcher,
            self.messages.flush_counters,
            self.messages.append_pending,
            stores.blocks,
            stores.settings,
            self.presence.announce_visibility,
        )
        self.blocks = BlockService(
            stores.blocks, self.profiles, self.conversations.on_block_changed, self._announce_block
        )
        self.last_announcement = LastAnnouncement(self.redis, tag)
        self.conversation_settings = SettingsService(
            stores.settings, stores.conversations, self.conversations, self.dispatcher
        )
        self.groups = GroupService(stores.conversations, stores.invitations, self.conversations)
        self.invitations = InvitationService(stores.invitations, stores.conversations, self.groups, self.profiles)
        self.preferences = PreferenceService(stores.preferences, self.bus, self.dispatcher)
        self.grouper = Grouper(stores.notifications, stores.inboxes, stores.notification_groups)
        self.inboxes = InboxService(stores.notifications, stores.inboxes, self.dispatcher)
        self.notifications = NotificationService(
            stores.notifications,
            stores.inboxes,
            self.inboxes,
            self.preferences,
            self.profiles,
            self.dispatcher,
            self.grouper.schedule,
        )
        self.notification_groups = NotificationGroupService(
            self.notifications,
            stores.notifications,
            self.inboxes,
            stores.notification_groups,
            self.grouper,
            self.profiles,
        )
        self.notification_deletion = NotificationDeletion(
            stores.notifications, self.inboxes, self.grouper, self.dispatcher
        )
        self.server_users = ServerUsers(
            self.external_users,
            AccessIssuer(stores.users, stores.sessions, tokens, self.revocation),
            self.conversations,
            self.notifications,
            self.presence,
            remover,
        )
        self.server_conversations = ServerConversations(
            self.external_users,
            stores.users,
            stores.conversations,
            self.conversations,
            self.groups,
            self.invitations,
            self.messages,
        )
        self.server_notifications = ServerNotifications(self.external_users, self.notifications, stores.blocks)
        self.comment_caches = CommentCaches(
            self.bus, stores.posts, stores.comments, self.profiles, stores.blocks, stores.post_mutes
        )
        self.comment_contexts = CommentContextLoader(self.comment_caches, stores.posts, stores.comments, self.profiles)
        self.comment_notices = CommentNotices(stores.comments, stores.posts, self.comment_contexts)
        post_notices = PostNotices(stores.posts, self.profiles)
        self.recipients = RecipientSelector(self.profiles, self.comment_caches)
        previews = PreviewUpdate(stores.notifications)
        reaction_notices = ReactionNotices(stores.reactions, stores.posts, stores.comments, self.profiles, previews)
        self.outbox = NotificationOutbox(
            [self.comment_notices, post_notices, reaction_notices], self.recipients, self.notifications
        )
        views = PostViews(self.profiles, stores.post_mutes, stores.reactions, attached)
        self.live_posts = LivePosts(
            self.bus, stores.posts, stores.comments, self.profiles, stores.blocks, views, channel=events.CHANNEL
        )
        visibility = Visibility(stores.posts, stores.comments, stores.blocks)
        busy_posts = BusyPosts()
        self.reactions = ReactionService(
            stores.reactions,
            reaction_notices,
            self.profiles,
            stores.post_mutes,
            stores.blocks,
            self.outbox,
            self.live_posts,
            views,
            busy_posts,
        )
        self.posts = PostService(
            stores.posts,
            stores.comments,
            self.profiles,
            stores.post_mutes,
            stores.blocks,
            visibility,
            views,
            self.comment_contexts,
            self.comment_notices,
            post_notices,
            self.outbox,
            self.live_posts,
            attached,
            busy_posts,
            self._announce_post_mute,
        )
        self.post_edits = EditService(
            stores.posts,
            stores.comments,
            self.profiles,
            visibility,
            views,
            self.comment_contexts,
            self.comment_notices,
            post_notices,
            self.recipients,
            self.outbox,
            self.live_posts,
            previews,
        )
        self.deletion_worker = DeletionWorker(
            stores.posts,
            stores.comments,
            stores.reactions,
            self.comment_contexts,
            self.recipients,
            self.notification_deletion,
            self.live_posts,
            attached,
        )
        self.post_deletions = DeletionService(
            stores.posts,
            stores.comments,
            visibility,
            self.recipients,
            self.deletion_worker,
            self.live_posts,
            self.comment_caches,
        )

        self.attachments = AttachmentService(
            stores.attachments,
            storage,
            self.links,
            attached,
            ImageProcessor(metrics.image_seconds.observe),
            {
                "message": self.messages,
                "post": AttachedPosts(stores.posts, visibility),
                "comment": AttachedComments(stores.comments, visibility),
                "avatar": avatars,
            },
        )
        subjects = Subjects(stores.users, stores.conversations, stores.messages, stores.comments, visibility)
        self.moderators = ModeratorService(stores.users, stores.reports, stores.moderation_log)
        self.reports = ReportService(stores.reports, stores.moderation_log, subjects, self.profiles, self.links)
        self.bans = BanService(
            stores.users,
            stores.external_ids,
            stores.sessions,
            self.revocation,
            stores.push_subscriptions,
            stores.moderation_log,
            self.profiles,
        )
        self.push_subscriptions = SubscriptionService(
            stores.push_subscriptions, stores.push_keys, stores.sessions, PushHosts(settings.push_hosts)
        )
        self._pending_user_changes = PendingUserChanges(
            stores.users, partial(delete_user, settings), self.bans.complete, self.redis, tag
        )
        self.webhooks = (
            WebhookService(
                self.mongo.database,
                self.redis,
                tag,
                stores.webhook_deliveries,
                url=settings.webhook_url,
                secrets=settings.webhook_secret,
                events=settings.webhook_events,
                allow_private=settings.webhook_private == "on",
                on_attempt=metrics.webhook_attempted,
            )
            if settings.webhook_url
            else None
        )
        self.push = self._push(settings, metrics)
        counters = CounterReader(stores.messages, self.dispatcher.positions)
        self.search = SearchService(stores.conversations, stores.messages, stores.search_index, counters)
        self.search_indexer = (
            SearchIndexer(self.mongo.database, self.redis, tag, stores.messages, stores.search_index)
            if settings.search == "on"
            else None
        )
        if self.search_indexer:
            self.messages.on_created = self.search_indexer.queue.add
        self.export = UserExport(
            self.accounts,
            self.profiles,
            self.conversations,
            stores.messages,
            stores.posts,
            stores.comments,
            stores.reactions,
            views,
            self.notifications,
            self.preferences,
            self.blocks,
            self.verifier.check,
        )
        self.retention = Retention(self._deletions(settings.notification_retention_days))

    def _push(self, settings: Settings, metrics: Metrics) -> PushService:
        stores = self.stores
        return PushService(
            self.mongo.database,
            self.redis,
            settings.redis_tag,
            NewsCollector(
                stores.push_news,
                stores.push_subscriptions,
                stores.conversations,
                timedelta(seconds=settings.push_delay),
            ),
            Planner(stores.push_subscriptions, stores.conversations, stores.messages, self.presence_store),
            PushDependencies(
                stores.push_deliveries,
                stores.push_news,
                stores.push_subscriptions,
                self.push_subscriptions,
                stores.push_keys,
                Composer(
                    self.conversations,
                    stores.messages,
                    self.notifications,
                    self.inboxes,
                    self.preferences,
                    self.profiles,
                    stores.blocks,
                ),
                self.presence_store,
                PushSender(settings.push_contact, allow_private=settings.push_private == "on"),
                metrics.push_attempted,
            ),
        )

    async def announce(self, text: str) -> None:
        """Send an announcement to everybody who is connected, and keep it for others. Without Redis, only the first."""
        with suppress(*REDIS_ERRORS):
            await self.last_announcement.store(text)
        self.dispatcher.publish(events.announcement(text), None)

    def _external_sessions(self, settings: Settings) -> ExternalSessions:
        keys = key_source(settings.auth_jwks_url, settings.auth_key)
        return ExternalSessions(
            ExternalTokens(settings.auth_issuer, keys, audience=settings.auth_audience),
            self.stores.external_ids,
            self.external_users,
            self.stores.sessions,
            self.revocation,
            reread_after=settings.access_token_ttl,
        )

    def _publish_profile(self, profile: Profile, version: int) -> None:
        self.comment_caches.profiles.changed([profile.id])
        self.dispatcher.publish(events.profile_updated(profile, version), [profile.id])

    def _announce_block(self, block: Block, exists: bool) -> None:
        self.comment_caches.blocks.changed([block])
        self.dispatcher.publish(events.block_updated(block, exists), [block.user_id])
        self.presence.announce_visibility([block.user_id])
        self.live_posts.topics.publish_block(block.user_id, block.blocked_id, exists)

    def _announce_post_mute(self, user_id: str, post_id: str, muted: bool) -> None:
        self.comment_caches.mutes.changed([(ObjectId(user_id), ObjectId(post_id))])
        self.dispatcher.publish(events.post_mute_updated(post_id, muted), [user_id])

    async def start(self) -> None:
        """Start everything that has a background task. `close` closes it in the reverse order."""
        self._closing.callback(self.mongo.close)
        self._closing.push_async_callback(self.redis.aclose)
        self.timers.start()
        self._closing.callback(self.timers.close)
        resources: list[Any] = [
            self.passwords,
            self.attached,
            self.stores.notifications,
            self.stores.comments,
            self.comment_contexts,
            self.stores.reactions,
            self.reactions,
            self.recipients,
            self.comment_notices,
            self.live_posts.topics,
            self.dispatcher,
        ]
        for resource in resources:
            self._closing.push_async_callback(resource.close)
        services: list[Lifecycle] = [
            *([self.external_sessions] if self.external_sessions else []),
            self.bus,
            self.revocation,
            self.presence_store,
            self.presence,
            self.messages,
            self.conversations,
            self.grouper,
            self.inboxes.recent,
            self.notifications,
            self.outbox,
            self.deletion_worker,
            self.retention,
            self._pending_user_changes,
            *([self.webhooks] if self.webhooks else []),
            self.push,
            *([self.search_indexer] if self.search_indexer else []),
        ]
        for service in services:
            await service.start()
            self._closing.push_async_callback(service.close)

    async def close(self) -> None:
        await self._closing.aclose()

    def _deletions(self, notification_days: int) -> dict[str, Deletion]:
        """What retention deletes. `notification_days`: 0 keeps notifications for ever."""
        deletions: dict[str, Deletion] = {
            "sessions": self.stores.sessions.delete_expired,
            "webhooks": self.stores.webhook_deliveries.delete_expired,
            "attachments": self.attachments.sweep,
            "push_subscriptions": self.push_subscriptions.delete_ended,
        }
        if notification_days:
            age = timedelta(days=notification_days)
            deletions["notifications"] = lambda: self.notifications.expire(now() - age)
            deletions["notification_groups"] = lambda: self.stores.notification_groups.expire(now() - age)
        return deletions
