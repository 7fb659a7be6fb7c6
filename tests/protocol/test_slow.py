"""A slow reader affects only itself, and loses nothing."""

import asyncio
import socket as sockets

from tests.protocol.clients import Clients

OVERFLOWS = "loa_queue_overflows_total{"
CLOSED = 'loa_connections_closed_total{feed="chat",reason="slow_consumer"}'
LONG = "\N{PARTY POPPER}" * 4000
"""As long as a message can be: 16 KB."""


async def test_a_client_that_stops_reading_is_closed_with_1013(clients: Clients) -> None:
    """Other clients get every event, and `sync` returns the rest."""
    anna, ben = await clients.users(2)
    direct = await anna.start_conversation(ben)
    narrow = sockets.socket()
    narrow.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
    host, _, port = clients.server.url.removeprefix("http://").partition(":")
    narrow.connect((host, int(port)))
    slow = await ben.chat_socket(sock=narrow)
    fast, watcher = await ben.chat_socket(), await anna.chat_socket()
    slow.websocket.transport.pause_reading()
    sent, overflows, closed = 0, await metric(clients, OVERFLOWS), await metric(clients, CLOSED)
    async with asyncio.timeout(60):
        while await metric(clients, OVERFLOWS) == overflows:
            await asyncio.gather(
                *(watcher.request("send_message", conversation_id=direct, content=LONG) for _ in range(25))
            )
            sent += 25
        # It is given some seconds to catch up.
        while await metric(clients, CLOSED) == closed:
            await asyncio.sleep(0.1)
    slow.websocket.transport.resume_reading()
    code, reason = await slow.closed()
    assert (code, reason) in ((1013, "slow_consumer"), (1006, "")), "cut off where the reason does not get through"
    for connection in (fast, watcher):
        events = await connection.events("new_message", sent)
        assert list(range(1, sent + 1)) == [event["data"]["seq"] for event in events]
    got = [event["data"]["seq"] for event in slow.received if event["type"] == "new_message"]
    assert list(range(1, len(got) + 1)) == got, "what it did get is in order and without a hole"
    back = await ben.chat_socket()
    await back.request("sync", conversations={direct: len(got)})
    data = (await back.event("sync"))["data"]
    got += [message["seq"] for message in data["messages"]]
    assert data["complete"] == (got[-1] == sent)
    path = f"/conversations/{direct}/messages"
    got += [message["seq"] async for message in ben.pages(path, "after_rev", after_rev=got[-1])]
    assert list(range(1, sent + 1)) == got


async def metric(clients: Clients, labelled: str) -> float:
    """The sum of the metric's series with these labels."""
    text = (await clients.http.get("/metrics")).text
    return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(labelled))
