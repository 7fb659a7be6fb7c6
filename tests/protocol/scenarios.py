"""The scenarios of test_patience.py: what takes its time, because a timer does or a process."""

import asyncio
import os
import signal
import time

import pytest
from websockets.exceptions import InvalidStatus

from tests.protocol.doors import LIVE_DOORS
from tests.protocol.processes import worker_of
from tests.protocol.socket import Socket
from tests.protocol.stream import Refused
from tests.protocol.world import Person, World, is_time, problem
from tests.running import alive, eventually

HEARTBEAT = 20.0
TICKET = 30.0
SILENCE = 45.0
"""Seconds: a ping after 25, and 20 more without an answer."""
HEALING = 30.0
"""Seconds within which presence is right again after a worker's sudden end."""


async def heartbeat(world: World) -> None:
    """A stream on which nothing happens carries a heartbeat every 20 seconds, and nothing else."""
    anna = await world.person()
    stream = await anna.stream()
    began = time.monotonic()
    for _ in range(2):
        beat = await stream.event("heartbeat", within=HEARTBEAT + 2)
        assert is_time(beat["data"]["server_time"])
    assert time.monotonic() - began > HEARTBEAT
    assert ["hello", "heartbeat", "heartbeat"] == [event["type"] for event in stream.seen]


async def silent_peer(world: World) -> None:
    """A peer that answers no ping is dropped after 45 seconds, and its user is offline; one that answers stays."""
    anna, ben = await world.people(2)
    watcher, silent = await anna.chat(), await ben.chat()
    await watcher.ask("watch_presence", user_ids=[ben.id])
    assert (await watcher.event("presence"))["data"]["online"]
    began = time.monotonic()
    silent.websocket.transport.pause_reading()
    gone = await watcher.event("presence", within=SILENCE + 10)
    assert not gone["data"]["online"]
    assert SILENCE - 6 < time.monotonic() - began
    await watcher.fence()


async def ticket_expiry(world: World) -> None:
    """A ticket opens nothing any more after its 30 seconds."""
    anna = await world.person()
    tickets = [await anna.ticket() for _ in LIVE_DOORS]
    await asyncio.sleep(TICKET + 1)
    for ticket, door in zip(tickets, LIVE_DOORS, strict=True):
        assert "token_invalid" == await door(world, {"ticket": ticket})


async def killed_worker(world: World) -> None:
    """A worker ended by kill -9 is replaced, presence heals within 30 seconds, and the other serves all along."""
    server = world.server
    anna, ben = await world.people(2)
    direct = await anna.talk(ben)
    watcher = await anna.chat()
    safe = worker_of(server, watcher)
    his = await elsewhere(world, ben, safe)
    await watcher.ask("watch_presence", user_ids=[ben.id])
    assert (await watcher.event("presence"))["data"]["online"]

    os.kill(worker_of(server, his), signal.SIGKILL)
    began = time.monotonic()
    assert 1006 == (await his.closed())[0]
    for seq in range(1, 6):
        sent = await watcher.ask("send_message", conversation_id=direct, content="x")
        assert seq == sent["data"]["seq"]
    gone = (await watcher.event("presence", within=HEALING))["data"]
    assert (ben.id, False) == (gone["user_id"], gone["online"])
    assert False is (await anna.get("/presence", user_ids=ben.id))[ben.id]["online"]
    assert time.monotonic() - began < HEALING

    await asyncio.to_thread(eventually, lambda: "runs again" in server.text and len(server.workers) == 2, 20.0)
    back = await elsewhere(world, ben, safe)
    assert (await watcher.event("presence"))["data"]["online"]
    await back.ask("sync", conversations={direct: 0})
    assert [1, 2, 3, 4, 5] == [message["seq"] for message in (await back.event("sync"))["data"]["messages"]]
    sent = await watcher.ask("send_message", conversation_id=direct, content="x")
    assert sent["data"] == (await back.event("new_message"))["data"]


async def elsewhere(world: World, person: Person, pid: int) -> Socket:
    """The person's only socket, on another worker than that one."""
    for _ in range(60):
        socket = await person.chat()
        if worker_of(world.server, socket) != pid:
            return socket
        await socket.leave()
    raise AssertionError("all of sixty connections came to the same worker")


async def draining(world: World) -> None:
    """SIGTERM: sockets hear `draining` and are closed with 1012, streams hear it with `retry` and end, each told
    another time to come back; meanwhile the server takes nobody new; then it ends well, and no child is left."""
    server = world.server
    anna = await world.person()
    chats = [await anna.chat() for _ in range(4)]
    sockets = [await anna.notification_socket() for _ in range(3)]
    streams = [await anna.stream() for _ in range(4)]
    deaf = await anna.chat()
    deaf.websocket.transport.pause_reading()  # it does not answer the close, so that its worker has to wait for it
    children = server.children
    server.signal(signal.SIGTERM)
    delays = []
    for socket in (*chats, *sockets):
        event = await socket.event("draining")
        delays.append(event.get("data", event)["reconnect_after_ms"])
        assert (1012, "restart") == await socket.closed()
    for stream in streams:
        event = await stream.event("draining")
        assert {"reconnect_after_ms"} == set(event["data"])
        delays.append(event["data"]["reconnect_after_ms"])
        assert delays[-1] == await stream.retry(2)
        await stream.closed()
    assert all(0 < delay < 60_000 for delay in delays)
    assert len(set(delays)) > len(delays) // 2, f"they would all come back together: {delays}"

    problem(await world.http.get("/readyz"), 503, "unavailable")
    assert 200 == (await world.http.get("/healthz")).status_code
    with pytest.raises(InvalidStatus) as refused:
        await anna.chat()
    assert 503 == refused.value.response.status_code
    with pytest.raises(Refused) as not_opened:
        await anna.stream()
    problem(not_opened.value.response, 503, "unavailable")

    assert 0 == await asyncio.to_thread(server.wait)
    assert children
    assert [] == [child for child in children if alive(child)]


async def short_life(world: World) -> None:
    """With ACCESS_TOKEN_TTL=3 a socket is warned at once and closed with `token_expired` in time; HTTP agrees."""
    anna = await world.person()
    began = time.monotonic()
    connections = [await anna.chat(), await anna.notification_socket(), await anna.stream()]
    for connection in connections:
        event = await connection.event("token_expiring")
        assert is_time(event.get("data", event)["token_expires_at"])
    assert [(1008, "token_expired")] * 2 == [await socket.closed() for socket in connections[:2]]
    await connections[2].closed()
    assert 1.5 < time.monotonic() - began < 15
    await anna.refused(401, "token_expired", "GET", "/users/me")
    await anna.refresh()
    await anna.get("/users/me")
