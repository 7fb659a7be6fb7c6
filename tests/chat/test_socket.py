"""What a client asked for on a socket that is gone."""

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
from service.realtime.presence_service import PresenceService
from service.realtime.presence_store import PresenceStore
from service.telemetry.metrics import Metrics
from tests.chat.world import ADA, BOB, World, heard
from tests.http.conftest import OneVerifier
from tests.realtime.wire import web_socket, wired


async def test_what_was_read_is_told_though_the_reader_hung_up(
    world: World, mongo: Mongo, redis: Redis, monkeypatch: Any
) -> None:
    """It had been stored, and the answer was not there yet: the reader's other device and the others hear of it."""
    group = await world.group(ADA, BOB)
    await world.chat.send(BOB, group, "Hello")
    stored, let = asyncio.Event(), asyncio.Event()
    store = world.conversations.read

    async def stop_after(conversation_id: ObjectId, user_id: ObjectId, seq: int) -> bool:
        moved = await store(conversation_id, user_id, seq)
        stored.set()
        await let.wait()
        return moved

    monkeypatch.setattr(world.conversations, "read", stop_after)
    device, other = world.listen(ADA), world.listen(BOB)
    shielded_tasks = ShieldedTasks()
    last_seen = LastSeenStore(mongo.database)
    presence_store = PresenceStore(world.registry, world.bus, redis, last_seen)
    presence = PresenceService(presence_store, world.bus, last_seen, events.presence)
    limits = RateLimits(None, False)
    socket = web_socket(world.registry, ADA)
    chat = ChatSocket(socket, world.chat, world.membership, presence, OneVerifier(), limits, shielded_tasks, Metrics())
    gone = asyncio.Event()
    socket.on_close(gone.set)
    with world.registry.registration(socket):
        await chat.begin()
    async with wired(socket) as peer:
        peer.send(Opcode.TEXT, dumps({"type": "read", "conversation_id": group, "seq": 1}).encode())
        await stored.wait()
        peer.writer.transport.abort()
        await gone.wait()
        let.set()
        await shielded_tasks.close()
    for stream in (device, other):
        (told,) = heard(stream, "read")
        assert {"user_id": ADA, "seq": 1} == told["data"]
