"""One process's chat services on real stores, without HTTP, and connections that keep the events they receive."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

import ujson
from bson import ObjectId

from service.accounts.block_store import BlockStore
from service.chat.conversation_service import ConversationService
from service.chat.conversation_store import ConversationStore
from service.chat.group_service import GroupService
from service.chat.group_store import GroupStore
from service.chat.invitation_service import InvitationService
from service.chat.invitation_store import InvitationStore
from service.chat.large_groups import LargeGroups
from service.chat.message_service import MessageService
from service.chat.message_store import MessageStore
from service.chat.settings_service import SettingsService
from service.chat.settings_store import SettingsStore
from service.chat.writer_checkpoints import WriterCheckpoints
from service.common.profiles import Profile
from service.datastores.mongo import Database
from service.realtime.bus import Bus, LocalBus
from service.realtime.dispatcher import Dispatcher
from service.realtime.event_stream import EventStream
from service.realtime.registry import Registry
from service.realtime.timer_wheel import TimerWheel
from tests.attachments.in_database import LINKS, attachments_in
from tests.realtime.wire import identity, queued

Writes = Callable[["ChatProcess"], GroupStore | LargeGroups]
"""Returns what writes the changes of a process's groups; see the fixture `group_writes`."""

ADA, BOB, CAY, DAN = (f"{letter * 24}" for letter in "abcd")


class FakeProfiles:
    """Every user id exists, except the one that is all zeroes."""

    async def profiles(self, user_ids: Iterable[str]) -> dict[str, Profile]:
        return {
            user_id: Profile(id=user_id, username=user_id[:4], display_name=user_id[:4])
            for user_id in user_ids
            if user_id.strip("0")
        }

    async def existing(self, user_ids: Iterable[str]) -> set[str]:
        return set(await self.profiles(user_ids))

    async def ids_by_username(self, usernames: Iterable[str]) -> dict[str, str]:
        return {name: name[0] * 24 for name in usernames}


class ChatProcess:
    """The services of one process. Several instances on one database act as several processes."""

    def __init__(self, database: Database, bus: Bus | None = None) -> None:
        self.conversation_store = ConversationStore(database)
        self.attachments = attachments_in(database)
        self.message_store = MessageStore(database, LINKS)
        self.registry = Registry(TimerWheel())
        self.bus = bus or LocalBus()
        self.dispatcher = Dispatcher(self.bus, self.registry)
        self.checkpoints = WriterCheckpoints(database)
        self.blocks = BlockStore(database)
        self.settings_store = SettingsStore(database)
        self.messages = MessageService(
            self.conversation_store,
            self.message_store,
            self.checkpoints,
            self.dispatcher,
            FakeProfiles(),
            self.attachments,
        )
        self.conversations = ConversationService(
            self.conversation_store,
            self.message_store,
            FakeProfiles(),
            self.dispatcher,
            self.messages.flush_counters,
            self.messages.append_pending,
            self.blocks,
            self.settings_store,
        )
        self.settings = SettingsService(
            self.settings_store, self.conversation_store, self.conversations, self.dispatcher
        )
        self.invitation_store = InvitationStore(database)
        self.groups = GroupService(self.conversation_store, self.invitation_store, self.conversations)
        self.invitations = InvitationService(
            self.invitation_store, self.conversation_store, self.groups, FakeProfiles()
        )

    async def create_indexes(self) -> None:
        await self.conversation_store.create_indexes()
        await self.message_store.create_indexes()
        await self.invitation_store.create_indexes()
        await self.blocks.create_indexes()
        await self.settings_store.create_indexes()

    def listen(self, user_id: str) -> EventStream:
        """Register a connection that never goes live: its events stay in the queue, where tests read them."""
        stream = EventStream(self.registry, identity(user_id), "chat")
        stream.queue.max_events = stream.queue.max_bytes = 1 << 30
        self.registry.register(stream)
        return stream

    async def conversation(self, *user_ids: str, title: str | None = None) -> str:
        first, *others = user_ids
        conversation, _ = await self.conversations.create(first, others, title)
        return str(conversation["id"])

    async def group(self, *user_ids: str) -> str:
        return await self.conversation(*user_ids, title="A group")

    async def stored(self, conversation_id: str) -> list[dict[str, Any]]:
        """Return the stored messages, ascending by seq."""
        return await self.message_store.range(ObjectId(conversation_id), 1, 1 << 30)

    async def close(self) -> None:
        await self.messages.close()
        await self.conversations.close()
        await self.dispatcher.close()


def kill_before_publishing(process: ChatProcess) -> MessageService:
    """Make the process end between storing a message and publishing it; return its message service."""

    def end(*args: object, **kwargs: object) -> None:
        raise asyncio.CancelledError

    async def nothing(*args: object) -> None:
        """A dead process writes no counters."""

    process.dispatcher.publish = end  # type: ignore[method-assign]
    process.conversation_store.apply_counters = nothing  # type: ignore[method-assign]
    return process.messages


def texts(messages: Iterable[Any]) -> list[str]:
    """Return the contents of those of the messages that users have written."""
    return [message["content"] for message in messages if message and message["kind"] == "text"]


def received(stream: EventStream, *types: str) -> list[dict[str, Any]]:
    """Return the events that `stream` has received, of these types or of all."""
    events = [ujson.loads(event.json) for event in queued(stream)]
    return [event for event in events if not types or event["type"] in types]


async def wait_for_events(stream: EventStream, type: str, count: int = 1) -> list[dict[str, Any]]:
    """Wait until `stream` has received `count` events of a type; return them."""
    async with asyncio.timeout(10):
        while len(found := received(stream, type)) < count:
            await asyncio.sleep(0.01)
    return found
