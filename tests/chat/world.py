"""The chat without its edges: one process's services on real stores, and listeners that keep what they are sent."""

import asyncio
from collections.abc import Iterable
from typing import Any

import ujson
from bson import ObjectId

from service.chat.conversation_service import ConversationService
from service.chat.conversation_store import ConversationStore
from service.chat.message_service import MessageService
from service.chat.message_store import MessageStore
from service.chat.writer_checkpoints import WriterCheckpoints
from service.common.profiles import Profile
from service.datastores.mongo import Database
from service.realtime.bus import Bus, LocalBus
from service.realtime.dispatcher import Dispatcher
from service.realtime.event_stream import EventStream
from service.realtime.registry import Registry
from service.realtime.timer_wheel import TimerWheel
from tests.realtime.wire import identity, queued

ADA, BOB, CAY, DAN = (f"{letter * 24}" for letter in "abcd")


class Everyone:
    """Whoever has an id exists, but for those whose id is all zeroes."""

    async def profiles(self, user_ids: Iterable[str]) -> dict[str, Profile]:
        return {
            user_id: Profile(id=user_id, username=user_id[:4], display_name=user_id[:4])
            for user_id in user_ids
            if user_id.strip("0")
        }

    async def existing(self, user_ids: Iterable[str]) -> set[str]:
        return set(await self.profiles(user_ids))


class World:
    """One process. Several of them on one database are as many processes."""

    def __init__(self, database: Database, bus: Bus | None = None) -> None:
        self.conversations = ConversationStore(database)
        self.messages = MessageStore(database)
        self.registry = Registry(TimerWheel())
        self.bus = bus or LocalBus()
        self.dispatcher = Dispatcher(self.bus, self.registry)
        self.writers = WriterCheckpoints(database)
        self.chat = MessageService(self.conversations, self.messages, self.writers, self.dispatcher)
        self.membership = ConversationService(
            self.conversations, self.messages, Everyone(), self.dispatcher, self.chat.flush_counters
        )

    async def create_indexes(self) -> None:
        await self.conversations.create_indexes()
        await self.messages.create_indexes()

    def listen(self, user_id: str) -> EventStream:
        """A connection that is held, so that what it is sent can be looked at."""
        stream = EventStream(self.registry, identity(user_id), "chat")
        stream.queue.max_events = stream.queue.max_bytes = 1 << 30
        self.registry.register(stream)
        return stream

    async def conversation(self, *user_ids: str, title: str | None = None) -> str:
        first, *others = user_ids
        conversation, _ = await self.membership.create(first, others, title)
        return str(conversation["id"])

    async def group(self, *user_ids: str) -> str:
        return await self.conversation(*user_ids, title="A group")

    async def stored(self, conversation_id: str) -> list[dict[str, Any]]:
        found = await self.messages.range(ObjectId(conversation_id), 1, 1 << 30)
        return found

    async def close(self) -> None:
        await self.chat.close()
        await self.dispatcher.close()


def heard(stream: EventStream, *types: str) -> list[dict[str, Any]]:
    """What `stream` was sent, of these types or of all."""
    events = [ujson.loads(event.json) for event in queued(stream)]
    return [event for event in events if not types or event["type"] in types]


async def until_heard(stream: EventStream, type: str, count: int = 1) -> list[dict[str, Any]]:
    """Wait until `stream` has been sent so many of a type."""
    async with asyncio.timeout(10):
        while len(found := heard(stream, type)) < count:
            await asyncio.sleep(0.01)
    return found
