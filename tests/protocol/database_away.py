"""While the database refuses: 503 and a time to come back, connections stay, and what is owed is paid afterwards."""

import asyncio
import os
import signal

from tests.protocol.scenarios import draining
from tests.protocol.test_notifications import check
from tests.protocol.wire import OUT_OF_DISK_SPACE, Wire
from tests.protocol.world import Person, World, problem, words
from tests.running import eventually

NOTIFICATIONS = "notification"
"""Part of the names of the collections that notifications are written to, and comments are not."""


async def database_away(wire: Wire, world: World) -> None:
    """What cannot be stored is not acknowledged, what is stored is never lost, and it still ends well."""
    anna, ben = await world.people(2)
    await messages_cannot_be_stored(wire, anna, ben)
    await nothing_answers(wire, anna, ben)
    await notifications_cannot_be_stored(wire, anna, ben)
    await draining(world)


async def messages_cannot_be_stored(wire: Wire, anna: Person, ben: Person) -> None:
    """503 with Retry-After, an `error` on the socket, which stays; nobody hears of the message, which is not there."""
    direct = await anna.talk(ben)
    hers, his = await anna.chat(), await ben.chat()
    wire.fails = "messages"
    await anna.refused(503, "unavailable", "POST", f"/conversations/{direct}/messages", {"content": words()})
    error = await hers.refused("unavailable", "send_message", conversation_id=direct, content=words(), nonce="n")
    assert error["retry_after"] > 0
    wire.fails = ""
    await ready(anna.world)
    sent = await hers.ask("send_message", conversation_id=direct, content=words(), nonce="n")
    assert 1 == sent["data"]["seq"]
    assert sent["data"] == (await his.event("new_message"))["data"]
    assert [sent["data"]] == (await ben.get(f"/conversations/{direct}/messages"))["items"]


async def nothing_answers(wire: Wire, anna: Person, ben: Person) -> None:
    """Not ready, though alive; 503 to all that asks the database; connections stay, and work again afterwards."""
    socket, http = await anna.chat(), anna.world.http
    direct = socket.hello["conversations"][0]["conversation_id"]
    wire.away = True
    problem(await http.get("/readyz"), 503, "unavailable")
    assert 200 == (await http.get("/healthz")).status_code
    await anna.refused(503, "unavailable", "GET", "/users/me")
    await anna.refused(503, "unavailable", "GET", f"/conversations/{direct}/messages")
    login = {"username": anna.username, "password": anna.password}
    problem(await anna.world.call("POST", "/auth/login", json=login), 503, "unavailable")
    await socket.refused("unavailable", "sync", conversations={direct: 0})
    await socket.fence()
    wire.away = False
    await ready(anna.world)
    await ben.say(direct)
    await socket.event("new_message")


async def notifications_cannot_be_stored(wire: Wire, anna: Person, ben: Person) -> None:
    """Comments are answered as ever; once notifications can be written each is paid once, also after a kill -9."""
    server = anna.world.server
    post = await anna.publish()
    stream = await anna.stream()
    comments = [await ben.comment(post)]
    check(await stream.notification(), "NEW_COMMENT", 1, ben, comments[0])

    wire.fails, wire.code = NOTIFICATIONS, OUT_OF_DISK_SPACE
    async with asyncio.timeout(5):
        comments += [await ben.comment(post) for _ in range(5)]
    await refusal(wire)
    assert {"items": comments, "next": None} == await anna.get(f"/posts/{post}/comments")
    assert [1] == stream.seqs
    wire.fails = ""
    paid = [await stream.notification() for _ in range(5)]
    assert [2, 3, 4, 5, 6] == [notification["seq"] for notification in paid]
    owed = {comment["id"] for comment in comments[1:]}
    assert owed == {notification["data"]["comment_id"] for notification in paid}

    wire.fails = NOTIFICATIONS
    comments += [await ben.comment(post) for _ in range(3)]
    await refusal(wire)
    (worker,) = server.workers
    os.kill(worker, signal.SIGKILL)
    await stream.closed()
    await asyncio.to_thread(eventually, lambda: server.workers not in ([], [worker]), 20.0)
    await asyncio.to_thread(eventually, lambda: server.status("/readyz") == 200, 20.0)
    again = await anna.stream(last_event_id=stream.last_event_id)
    wire.fails = ""
    paid = [await again.notification() for _ in range(3)]
    assert [7, 8, 9] == [notification["seq"] for notification in paid]
    listed = (await anna.get("/notifications"))["items"]
    assert sorted(comment["id"] for comment in comments) == sorted(item["data"]["comment_id"] for item in listed)
    assert {"unread_count": 9} == await anna.get("/notifications/unread_count")


async def refusal(wire: Wire) -> None:
    """Until a write has failed that had been asked for after this was called."""
    before = wire.refused
    await asyncio.to_thread(eventually, lambda: wire.refused > before, 20.0)


async def ready(world: World) -> None:
    """Until the server has found the database again."""
    async with asyncio.timeout(20):
        while (await world.http.get("/readyz")).status_code != 200:
            await asyncio.sleep(0.05)
