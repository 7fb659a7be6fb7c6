"""Scenarios that take long, because of a timer or a restarting process; see background_scenarios.py."""

import asyncio
import os
import signal
import time

import pytest
from websockets.exceptions import InvalidStatus

from tests.protocol.authenticated_endpoints import CONNECTION_ENDPOINTS
from tests.protocol.clients import Clients, User, is_time, problem
from tests.protocol.socket import Socket
from tests.protocol.stream import Refused
from tests.protocol.worker_lookup import worker_of
from tests.running import alive, eventually

HEARTBEAT = 20.0
TICKET = 30.0
IDLE_TIMEOUT = 45.0
"""Seconds: a ping is sent after 25, and the peer has 20 to answer."""
PRESENCE_TIMEOUT = 30.0
"""Seconds within which presence is correct again after a worker was killed."""


async def heartbeat(clients: Clients) -> None:
    """An idle stream gets a heartbeat every 20 seconds, and nothing else."""
    anna = await clients.user()
    stream = await anna.stream()
    began = time.monotonic()
    for _ in range(2):
        beat = await stream.event("heartbeat", within=HEARTBEAT + 2)
        assert is_time(beat["data"]["server_time"])
    assert time.monotonic() - began > HEARTBEAT
    assert ["hello", "heartbeat", "heartbeat"] == [event["type"] for event in stream.received]


async def silent_peer(clients: Clients) -> None:
    """A peer that does not answer pings is disconnected after 45 seconds, and its user is offline."""
    anna, ben = await clients.users(2)
    await anna.start_conversation(ben)
    watcher, silent = await anna.chat_socket(), await ben.chat_socket()
    await watcher.request("watch_presence", user_ids=[ben.id])
    assert (await watcher.event("presence"))["data"]["online"]
    began = time.monotonic()
    silent.websocket.transport.pause_reading()
    gone = await watcher.event("presence", within=IDLE_TIMEOUT + 10)
    assert not gone["data"]["online"]
    assert IDLE_TIMEOUT - 6 < time.monotonic() - began
    await watcher.flush()


async def ticket_expiry(clients: Clients) -> None:
    """A ticket is rejected after 30 seconds."""
    anna = await clients.user()
    tickets = [await anna.ticket() for _ in CONNECTION_ENDPOINTS]
    await asyncio.sleep(TICKET + 1)
    for ticket, endpoint in zip(tickets, CONNECTION_ENDPOINTS, strict=True):
        assert "token_invalid" == await endpoint(clients, {"ticket": ticket})


async def killed_worker(clients: Clients) -> None:
    """A killed worker is replaced; presence is correct within 30 seconds; the other worker serves meanwhile."""
    server = clients.server
    anna, ben = await clients.users(2)
    direct = await anna.start_conversation(ben)
    watcher = await anna.chat_socket()
    safe = worker_of(server, watcher)
    bens = await socket_on_other_worker(clients, ben, safe)
    await watcher.request("watch_presence", user_ids=[ben.id])
    assert (await watcher.event("presence"))["data"]["online"]

    os.kill(worker_of(server, bens), signal.SIGKILL)
    began = time.monotonic()
    assert 1006 == (await bens.closed())[0]
    for seq in range(1, 6):
        sent = await watcher.request("send_message", conversation_id=direct, content="x")
        assert seq == sent["data"]["seq"]
    gone = (await watcher.event("presence", within=PRESENCE_TIMEOUT))["data"]
    assert (ben.id, False) == (gone["user_id"], gone["online"])
    # Any worker may answer, the one that has just started, too.
    async with asyncio.timeout(PRESENCE_TIMEOUT - (time.monotonic() - began)):
        while (await anna.get("/presence", user_ids=ben.id))[ben.id]["online"]:
            await asyncio.sleep(0.1)

    await asyncio.to_thread(eventually, lambda: "runs again" in server.text and len(server.workers) == 2, 20.0)
    back = await socket_on_other_worker(clients, ben, safe)
    assert (await watcher.event("presence"))["data"]["online"]
    await back.request("sync", conversations={direct: 0})
    assert [1, 2, 3, 4, 5] == [message["seq"] for message in (await back.event("sync"))["data"]["messages"]]
    sent = await watcher.request("send_message", conversation_id=direct, content="x")
    assert sent["data"] == (await back.event("new_message"))["data"]


async def socket_on_other_worker(clients: Clients, user: User, pid: int) -> Socket:
    """Open a socket on another worker than `pid`, and close those on other workers."""
    for _ in range(60):
        socket = await user.chat_socket()
        if worker_of(clients.server, socket) != pid:
            return socket
        await socket.disconnect()
    raise AssertionError("sixty connections were all served by the same worker")


async def draining(clients: Clients) -> None:
    """On SIGTERM, sockets get `draining` and are closed with 1012, streams get it with `retry` and end. The delays
    differ. Meanwhile new connections are rejected. Then the server exits with 0, and no child is left."""
    server = clients.server
    anna = await clients.user()
    chats = [await anna.chat_socket() for _ in range(4)]
    sockets = [await anna.notification_socket() for _ in range(3)]
    streams = [await anna.stream() for _ in range(4)]
    unread = await anna.chat_socket()
    unread.websocket.transport.pause_reading()  # does not answer the close frame, so that its worker has to wait
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
    assert len(set(delays)) > len(delays) // 2, f"all would reconnect at the same time: {delays}"

    problem(await clients.http.get("/readyz"), 503, "unavailable")
    assert 200 == (await clients.http.get("/healthz")).status_code
    with pytest.raises(InvalidStatus) as refused:
        await anna.chat_socket()
    assert 503 == refused.value.response.status_code
    with pytest.raises(Refused) as not_opened:
        await anna.stream()
    problem(not_opened.value.response, 503, "unavailable")

    assert 0 == await asyncio.to_thread(server.wait)
    assert children
    assert [] == [child for child in children if alive(child)]


async def short_lived_tokens(clients: Clients) -> None:
    """With ACCESS_TOKEN_TTL=3 connections are warned at once and closed when the token expires, as HTTP rejects it."""
    anna = await clients.user()
    began = time.monotonic()
    connections = [await anna.chat_socket(), await anna.notification_socket(), await anna.stream()]
    for connection in connections:
        event = await connection.event("token_expiring")
        assert is_time(event.get("data", event)["token_expires_at"])
    assert [(1008, "token_expired")] * 2 == [await socket.closed() for socket in connections[:2]]
    await connections[2].closed()
    assert 1.5 < time.monotonic() - began < 15
    await anna.expect_error(401, "token_expired", "GET", "/users/me")
    await anna.refresh()
    await anna.get("/users/me")
