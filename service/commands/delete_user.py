"""`python -m service delete-user`: a user goes, with everything that is theirs."""

import asyncio
import time
from datetime import datetime, timedelta
from typing import NamedTuple

from pymongo.errors import PyMongoError
from redis.asyncio import Redis

from config.settings import Settings
from service.accounts.denylist import Denylist
from service.accounts.profiles import ProfileService
from service.accounts.revocation import Revocation
from service.chat import events
from service.chat.conversation_service import ConversationService
from service.chat.erasure import ChatErasure
from service.chat.message_service import MessageService
from service.common.errors import Unavailable
from service.common.times import now
from service.datastores.data_directory import DataDirectory
from service.datastores.mongo import Mongo
from service.datastores.redis import REDIS_ERRORS, connect, ping
from service.realtime.dispatcher import Dispatcher
from service.realtime.presence_service import PresenceService
from service.realtime.presence_store import PresenceStore
from service.realtime.redis_bus import RedisBus
from service.realtime.registry import Registry
from service.realtime.timer_wheel import TimerWheel
from service.stores import Stores

UNDER_WAY = timedelta(minutes=1)
"""What was asked for before the sessions ended has ended, one way or the other, after so long."""
OFFLINE_LIMIT = 25.0
"""Seconds within which a user without a connection is offline to all, even if it was on a process that has died."""
POLL_INTERVAL = 0.1


class CannotDelete(Exception):
    """There is no such user, or a datastore is away. The message says which, in one line."""


class Seen(NamedTuple):
    """Whether a user is online, and when they last went offline."""

    online: bool
    last: datetime | None


class Deleted(NamedTuple):
    """How much there was to delete."""

    groups: int
    messages: int
    posts: int
    comments: int
    notifications: int


async def delete_user(settings: Settings, username: str) -> Deleted:
    """Delete `username` and all that is theirs. Raises CannotDelete; whatever ends it half-way, it may be run again."""
    directory = DataDirectory(settings.data_dir)
    uri = settings.mongodb_uri or directory.read("mongodb.uri")
    url = settings.redis_url or directory.read("redis.url")
    if not (uri and url):
        raise CannotDelete(
            f"DATA_DIR: no Loa is running in {settings.data_dir}, and MONGODB_URI or REDIS_URL is not set"
        )
    tag = settings.redis_tag
    mongo, redis = Mongo(uri), connect(url, tag)
    bus = RedisBus(redis, tag)
    try:
        # Without Redis, the connections of others would not be notified of the deletions.
        await ping(redis, tag)
        await bus.start()
        deletion = Deletion(settings, Stores.build(mongo.database), bus, redis)
        try:
            return await deletion.run(username.lower())
        finally:
            await deletion.close()
            await bus.close()
    except REDIS_ERRORS as error:
        raise CannotDelete(f"Redis cannot be reached ({type(error).__name__}); run it again") from error
    except PyMongoError as error:
        raise CannotDelete(f"MongoDB refuses it ({type(error).__name__}); run it again") from error
    except Unavailable as error:
        raise CannotDelete(f"{error} Run it again") from error
    finally:
        await redis.aclose()
        mongo.close()


class Deletion:
    """One user's. Who signs in goes first and the name last: until then another run finds them, and does it all again.

    What they have said is emptied, not taken out, wherever the numbers of others count on it.
    """

    def __init__(self, settings: Settings, stores: Stores, bus: RedisBus, redis: "Redis") -> None:
        self._stores = stores
        registry = Registry(TimerWheel())
        self._dispatcher = Dispatcher(bus, registry)
        self._chat = MessageService(stores.conversations, stores.messages, stores.writers, self._dispatcher)
        membership = ConversationService(
            stores.conversations,
            stores.messages,
            ProfileService(stores.users),
            self._dispatcher,
            self._chat.flush_counters,
        )
        self._erasure = ChatErasure(stores.conversations, stores.messages, self._chat, membership)
        presence_store = PresenceStore(registry, bus, redis, stores.last_seen, tag=settings.redis_tag)
        self._presence = PresenceService(presence_store, bus, stores.last_seen, events.presence)
        self._revocation = Revocation(
            stores.sessions,
            Denylist(redis, settings.redis_tag),
            bus,
            registry,
            access_ttl=settings.access_token_ttl,
        )

    async def run(self, username: str) -> Deleted:
        """Raises CannotDelete where there is no such user; Unavailable."""
        started = now()
        # As a server does: were this process killed, others would see to what it stored and had not told yet.
        await self._chat.start()
        user_id = await self._stores.users.begin_deletion(username)
        if user_id is None:
            raise CannotDelete("there is no user of that name")
        seen = await self._seen(user_id)
        await self._revocation.announce(await self._stores.sessions.revoke_others(user_id, keep=""))
        await self._stores.sessions.erase_user_agents(user_id)
        groups = await self._erasure.leave_groups(user_id)
        messages = await self._erasure.erase_messages(user_id)
        posts = await self._stores.posts.erase(user_id)
        comments = await self._forget_comments(user_id)
        await self._gone(user_id, seen)
        # What was on its way when the sessions ended.
        since = started - UNDER_WAY
        messages += await self._erasure.erase_messages(user_id, since)
        posts += await self._stores.posts.erase(user_id, since)
        await self._forget_comments(user_id, since)
        notifications = await self._stores.notifications.delete_all(user_id)
        await self._stores.inboxes.delete(user_id)
        await self._stores.last_seen.delete(user_id)
        await self._stores.users.finish_deletion(user_id)
        return Deleted(groups, messages, posts, comments, notifications)

    async def close(self) -> None:
        await self._chat.close()
        await self._dispatcher.close()

    async def _forget_comments(self, user_id: str, since: datetime | None = None) -> int:
        emptied = 0
        async for comment_ids in self._stores.comments.erase(user_id, since):
            await self._stores.notifications.erase_previews(comment_ids)
            emptied += len(comment_ids)
        return emptied

    async def _seen(self, user_id: str) -> Seen:
        state = (await self._presence.states([user_id]))[user_id]
        times = await self._stores.last_seen.look_up([user_id])
        return Seen(state["online"], times.get(user_id))

    async def _gone(self, user_id: str, before: Seen) -> None:
        """Wait until no process has a connection of theirs, and the last one has noted when it went."""
        deadline = time.monotonic() + OFFLINE_LIMIT
        while time.monotonic() < deadline:
            seen = await self._seen(user_id)
            if not seen.online and (not before.online or seen.last != before.last):
                return
            await asyncio.sleep(POLL_INTERVAL)
