"""One account that sends as much as it can: the server's memory and other people's connections."""

import asyncio
import json
import socket as sockets
import time
from uuid import uuid4

import pytest

from service.http.byte_limit import BURST_BYTES, BYTES_PER_SECOND
from tests.protocol.clients import Clients, User
from tests.protocol.contract import Contract
from tests.protocol.test_slow import OVERFLOWS, metric
from tests.running import Server
from tests.security.test_sockets import memory

SOCKETS = 40
FRAMES = 40
GROWTH = 64 * 1024 * 1024
"""Bytes by which the process may grow while it is sent 95 MB, of which strings would take 375."""
LONGEST = "\N{GRINNING FACE}" * 4000


async def test_waiting_frames_of_many_sockets_use_bounded_memory(clients: Clients, anna: User, ben: User) -> None:
    """Reading pauses by bytes, per socket and user, and another user is answered meanwhile."""
    other = await ben.chat_socket()
    sockets = [await anna.chat_socket() for _ in range(SOCKETS)]
    conversations = {uuid4().hex[:24]: 0 for _ in range(2000)}
    fields = {"type": "sync", "ref": "\N{GRINNING FACE}", "conversations": conversations}
    text = json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
    assert 50_000 < len(text) < 65_536

    async def flood(number: int) -> None:
        for _ in range(FRAMES):
            await sockets[number].websocket.send(text)

    before = peak = memory(clients)
    floods = [asyncio.create_task(flood(number)) for number in range(SOCKETS)]
    # Everything has been sent as soon as the last frames are in the buffers of the kernel.
    while not all(task.done() for task in floods):
        await other.flush()
        peak = max(peak, memory(clients))
    peak = max(peak, memory(clients))
    for socket in sockets:
        socket.websocket.transport.abort()
    await asyncio.gather(*floods)
    assert peak - before < GROWTH


async def test_a_flood_from_strangers_disconnects_nobody_who_reads(clients: Clients) -> None:
    """A client that reads more slowly than strangers send stays connected, and has every message after a `sync`. There
    are no rate limits here: the flood is that of many accounts."""
    anna, ben = await clients.users(2)
    narrow = sockets.socket()
    narrow.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
    host, _, port = clients.server.url.removeprefix("http://").partition(":")
    narrow.connect((host, int(port)))
    victim = await ben.chat_socket(sock=narrow)
    direct = await anna.start_conversation(ben)
    path = f"/conversations/{direct}/messages"
    overflows, sent = await metric(clients, OVERFLOWS), 0
    victim.websocket.transport.pause_reading()
    while await metric(clients, OVERFLOWS) == overflows:
        await asyncio.gather(*(anna.post(path, {"content": LONGEST}) for _ in range(10)))
        sent += 10
    victim.websocket.transport.resume_reading()
    await victim.event("reset")
    seen = [event["data"]["seq"] for event in victim.received if event["type"] == "new_message"]
    assert list(range(1, len(seen) + 1)) == seen, "what it received has no hole"
    assert len(seen) < sent
    complete = False
    while not complete:
        await victim.request("sync", conversations={direct: len(seen)})
        data = (await victim.event("sync"))["data"]
        seen += [message["seq"] for message in data["messages"]]
        complete = data["complete"]
    assert list(range(1, sent + 1)) == seen
    last = await anna.post(path, {"content": "the last one"})
    assert last == (await victim.event("new_message", lambda event: event["data"]["id"] == last["id"]))["data"]
    assert victim.end is None


@pytest.mark.parametrize("way", ["messages", "reactions", "edits", "groups"])
async def test_the_bytes_that_a_user_sends_are_limited(direct: Server, contract: Contract, way: str) -> None:
    """However they are sent: as long messages, by reacting to a long message, by editing it, or in big groups."""
    async with Clients(direct, contract) as clients:
        anna, ben = await clients.users(2)
        watcher = await ben.chat_socket()
        conversation = await anna.start_conversation(ben)
        path = f"/conversations/{conversation}/messages"
        message = await anna.post(path, {"content": LONGEST})
        calls = {
            "messages": ("POST", path, {"content": LONGEST}),
            "reactions": ("PUT", f"{path}/{message['id']}/reactions/%F0%9F%91%8D", None),
            "edits": ("PATCH", f"{path}/{message['id']}", {"content": LONGEST}),
            "groups": ("POST", "/conversations", {"participant_ids": [ben.id], "title": "A group"}),
        }
        method, url, body = calls[way]
        limited = None
        started = time.monotonic()
        for n in range(200):
            answer = await anna.call("DELETE" if way == "reactions" and n % 2 else method, url, body)
            if answer.status_code == 429:
                limited = answer
                break
        assert limited is not None
        assert "rate_limited" == limited.json()["code"]
        assert int(limited.headers["Retry-After"]) >= 1
        await watcher.flush()
        sent = sum(len(json.dumps(event, ensure_ascii=False).encode()) for event in watcher.received)
        # On a slow machine, the bucket fills again meanwhile.
        assert sent < 2 * (BURST_BYTES + BYTES_PER_SECOND * (time.monotonic() - started))
        await ben.post(path, {"content": "not limited"})
