"""Four workers behind one port behave like one."""

import asyncio

from tests.protocol.clients import Clients
from tests.protocol.worker_lookup import one_per_worker


async def test_messages_reach_the_sockets_of_every_worker(multi_worker_clients: Clients) -> None:
    anna, ben = await multi_worker_clients.users(2)
    direct = await anna.start_conversation(ben)
    hers = await one_per_worker(multi_worker_clients.server, anna.chat_socket, 4)
    his = await one_per_worker(multi_worker_clients.server, ben.chat_socket, 4)
    for seq, socket in enumerate([*hers.values(), *his.values()], 1):
        sent = await socket.request("send_message", conversation_id=direct, content=f"number {seq}")
        assert seq == sent["data"]["seq"]
        for other in (*hers.values(), *his.values()):
            assert sent["data"] == (await other.event("new_message"))["data"]


async def test_logout_closes_the_sessions_connections_on_every_worker(multi_worker_clients: Clients) -> None:
    """Connections of another session stay open."""
    anna = await multi_worker_clients.user()
    other = await anna.sign_in_again()
    sockets = await one_per_worker(multi_worker_clients.server, anna.chat_socket, 4)
    streams = await one_per_worker(multi_worker_clients.server, anna.stream, 2)
    kept = await one_per_worker(multi_worker_clients.server, other.chat_socket, 4)
    await anna.post("/auth/logout")
    for socket in sockets.values():
        assert (1008, "token_revoked") == await socket.closed()
    for stream in streams.values():
        await stream.closed()
    for _ in range(12):
        await anna.expect_error(401, "token_revoked", "GET", "/users/me", headers={"Connection": "close"})
    for socket in kept.values():
        await socket.flush()


async def test_reading_updates_the_counts_on_every_worker(multi_worker_clients: Clients) -> None:
    anna, ben = await multi_worker_clients.users(2)
    direct, post = await anna.start_conversation(ben), await ben.create_post()
    await anna.send_message(direct)
    sockets = await one_per_worker(multi_worker_clients.server, ben.chat_socket, 4)
    streams = await one_per_worker(multi_worker_clients.server, ben.stream, 4)
    first, *_ = sockets.values()
    await first.request("read", conversation_id=direct, seq=1)
    for socket in sockets.values():
        assert {"user_id": ben.id, "seq": 1} == (await socket.event("read"))["data"]
    await anna.comment(post)
    for stream in streams.values():
        assert 1 == (await stream.notification())["seq"]
    await ben.put("/notifications/read", {"up_to_seq": 1})
    for stream in streams.values():
        await stream.event("unread_count", lambda event: event["data"] == {"unread_count": 0, "seq": 1})


async def test_a_user_is_online_while_any_worker_has_a_socket_of_theirs(multi_worker_clients: Clients) -> None:
    """Watchers on all workers get the same states."""
    anna, ben = await multi_worker_clients.users(2)
    await anna.start_conversation(ben)
    watchers = await one_per_worker(multi_worker_clients.server, anna.chat_socket, 4)
    for watcher in watchers.values():
        await watcher.request("watch_presence", user_ids=[ben.id])
        assert False is (await watcher.event("presence"))["data"]["online"]
    his = await one_per_worker(multi_worker_clients.server, ben.chat_socket, 2)
    for watcher in watchers.values():
        assert True is (await watcher.event("presence"))["data"]["online"]
    first, second = his.values()
    opened = await asyncio.gather(*(ben.chat_socket() for _ in range(3)))
    for socket in (first, *opened):
        await socket.disconnect()
    states = [(await anna.get("/presence", user_ids=ben.id))[ben.id]["online"] for _ in range(8)]
    assert True in states
    assert False not in states, "he is still there, on another worker"
    for watcher in watchers.values():
        await watcher.flush()
        assert [] == watcher.remaining("presence")
    await second.disconnect()
    for watcher in watchers.values():
        assert False is (await watcher.event("presence"))["data"]["online"]


async def test_a_ticket_is_valid_on_every_worker_and_once(multi_worker_clients: Clients) -> None:
    """Of eight concurrent attempts one succeeds."""
    anna = await multi_worker_clients.user()
    for _ in range(4):
        ticket = await anna.ticket()
        sockets = await asyncio.gather(*(multi_worker_clients.socket(query={"ticket": ticket}) for _ in range(8)))
        opened = 0
        for socket in sockets:
            try:
                await socket.event("hello")
                opened += 1
            except AssertionError:
                assert (1008, "token_invalid") == socket.end
        assert 1 == opened


async def test_metrics_of_any_worker_count_the_connections_of_all(multi_worker_clients: Clients) -> None:
    anna = await multi_worker_clients.user()
    sockets = await one_per_worker(multi_worker_clients.server, anna.chat_socket, 4)
    right = 0
    async with asyncio.timeout(15):
        while right < 8:
            answer = await multi_worker_clients.http.get("/metrics", headers={"Connection": "close"})
            (line,) = (line for line in answer.text.splitlines() if line.startswith('loa_connections{feed="chat"}'))
            right = right + 1 if float(line.split()[1]) >= len(sockets) else 0
            await asyncio.sleep(0.1)
