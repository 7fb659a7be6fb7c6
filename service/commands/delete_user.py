"""`python -m service delete-user`: deletes a user with all of their data."""

import asyncio
import time
from datetime import datetime, timedelta
from typing import NamedTuple

from bson import ObjectId

from config.settings import Settings
from service.accounts.profiles import ProfileService
from service.attachments.attachments import Attachments
from service.attachments.storage import file_storage
from service.chat import events
from service.chat.conversation_service import ConversationService
from service.chat.erasure import ChatErasure
from service.chat.group_service import GroupService
from service.chat.message_service import MessageService
from service.commands.connected import CommandFailed, Datastores, connected, revocation
from service.common.times import now
from service.notifications.deletion import NotificationDeletion
from service.notifications.grouper import Grouper
from service.notifications.inbox_service import InboxService
from service.posts.comment_caches import CommentCaches
from service.posts.comment_context import CommentContextLoader
from service.posts.erasure import PostErasure
from service.posts.recipients import RecipientSelector
from service.realtime.dispatcher import Dispatcher
from service.realtime.presence_service import PresenceService
from service.realtime.presence_store import PresenceStore
from service.realtime.registry import Registry
from service.realtime.timer_wheel import TimerWheel

MAX_REQUEST_TIME = timedelta(minutes=1)
"""A request that began before the sessions were revoked has ended after this time."""
OFFLINE_TIMEOUT = 25.0
"""Seconds after which a user without connections is offline on every process, even if one of theirs has died."""
POLL_INTERVAL = 0.1


class PresenceState(NamedTuple):
    """Whether a user is online, and when they last went offline."""

    online: bool
    last_seen: datetime | None


class Deleted(NamedTuple):
    """The number of objects that were deleted, by kind."""

    groups: int
    messages: int
    posts: int
    comments: int
    notifications: int


async def delete_user(settings: Settings, username: str) -> Deleted:
    """Delete `username` with all of their data. Raises CommandFailed. If it is interrupted, it can be run again."""
    async with connected(settings) as datastores:
        deletion = Deletion(settings, datastores)
        try:
            return await deletion.run(username.lower())
        finally:
            await deletion.close()


class Deletion:
    """The deletion of one user. It revokes their sessions first and frees the username last: if it is interrupted,
    another run still finds the user, and repeats every step.

    Messages and comments are emptied but kept if the numbering of a conversation or a thread needs them.
    """

    def __init__(self, settings: Settings, datastores: Datastores) -> None:
        stores, redis, bus, links = datastores
        self._stores = stores
        registry = Registry(TimerWheel())
        self._dispatcher = Dispatcher(bus, registry)
        profiles = ProfileService(stores.users)
        caches = CommentCaches(bus, stores.posts, stores.comments, profiles, stores.blocks, stores.post_mutes)
        self._contexts = CommentContextLoader(caches, stores.posts, stores.comments, profiles)
        self._recipients = RecipientSelector(profiles, caches)
        self._post_erasure = PostErasure(
            stores.posts,
            stores.comments,
            self._contexts,
            self._recipients,
            stores.reactions,
            NotificationDeletion(
                stores.notifications,
                InboxService(stores.notifications, stores.inboxes, self._dispatcher),
                Grouper(stores.notifications, stores.inboxes, stores.notification_groups),
                self._dispatcher,
            ),
            caches,
        )
        self._attachments = Attachments(
            stores.attachments, file_storage(settings.attachments_url, stores.attachment_files), links
        )
        self._chat = MessageService(
            stores.conversations, stores.messages, stores.writers, self._dispatcher, profiles, self._attachments
        )
        presence_store = PresenceStore(registry, bus, redis, stores.last_seen, tag=settings.redis_tag)
        self._presence = PresenceService(presence_store, bus, stores.last_seen, events.presence)
        self._conversations = ConversationService(
            stores.conversations,
            stores.messages,
            profiles,
            self._dispatcher,
            self._chat.flush_counters,
            self._chat.append_pending,
            stores.blocks,
            stores.settings,
            self._presence.announce_visibility,
        )
        self._erasure = ChatErasure(
            stores.conversations,
            stores.messages,
            self._chat,
            GroupService(stores.conversations, stores.invitations, self._conversations),
        )
        self._revocation = revocation(settings, datastores, registry)

    async def run(self, username: str) -> Deleted:
        """Delete the user; return how much was deleted. Raises CommandFailed if there is no such user; Unavailable."""
        started = now()
        # If this process is killed, the servers publish what it has stored but not published, as for one of their own.
        await self._chat.start()
        await self._conversations.start()
        user_id = await self._stores.users.begin_deletion(username)
        if user_id is None:
            raise CommandFailed("there is no user of that name")
        for external_id in (await self._stores.users.external_ids([user_id])).values():
            await self._stores.external_ids.unbind(external_id, user_id)
        presence = await self._presence_of(user_id)
        await self._revocation.announce(user_id, await self._stores.sessions.revoke_others(user_id, keep=""))
        await self._stores.sessions.erase_user_agents(user_id)
        await self._erase_pushes(user_id)
        groups = await self._erasure.leave_groups(user_id)
        messages = await self._erasure.erase_messages(user_id)
        posts = await self._post_erasure.erase_posts(user_id)
        comments = await self._post_erasure.erase_comments(user_id)
        await self._wait_until_offline(user_id, presence)
        # Again, for the requests that were in progress when the sessions were revoked.
        since = started - MAX_REQUEST_TIME
        groups += await self._erasure.leave_groups(user_id)
        messages += await self._erasure.erase_messages(user_id, since)
        posts += await self._post_erasure.erase_posts(user_id, since)
        await self._post_erasure.erase_comments(user_id, since)
        await self._erase_pushes(user_id)
        notifications = await self._stores.notifications.delete_all(user_id)
        await self._stores.notification_groups.delete_all(user_id)
        await self._stores.inboxes.delete(user_id)
        await self._stores.preferences.delete(user_id)
        await self._stores.post_mutes.remove_all(user_id)
        await self._post_erasure.erase_reactions(user_id)
        await self._attachments.remove_of_user(user_id)
        await self._stores.last_seen.delete(user_id)
        await self._remove_blocks(user_id)
        await self._stores.settings.delete_all(ObjectId(user_id))
        await self._stores.reports.delete_all(user_id)
        await self._stores.users.finish_deletion(user_id, username)
        return Deleted(groups, messages, posts, comments, notifications)

    async def _erase_pushes(self, user_id: str) -> None:
        await self._stores.push_subscriptions.delete_all(user_id)
        await self._stores.push_news.delete_all(user_id)
        await self._stores.push_deliveries.delete_all(user_id)

    async def close(self) -> None:
        await self._recipients.close()
        await self._stores.reactions.close()
        await self._contexts.close()
        await self._conversations.close()
        await self._chat.close()
        await self._attachments.close()
        await self._dispatcher.close()

    async def _remove_blocks(self, user_id: str) -> None:
        """Remove the blocks by and of the user, and their traces in direct conversations.

        A deletion that was interrupted may have left a barrier without a block.
        """
        behind_barriers = await self._stores.conversations.direct.partners_with_barrier(ObjectId(user_id))
        for other in await self._stores.blocks.concerned_by(user_id) | set(map(str, behind_barriers)):
            await self._stores.blocks.remove(user_id, other)
            await self._stores.blocks.remove(other, user_id)
            await self._conversations.direct_blocks.reconcile(user_id, other)

    async def _presence_of(self, user_id: str) -> PresenceState:
        state = (await self._presence.states([user_id]))[user_id]
        times = await self._stores.last_seen.look_up([user_id])
        return PresenceState(state["online"], times.get(user_id))

    async def _wait_until_offline(self, user_id: str, before: PresenceState) -> None:
        """Wait until no process has a connection of the user, and the last such process has recorded `last_seen`."""
        deadline = time.monotonic() + OFFLINE_TIMEOUT
        while time.monotonic() < deadline:
            presence = await self._presence_of(user_id)
            if not presence.online and (not before.online or presence.last_seen != before.last_seen):
                return
            await asyncio.sleep(POLL_INTERVAL)
