"""Messages over HTTP: sent, edited, deleted, reacted to, read; every change reaches every device."""

import asyncio
from urllib.parse import quote

import pytest

from tests.protocol.clients import Clients, User, is_id, is_time, unique_text
from tests.protocol.socket import Socket

MESSAGE = {
    "id",
    "kind",
    "event",
    "mentions",
    "conversation_id",
    "seq",
    "rev",
    "sender_id",
    "content",
    "nonce",
    "reply_to",
    "created_at",
    "edited_at",
    "attachments",
    "deleted",
    "reactions",
    "reaction_counts",
}


@pytest.fixture
async def direct(anna: User, ben: User) -> str:
    return await anna.start_conversation(ben)


async def test_a_sent_message_gets_201_and_reaches_every_device_of_both_users(
    anna: User, ben: User, direct: str
) -> None:
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
        "mentions": [],
        "edited_at": None,
        "attachments": [],
        "deleted": False,
        "reactions": {},
    }
    assert expected == {name: message[name] for name in expected}
    for socket in sockets:
        event = await socket.event("new_message")
        assert {"type": "new_message", "conversation_id": direct, "data": message} == event


async def test_a_message_can_reply_to_one_of_its_own_conversation_only(anna: User, ben: User, direct: str) -> None:
    first = await anna.send_message(direct)
    reply = await ben.send_message(direct, reply_to=first["id"])
    assert first["id"] == reply["reply_to"]
    elsewhere = await anna.send_message(await anna.start_conversation(ben, title="Elsewhere"))
    for other in (elsewhere["id"], "0" * 24):
        answer = await ben.call("POST", f"/conversations/{direct}/messages", {"content": "x", "reply_to": other})
        assert answer.status_code in (404, 422)
    assert 2 == (await anna.get(f"/conversations/{direct}"))["last_seq"]


async def test_an_edited_message_keeps_its_seq_and_gets_the_next_rev(anna: User, ben: User, direct: str) -> None:
    """Every participant gets the event."""
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


async def test_a_deleted_message_stays_as_a_tombstone_without_content_and_reactions(
    anna: User, ben: User, direct: str
) -> None:
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
    assert tombstone == await ben.get(path)
    for method, more, body in (("PATCH", "", {"content": "x"}), ("PUT", f"/reactions/{quote('👍')}", None)):
        refused = await anna.call(method, path + more, body)
        assert refused.status_code in (403, 404), (method, refused.text)
    assert (await anna.call("DELETE", path)).status_code in (200, 204, 404)
    assert [tombstone] == (await ben.get(f"/conversations/{direct}/messages"))["items"]


async def test_messages_of_others_cannot_be_changed(anna: User, ben: User, direct: str) -> None:
    """They get 403, because the user can see them."""
    message = await anna.send_message(direct)
    path = f"/conversations/{direct}/messages/{message['id']}"
    assert message == await ben.get(path)
    await ben.expect_error(403, "forbidden", "PATCH", path, {"content": "forged"})
    await ben.expect_error(403, "forbidden", "DELETE", path)
    assert [message] == (await ben.get(f"/conversations/{direct}/messages"))["items"]


async def test_a_message_is_not_found_through_another_conversation(anna: User, ben: User, direct: str) -> None:
    message = await anna.send_message(direct)
    other = await anna.start_conversation(ben, title="Other")
    path = f"/conversations/{other}/messages/{message['id']}"
    await anna.expect_error(404, "not_found", "GET", path)
    await anna.expect_error(404, "not_found", "PATCH", path, {"content": "x"})
    await anna.expect_error(404, "not_found", "DELETE", path)
    await anna.expect_error(404, "not_found", "PUT", f"{path}/reactions/{quote('👍')}")


async def test_each_user_adds_each_emoji_once_and_can_remove_it(anna: User, ben: User, direct: str) -> None:
    """Each change takes a rev, a repetition none."""
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
    """Anything else is rejected, including operators of the database."""
    message = await anna.send_message(direct)
    path = f"/conversations/{direct}/messages/{message['id']}/reactions/"
    for method in ("PUT", "DELETE"):
        answer = await anna.call(method, path + (emoji if "%" in emoji else quote(emoji, safe="")))
        assert answer.status_code in (404, 422), (method, answer.text)
    assert [message] == (await anna.get(f"/conversations/{direct}/messages"))["items"]


async def test_read_markers_only_move_forward_and_reach_all_participants(anna: User, ben: User, direct: str) -> None:
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
        # A repeated request is announced again: nobody knows whether the first announcement was lost.
        for seq in (2, 2, 3):
            event = await socket.event("read")
            assert {"type": "read", "conversation_id": direct, "data": {"user_id": ben.id, "seq": seq}} == event
    answer = await ben.call("PUT", path, {"seq": 1000})
    assert answer.status_code in (200, 204, 422)
    await anna.send_message(direct)
    assert 1 == (await state())[1], "a message that does not exist cannot have been read"


async def test_a_deleted_message_is_not_unread(anna: User, ben: User, direct: str) -> None:
    """On any worker, at once; and what others have read is in the conversation, so that it survives a reload."""
    messages = [await anna.send_message(direct) for _ in range(3)]
    await ben.put(f"/conversations/{direct}/read", {"seq": 1})
    await anna.delete(f"/conversations/{direct}/messages/{messages[1]['id']}")
    for _ in range(4):
        found = await ben.get(f"/conversations/{direct}")
        listed = (await ben.get("/conversations"))["items"][0]
        assert [(1, 1), (1, 1)] == [(each["last_read_seq"], each["unread_count"]) for each in (found, listed)]
        assert ({anna.id: 3}, 2) == (found["read_marks"], found["participant_count"])
        assert {ben.id: 1} == (await anna.get(f"/conversations/{direct}"))["read_marks"]
    assert 0 == (await ben.put(f"/conversations/{direct}/read", {"seq": 3}))["unread_count"]


async def test_a_further_different_reaction_is_rejected(anna: User, ben: User, direct: str) -> None:
    """A message has fifty; each is counted."""
    message = await anna.send_message(direct)
    path = f"/conversations/{direct}/messages/{message['id']}/reactions/"
    emojis = [chr(0x1F600 + number) for number in range(51)]
    for emoji in emojis[:50]:
        await anna.put(path + quote(emoji))
    await anna.expect_error(422, "validation_failed", "PUT", path + quote(emojis[50]))
    answer = await ben.put(path + quote(emojis[0]))
    assert dict.fromkeys(emojis[:50], 1) | {emojis[0]: 2} == answer["reaction_counts"]
    assert [anna.id, ben.id] == answer["reactions"][emojis[0]]


async def test_history_goes_back_in_pages_without_overlap_and_gap(anna: User, ben: User, direct: str) -> None:
    """The newest page without `before`; each page is ascending."""
    seqs = [(await anna.send_message(direct))["seq"] for _ in range(12)]
    assert list(range(1, 13)) == seqs
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
        assert seqs == [seq for page in reversed(pages) for seq in page]
        assert all(len(page) == limit for page in pages[:-1])
    assert [] == (await ben.get(path, before=1))["items"]


async def test_after_rev_returns_the_messages_changed_later(anna: User, ben: User, direct: str) -> None:
    """Ascending by rev, each in its current state."""
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
    "query",
    [
        "limit=0",
        "limit=-1",
        "limit=100000",
        "limit=x",
        "before=",
        "before=x",
        "before=0.5",
        "after_rev=",
        "after_rev=-1",
        "surprise=1",
    ],
)
async def test_invalid_and_unknown_query_parameters_are_rejected(anna: User, direct: str, query: str) -> None:
    await anna.expect_error(422, "validation_failed", "GET", f"/conversations/{direct}/messages?{query}")


async def test_concurrent_changes_reach_each_device_in_the_order_of_rev(any_clients: Clients) -> None:
    """On one worker without gaps. On several, a late change is read from the database, where it may be newer."""
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
