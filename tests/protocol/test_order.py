"""Concurrent users on several workers see the same conversation in the same order."""

import asyncio

from tests.protocol.clients import Clients, User, unique_text
from tests.protocol.worker_lookup import one_per_worker


async def test_concurrent_messages_arrive_in_the_same_order_on_every_device(any_clients: Clients) -> None:
    """Six users send 20 messages each; every device gets seq 1 to 120 in order."""
    people = await any_clients.users(6)
    group = await people[0].start_conversation(*people[1:], title="All of us")
    devices = [(person, await person.chat_socket()) for person in people for _ in range(2)]
    # More than one worker has to have some of them, where there is more than one.
    workers = min(3, len(any_clients.server.workers))
    spread_out = await one_per_worker(any_clients.server, people[0].chat_socket, workers)
    devices += [(people[0], socket) for socket in spread_out.values()]
    contents = {(number, person.id): unique_text() for person in people for number in range(20)}

    async def send(person: User, index: int) -> None:
        socket = devices[index * 2][1]
        for number in range(20):
            if number % 4 == 3:
                await person.send_message(group, contents[number, person.id])
            else:
                await socket.request("send_message", conversation_id=group, content=contents[number, person.id])

    await asyncio.gather(*(send(person, index) for index, person in enumerate(people)))
    seen = []
    for _, socket in devices:
        events = await socket.events("new_message", 120)
        assert list(range(1, 121)) == [event["data"]["seq"] for event in events]
        assert list(range(1, 121)) == [event["data"]["rev"] for event in events]
        seen.append([event["data"] for event in events])
    assert all(each == seen[0] for each in seen)
    assert sorted(contents.values()) == sorted(message["content"] for message in seen[0])
    for person in people:
        own = [message["content"] for message in seen[0] if message["sender_id"] == person.id]
        assert [contents[number, person.id] for number in range(20)] == own, "a sender's own order is kept"
    history = [m async for m in people[5].pages(f"/conversations/{group}/messages", "after_rev", after_rev=0)]
    assert seen[0] == history


async def test_concurrent_messages_and_comments_reach_all_their_recipients(any_clients: Clients) -> None:
    anna, ben, cleo = await any_clients.users(3)
    direct = await anna.start_conversation(ben)
    posts = [await anna.create_post(), await ben.create_post()]
    chats = [await person.chat_socket() for person in (anna, anna, ben, ben)]
    streams = [await person.stream() for person in (anna, anna, ben, ben)]

    async def chat(person: User) -> None:
        for _ in range(25):
            await person.send_message(direct)

    async def comment(post: str) -> None:
        for _ in range(20):
            await cleo.comment(post)

    await asyncio.gather(chat(anna), chat(ben), *(comment(post) for post in posts))
    for socket in chats:
        events = await socket.events("new_message", 50)
        assert list(range(1, 51)) == [event["data"]["seq"] for event in events]
    for index, stream in enumerate(streams):
        notifications = [await stream.notification() for _ in range(20)]
        assert list(range(1, 21)) == [notification["seq"] for notification in notifications]
        assert {posts[index // 2]} == {notification["data"]["post_id"] for notification in notifications}
        assert {cleo.id} == {notification["data"]["sender"]["id"] for notification in notifications}
