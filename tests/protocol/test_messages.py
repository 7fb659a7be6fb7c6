"""Messages over HTTP: said, edited, deleted, reacted to, read, and every change told to every device."""

import asyncio
from urllib.parse import quote

import pytest

from tests.protocol.clients import Clients, User, is_id, is_time, unique_text
from tests.protocol.socket import Socket

MESSAGE = {
    "id",
    "conversation_id",
    "seq",
    "rev",
    "sender_id",
    "content",
    "nonce",
    "reply_to",
    "created_at",
    "edited_at",
    "deleted",
    "reactions",
}


@pytest.fixture
async def direct(anna: User, ben: User) -> str:
    return await anna.start_conversation(ben)


async def test_send(anna: User, ben: User, direct: str) -> None:
    """201 with the Message, and the same Message to every device of both."""
    sockets = [await anna.chat_socket(), await anna.chat_socket(), await ben.chat_socket(), await ben.chat_socket()]
    content = unique_text("Chào Ben! 👋🏽")
    answer = await anna.call("POST", f"/conversations/{direct}/messages", {"content": f" \n{content}\t"})
    assert 201 == answer.status_code
    message = answer.json()
    assert MESSAGE == set(message)
    assert is_id(message["id"])
    assert is_time(message["created_at"])
    expected = {
        "conversation_id": direct,
        "seq": 1,
        "rev": 1,
        "sender_id": anna.id,
        "content": content,
        "nonce": None,
        "reply_to": None,
        "edited_at": None,
        "deleted": False,
        "reactions": {},
    }
    assert expected == {name: message[name] for name in expected}
    for socket in sockets:
        event = await socket.event("new_message")
        assert {"type": "new_message", "conversation_id": direct, "data": message} == event


async def test_reply(anna: User, ben: User, direct: str) -> None:
    """A message may answer another of its conversation, and of no other."""
    first = await anna.send_message(direct)
    reply = await ben.send_message(direct, reply_to=first["id"])
    assert first["id"] == reply["reply_to"]
    elsewhere = await anna.send_message(await anna.start_conversation(ben, title="Elsewhere"))
    for other in (elsewhere["id"], "0" * 24):
        answer = await ben.call("POST", f"/conversations/{direct}/messages", {"content": "x", "reply_to": other})
        assert answer.status_code in (404, 422)
    assert 2 == (await anna.get(f"/conversations/{direct}"))["last_seq"]


async def test_edit(anna: User, ben: User, direct: str) -> None:
    """An edited message keeps its place and takes the next rev; everyone is told."""
    first, second = await anna.send_message(direct), await ben.send_message(direct)
    socket = await ben.chat_socket()
    content = unique_text("better")
    edited = await anna.patch(f"/conversations/{direct}/messages/{first['id']}", {"content": f" {content} "})
    assert is_time(edited["edited_at"])
    assert first | {"content": content, "rev": 3, "edited_at": edited["edited_at"]} == edited
    event = await socket.event("message_updated")
    assert {"type": "message_updated", "conversation_id": direct, "data": edited} == event
    page = await ben.get(f"/conversations/{direct}/messages")
    assert [edited, second] == page["items"]


async def test_delete(anna: User, ben: User, direct: str) -> None:
    """A deleted message stays as a tombstone in its place, without content or reactions, and stays one."""
    message = await anna.send_message(direct, nonce="n")
    path = f"/conversations/{direct}/messages/{message['id']}"
    await ben.put(f"{path}/reactions/{quote('👍')}")
    socket = await ben.chat_socket()
    answer = await anna.call("DELETE", path)
    assert answer.is_success
    event = await socket.event("message_updated")
    tombstone = event["data"]
    assert MESSAGE == set(tombstone)
    assert (True, "", {}, 1, 3) == tuple(tombstone[name] for name in ("deleted", "content", "reactions", "seq", "rev"))
    assert [tombstone] == (await ben.get(f"/conversations/{direct}/messages"))["items"]
    assert tombstone == (await ben.get(f"/conversations/{direct}"))["last_message"]
    for method, more, body in (("PATCH", "", {"content": "x"}), ("PUT", f"/reactions/{quote('👍')}", None)):
        refused = await anna.call(method, path + more, body)
        assert refused.status_code in (403, 404), (method, refused.text)
    assert (await anna.call("DELETE", path)).status_code in (200, 204, 404)
    assert [tombstone] == (await ben.get(f"/conversations/{direct}/messages"))["items"]


async def test_only_ones_own(anna: User, ben: User, direct: str) -> None:
    """Someone else's message, which one may see, is not one's own to change: 403, and nothing happens."""
    message = await anna.send_message(direct)
    path = f"/conversations/{direct}/messages/{message['id']}"
    await ben.expect_error(403, "forbidden", "PATCH", path, {"content": "forged"})
    await ben.expect_error(403, "forbidden", "DELETE", path)
    assert [message] == (await ben.get(f"/conversations/{direct}/messages"))["items"]


async def test_a_message_belongs_to_its_conversation(anna: User, ben: User, direct: str) -> None:
    """Through another conversation of the same people it is not there."""
    message = await anna.send_message(direct)
    other = await anna.start_conversation(ben, title="Other")
    path = f"/conversations/{other}/messages/{message['id']}"
    await anna.expect_error(404, "not_found", "PATCH", path, {"content": "x"})
    await anna.expect_error(404, "not_found", "DELETE", path)
    await anna.expect_error(404, "not_found", "PUT", f"{path}/reactions/{quote('👍')}")


async def test_reactions(anna: User, ben: User, direct: str) -> None:
    """Each person may add each emoji once and take it back; each change takes a rev, a repetition none."""
    message = await anna.send_message(direct)
    path = f"/conversations/{direct}/messages/{message['id']}/reactions/"
    socket = await ben.chat_socket()
    thumb, family = quote("👍"), quote("👩‍👩‍👧")
    steps = [
        (anna, "PUT", thumb, {"👍": [anna.id]}, 2),
        (anna, "PUT", thumb, {"👍": [anna.id]}, 2),
        (ben, "PUT", thumb, {"👍": [anna.id, ben.id]}, 3),
        (ben, "PUT", family, {"👍": [anna.id, ben.id], "👩‍👩‍👧": [ben.id]}, 4),
        (anna, "DELETE", thumb, {"👍": [ben.id], "👩‍👩‍👧": [ben.id]}, 5),
        (anna, "DELETE", thumb, {"👍": [ben.id], "👩‍👩‍👧": [ben.id]}, 5),
        (ben, "DELETE", family, {"👍": [ben.id]}, 6),
    ]
    for person, method, emoji, reactions, rev in steps:
        await person.request(method, path + emoji)
        (found,) = (await anna.get(f"/conversations/{direct}/messages"))["items"]
        assert (reactions, rev, 1) == (found["reactions"], found["rev"], found["seq"])
        assert None is found["edited_at"]
    updates = [(await socket.event("message_updated"))["data"] for _ in range(5)]
    assert [2, 3, 4, 5, 6] == [update["rev"] for update in updates]
    assert found == updates[-1]


@pytest.mark.parametrize("emoji", ["a", "thumbs", "$set", "a.b", "<b>", "1", " ", "👍x", "%00", "\u200d"])
async def test_a_reaction_is_one_emoji(anna: User, direct: str, emoji: str) -> None:
    """What is not exactly one emoji is refused, a database's operators above all."""
    message = await anna.send_message(direct)
    path = f"/conversations/{direct}/messages/{message['id']}/reactions/"
    for method in ("PUT", "DELETE"):
        answer = await anna.call(method, path + (emoji if "%" in emoji else quote(emoji, safe="")))
        assert answer.status_code in (404, 422), (method, answer.text)
    assert [message] == (await anna.get(f"/conversations/{direct}/messages"))["items"]


async def test_read(anna: User, ben: User, direct: str) -> None:
    """Reading moves forward only, never beyond what there is, and tells the readers' other devices and the others."""
    for _ in range(3):
        await anna.send_message(direct)
    sockets = [await anna.chat_socket(), await ben.chat_socket()]

    async def state() -> tuple[int, int]:
        conversation = await ben.get(f"/conversations/{direct}")
        return conversation["last_read_seq"], conversation["unread_count"]

    path = f"/conversations/{direct}/read"
    for seq, expected in ((2, (2, 1)), (1, (2, 1)), (2, (2, 1)), (3, (3, 0))):
        await ben.put(path, {"seq": seq})
        assert expected == await state()
    for socket in sockets:
        for seq in (2, 3):
            event = await socket.event("read")
            assert {"type": "read", "conversation_id": direct, "data": {"user_id": ben.id, "seq": seq}} == event
    answer = await ben.call("PUT", path, {"seq": 1000})
    assert answer.status_code in (200, 204, 422)
    await anna.send_message(direct)
    assert 1 == (await state())[1], "what has not been said cannot have been read"


async def test_history(anna: User, ben: User, direct: str) -> None:
    """The newest page without `before`, ascending, and from there back to the first, without overlap or hole."""
    said = [(await anna.send_message(direct))["seq"] for _ in range(12)]
    assert list(range(1, 13)) == said
    path = f"/conversations/{direct}/messages"
    page = await ben.get(path, limit=5)
    assert [8, 9, 10, 11, 12] == [message["seq"] for message in page["items"]]
    page = await ben.get(path, limit=5, before=page["next"])
    assert [3, 4, 5, 6, 7] == [message["seq"] for message in page["items"]]
    page = await ben.get(path, limit=5, before=page["next"])
    assert ([1, 2], None) == ([message["seq"] for message in page["items"]], page["next"])
    for limit in (1, 4, 12, 50):
        pages, query = [], {"limit": limit}
        while True:
            page = await ben.get(path, **query)
            pages.append([message["seq"] for message in page["items"]])
            if page["next"] is None:
                break
            query["before"] = page["next"]
        assert said == [seq for page in reversed(pages) for seq in page]
        assert all(len(page) == limit for page in pages[:-1])
    assert [] == (await ben.get(path, before=1))["items"]


async def test_what_was_missed(anna: User, ben: User, direct: str) -> None:
    """`after_rev` gives every message whose last change is later, ascending by rev, each as it is now."""
    first, *_ = [await anna.send_message(direct) for _ in range(6)]
    path = f"/conversations/{direct}/messages"
    edited = await anna.patch(f"{path}/{first['id']}", {"content": unique_text()})
    await anna.delete(f"{path}/{(await anna.send_message(direct))['id']}")
    missed = [message async for message in ben.pages(path, "after_rev", after_rev=0, limit=3)]
    assert [2, 3, 4, 5, 6, 7, 9] == [message["rev"] for message in missed]
    assert edited == missed[5]
    assert missed[6]["deleted"]
    assert missed[5:] == (await ben.get(path, after_rev=6))["items"]
    assert {"items": [], "next": None} == await ben.get(path, after_rev=9)
    assert {"items": [], "next": None} == await ben.get(path, after_rev=900)


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=-1", "limit=100000", "limit=x", "before=x", "before=0.5", "after_rev=-1", "surprise=1"]
)
async def test_queries_of_history(anna: User, direct: str, query: str) -> None:
    """A parameter that makes no sense, or that nobody knows, is refused."""
    await anna.expect_error(422, "validation_failed", "GET", f"/conversations/{direct}/messages?{query}")


async def test_order_of_updates(any_clients: Clients) -> None:
    """Messages, edits, deletions and reactions by several at once reach each device in rev order; on one worker without
    a hole, while among several what is late is read from the database, where its message may have changed again."""
    anna, ben = await any_clients.users(2)
    direct = await anna.start_conversation(ben)
    sockets: list[Socket] = [await anna.chat_socket(), await ben.chat_socket(), await ben.chat_socket()]
    path = f"/conversations/{direct}/messages"

    async def busy(person: User) -> None:
        for _ in range(4):
            message = await person.send_message(direct)
            one = f"{path}/{message['id']}"
            await person.patch(one, {"content": unique_text()})
            await asyncio.gather(*(each.put(f"{one}/reactions/{quote('🎉')}") for each in (anna, ben)))
            await person.delete(one)

    await asyncio.gather(busy(anna), busy(ben), busy(anna))
    now = {message["id"]: message for message in (await anna.get(path))["items"]}
    last = (await anna.get(f"/conversations/{direct}"))["last_rev"]
    assert 12 * 5 == last
    every = list(range(1, last + 1))
    for socket in sockets:
        await socket.event("message_updated", lambda event: event["data"]["rev"] == last)
        durable = [event for event in socket.received if event["type"] in ("new_message", "message_updated")]
        revs = [event["data"]["rev"] for event in durable]
        assert revs == every if len(any_clients.server.workers) == 1 else revs == sorted(set(revs))
        assert now == {event["data"]["id"]: event["data"] for event in durable}, "the last word on each is its state"
