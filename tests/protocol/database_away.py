"""The scenario of a failing database: requests get 503, connections stay open, notifications are sent afterwards."""

import asyncio
import os
import signal

from tests.protocol.clients import Clients, User, problem, unique_text
from tests.protocol.mongo_proxy import OUT_OF_DISK_SPACE, MongoProxy
from tests.protocol.scenarios import draining
from tests.protocol.test_notifications import check
from tests.running import eventually

NOTIFICATIONS = "notification"
"""Part of the names of the collections for notifications, and of no collection for comments."""


async def database_away(mongo_proxy: MongoProxy, clients: Clients) -> None:
    """Only stored messages are acknowledged, stored data is never lost, and the server still exits with 0."""
    anna, ben = await clients.users(2)
    await messages_cannot_be_stored(mongo_proxy, anna, ben)
    await database_unresponsive(mongo_proxy, anna, ben)
    await notifications_cannot_be_stored(mongo_proxy, anna, ben)
    await draining(clients)


async def messages_cannot_be_stored(mongo_proxy: MongoProxy, anna: User, ben: User) -> None:
    """A message that is not stored gets 503 or an `error`, and reaches nobody. The socket stays open."""
    direct = await anna.start_conversation(ben)
    annas, bens = await anna.chat_socket(), await ben.chat_socket()
    mongo_proxy.fail_writes_to = "messages"
    await anna.expect_error(503, "unavailable", "POST", f"/conversations/{direct}/messages", {"content": unique_text()})
    error = await annas.expect_error(
        "unavailable", "send_message", conversation_id=direct, content=unique_text(), nonce="n"
    )
    assert error["retry_after"] > 0
    mongo_proxy.fail_writes_to = ""
    await wait_until_ready(anna.clients)
    sent = await annas.request("send_message", conversation_id=direct, content=unique_text(), nonce="n")
    assert 1 == sent["data"]["seq"]
    assert sent["data"] == (await bens.event("new_message"))["data"]
    assert [sent["data"]] == (await ben.get(f"/conversations/{direct}/messages"))["items"]


async def database_unresponsive(mongo_proxy: MongoProxy, anna: User, ben: User) -> None:
    """While the database does not answer, requests and /readyz get 503, but not /healthz. Connections stay open."""
    socket, http = await anna.chat_socket(), anna.clients.http
    direct = socket.hello["conversations"][0]["conversation_id"]
    mongo_proxy.unresponsive = True
    problem(await http.get("/readyz"), 503, "unavailable")
    assert 200 == (await http.get("/healthz")).status_code
    await anna.expect_error(503, "unavailable", "GET", "/users/me")
    await anna.expect_error(503, "unavailable", "GET", f"/conversations/{direct}/messages")
    login = {"username": anna.username, "password": anna.password}
    problem(await anna.clients.call("POST", "/auth/login", json=login), 503, "unavailable")
    await socket.expect_error("unavailable", "sync", conversations={direct: 0})
    await socket.flush()
    mongo_proxy.unresponsive = False
    await wait_until_ready(anna.clients)
    await ben.send_message(direct)
    await socket.event("new_message")


async def notifications_cannot_be_stored(mongo_proxy: MongoProxy, anna: User, ben: User) -> None:
    """Comments are still stored. When notifications can be stored, each is sent once, also after a kill -9."""
    server = anna.clients.server
    post = await anna.create_post()
    stream = await anna.stream()
    comments = [await ben.comment(post)]
    check(await stream.notification(), "NEW_COMMENT", 1, ben, comments[0])

    mongo_proxy.fail_writes_to, mongo_proxy.code = NOTIFICATIONS, OUT_OF_DISK_SPACE
    async with asyncio.timeout(5):
        comments += [await ben.comment(post) for _ in range(5)]
    await failed_write(mongo_proxy)
    assert {"items": comments, "next": None} == await anna.get(f"/posts/{post}/comments")
    assert [1] == stream.seqs
    mongo_proxy.fail_writes_to = ""
    sent = [await stream.notification() for _ in range(5)]
    assert [2, 3, 4, 5, 6] == [notification["seq"] for notification in sent]
    pending = {comment["id"] for comment in comments[1:]}
    assert pending == {notification["data"]["comment_id"] for notification in sent}

    mongo_proxy.fail_writes_to = NOTIFICATIONS
    comments += [await ben.comment(post) for _ in range(3)]
    await failed_write(mongo_proxy)
    (worker,) = server.workers
    os.kill(worker, signal.SIGKILL)
    await stream.closed()
    await asyncio.to_thread(eventually, lambda: server.workers not in ([], [worker]), 20.0)
    await asyncio.to_thread(eventually, lambda: server.status("/readyz") == 200, 20.0)
    again = await anna.stream(last_event_id=stream.last_event_id)
    mongo_proxy.fail_writes_to = ""
    sent = [await again.notification() for _ in range(3)]
    assert [7, 8, 9] == [notification["seq"] for notification in sent]
    listed = (await anna.get("/notifications"))["items"]
    assert sorted(comment["id"] for comment in comments) == sorted(item["data"]["comment_id"] for item in listed)
    assert {"unread_count": 9} == await anna.get("/notifications/unread_count")


async def failed_write(mongo_proxy: MongoProxy) -> None:
    """Wait until another write has failed."""
    before = mongo_proxy.failed
    await asyncio.to_thread(eventually, lambda: mongo_proxy.failed > before, 20.0)


async def wait_until_ready(clients: Clients) -> None:
    """Wait until the server is connected to the database again."""
    async with asyncio.timeout(20):
        while (await clients.http.get("/readyz")).status_code != 200:
            await asyncio.sleep(0.05)
