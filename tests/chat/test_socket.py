"""Frames of a chat socket that has been closed by the client."""

import asyncio
from typing import Any

from bson import ObjectId
from redis.asyncio import Redis
from websockets.frames import Opcode

from service.chat import events
from service.chat.last_seen import LastSeenStore
from service.chat.socket import ChatSocket
from service.common.encoding import dumps
from service.datastores.mongo import Mongo
from service.http.limits import RateLimits
from service.http.shielded_tasks import ShieldedTasks
from service.posts.live_posts import LivePosts
from service.posts.views import PostViews
from service.realtime.presence_service import PresenceService
from service.realtime.presence_store import PresenceStore
from service.stores import Stores
from service.telemetry.metrics import Metrics
from tests.chat.chat_process import ADA, BOB, ChatProcess, received
from tests.http.conftest import OneVerifier
from tests.realtime.wire import web_socket, wired


async def test_read_frame_is_completed_after_a_disconnect(
    process: ChatProcess, mongo: Mongo, redis: Redis, monkeypatch: Any
) -> None:
    """The client disconnects while the mark is being stored: it is published to its other devices and the others."""
    group = await process.group(ADA, BOB)
    await process.messages.send(BOB, group, "Hello")
    stored, resume = asyncio.Event(), asyncio.Event()
    store = process.conversation_store.mark_read

    async def pause_after(conversation_id: ObjectId, user_id: ObjectId, seq: int) -> bool:
        moved = await store(conversation_id, user_id, seq)
        stored.set()
        await resume.wait()
        return moved

    monkeypatch.setattr(process.conversation_store, "mark_read", pause_after)
    device, other = process.listen(ADA), process.listen(BOB)
    shielded_tasks = ShieldedTasks()
    last_seen = LastSeenStore(mongo.database)
    presence_store = PresenceStore(process.registry, process.bus, redis, last_seen)
    presence = PresenceService(presence_store, process.bus, last_seen, events.presence)
    limits = RateLimits(None, False)
    socket = web_socket(process.registry, ADA)
    stores = Stores.build(mongo.database)
    views = PostViews(stores.users, stores.post_mutes, stores.reactions, process.attachments)
    posts = LivePosts(
        process.bus, stores.posts, stores.comments, stores.users, stores.blocks, views, channel=events.CHANNEL
    )
    handler = ChatSocket(
        socket,
        process.messages,
        process.conversations,
        presence,
        posts,
        OneVerifier(),
        limits,
        shielded_tasks,
        Metrics(),
    )
    closed = asyncio.Event()
    socket.on_close(closed.set)
    with process.registry.registration(socket):
        await handler.begin()
    async with wired(socket) as peer:
        peer.send(Opcode.TEXT, dumps({"type": "read", "conversation_id": group, "seq": 1}).encode())
        await stored.wait()
        peer.writer.transport.abort()
        await closed.wait()
        resume.set()
        await shielded_tasks.close()
    for stream in (device, other):
        (event,) = received(stream, "read")
        assert {"user_id": ADA, "seq": 1} == event["data"]
