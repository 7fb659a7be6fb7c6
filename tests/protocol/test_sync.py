"""Catching up after a disconnect: `sync`, and `after_rev` for the rest."""

import asyncio

from tests.protocol.clients import NO_ID, Clients, User, unique_text

COUNT = 120


async def test_sync_returns_the_changes_of_each_conversation_since_a_rev(clients: Clients) -> None:
    anna, ben = await clients.users(2)
    first, second = await anna.start_conversation(ben), await anna.start_conversation(ben, title="Second")
    message = await anna.send_message(first)
    for _ in range(4):
        last = await anna.send_message(first)
    edited = await anna.patch(f"/conversations/{first}/messages/{message['id']}", {"content": unique_text()})
    socket = await ben.chat_socket()
    await socket.request("sync", conversations={first: 4, second: 0})
    syncs = {event["conversation_id"]: event for event in await socket.events("sync", 2)}
    data = {"messages": [last, edited], "last_rev": 6, "complete": True}
    assert {"type": "sync", "conversation_id": first, "data": data} == syncs[first]
    assert {"messages": [], "last_rev": 0, "complete": True} == syncs[second]["data"]
    await socket.request("sync", conversations={first: 6})
    assert {"messages": [], "last_rev": 6, "complete": True} == (await socket.event("sync"))["data"]


async def test_the_ack_of_a_sync_follows_all_its_events(clients: Clients) -> None:
    anna, ben = await clients.users(2)
    groups = await asyncio.gather(*(anna.start_conversation(ben, title=f"Group {number}") for number in range(10)))
    await asyncio.gather(*(anna.send_message(group) for group in groups))
    socket = await ben.chat_socket()
    await socket.request("sync", conversations=dict.fromkeys(groups, 0))
    assert set(groups) == {event["conversation_id"] for event in socket.remaining("sync")}
    assert ["sync"] * 10 + ["ack"] == [event["type"] for event in socket.received][-11:]


async def test_a_sync_of_no_or_an_unknown_conversation_is_acknowledged(clients: Clients) -> None:
    anna = await clients.user()
    socket = await anna.chat_socket()
    await socket.request("sync", conversations={})
    await socket.request("sync", conversations={NO_ID: 7})
    assert [] == socket.remaining("sync")


async def test_a_sync_of_many_unknown_conversations_reports_each(clients: Clients) -> None:
    """A slow reader is not closed for it."""
    anna = await clients.user()
    socket = await anna.chat_socket()
    gone = [f"{number:024x}" for number in range(1500)]
    await socket.request("sync", conversations=dict.fromkeys(gone, 0))
    assert gone == [event["conversation_id"] for event in socket.remaining("conversation_removed")]


async def fill(anna: User, conversation: str, count: int) -> None:
    """Say that much, over one socket, as fast as it goes."""
    socket = await anna.chat_socket()
    for number in range(count):
        await socket.send("send_message", ref=str(number), conversation_id=conversation, content=unique_text())
    for number in range(count):
        assert "ack" == (await socket.reply_to(str(number)))["type"]
    await socket.disconnect()


async def test_sync_returns_500_changes_and_after_rev_the_rest(clients: Clients) -> None:
    """Of 501 it returns 500 with `complete: false`."""
    anna, ben = await clients.users(2)
    direct = await anna.start_conversation(ben)
    await fill(anna, direct, 506)
    socket = await ben.chat_socket()
    for after, count, complete in ((6, 500, True), (5, 500, False), (0, 500, False)):
        await socket.request("sync", conversations={direct: after})
        data = (await socket.event("sync"))["data"]
        assert (count, complete) == (len(data["messages"]), complete and data["complete"])
        assert list(range(after + 1, after + 501)) == [message["rev"] for message in data["messages"]]
        assert 506 == data["last_rev"]
    rest = [
        message["rev"]
        async for message in ben.pages(
            f"/conversations/{direct}/messages", "after_rev", after_rev=data["messages"][-1]["rev"], limit=4
        )
    ]
    assert list(range(501, 507)) == rest


async def test_syncs_and_events_together_have_every_message_once_in_order(any_clients: Clients) -> None:
    """On a device that disconnects and reconnects while others send."""
    anna, ben = await any_clients.users(2)
    direct = await anna.start_conversation(ben)

    # Let on bit by bit, so that there is something left to say however slow the listener is.
    turns = asyncio.Semaphore(0)

    async def talk() -> None:
        for _ in range(COUNT):
            await turns.acquire()
            await anna.send_message(direct)

    talking = asyncio.create_task(talk())
    got: dict[int, str] = {}
    breaks = 0
    while len(got) < COUNT:
        for _ in range(12):
            turns.release()
        socket = await ben.chat_socket()
        last = len(got)
        await socket.request("sync", conversations={direct: last})
        missed = (await socket.event("sync"))["data"]["messages"]
        for _ in range(min(5, COUNT - max([last, *(message["rev"] for message in missed)]))):
            await socket.event("new_message")
        await socket.disconnect()
        breaks += 1
        live = [event["data"] for event in socket.received if event["type"] == "new_message"]
        for message in (*missed, *live):
            assert message["id"] == got.setdefault(message["rev"], message["id"])
        assert list(range(1, len(got) + 1)) == sorted(got), "what one connection brings, its sync included, has no hole"
    await talking
    assert breaks >= 10
    stored = [message async for message in ben.pages(f"/conversations/{direct}/messages", "after_rev", after_rev=0)]
    assert {message["rev"]: message["id"] for message in stored} == got
