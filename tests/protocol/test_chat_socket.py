"""The chat socket: hello, every frame with its answer, every event."""

import asyncio
import json

import pytest

from tests.protocol.clients import NO_ID, Clients, User, is_time, unique_text
from tests.protocol.socket import Socket

HELLO = {
    "type",
    "connection_id",
    "user_id",
    "server_time",
    "heartbeat_interval",
    "max_message_bytes",
    "token_expires_at",
    "conversations",
}


@pytest.fixture
async def direct(anna: User, ben: User) -> str:
    return await anna.start_conversation(ben)


async def test_hello_has_the_user_the_process_and_the_head_of_every_conversation(
    anna: User, ben: User, direct: str
) -> None:
    for _ in range(3):
        await anna.send_message(direct)
    await ben.put(f"/conversations/{direct}/read", {"seq": 2})
    sockets = [await ben.chat_socket(), await ben.chat_socket()]
    for socket in sockets:
        assert "hello" == socket.received[0]["type"]
        assert HELLO == set(socket.hello)
        assert ben.id == socket.hello["user_id"]
        assert is_time(socket.hello["server_time"])
        assert is_time(socket.hello["token_expires_at"])
        assert (25, 65536) == (socket.hello["heartbeat_interval"], socket.hello["max_message_bytes"])
        head = {"conversation_id": direct, "last_seq": 3, "last_rev": 3, "last_read_seq": 2}
        assert [head] == socket.hello["conversations"]
    assert sockets[0].hello["connection_id"] != sockets[1].hello["connection_id"]


async def test_the_token_is_accepted_in_the_header_in_the_url_and_as_a_ticket(clients: Clients, anna: User) -> None:
    for options in (
        {"headers": anna.bearer},
        {"query": {"token": anna.token}},
        {"query": {"ticket": await anna.ticket()}},
        {"query": {"ticket": await anna.ticket(), "utm_source": "a proxy's own"}},
    ):
        socket = await clients.socket(**options)
        assert anna.id == (await socket.event("hello"))["user_id"]


async def test_the_ack_has_the_stored_message_and_every_connection_of_both_users_gets_it(
    anna: User, ben: User, direct: str
) -> None:
    sockets = [await anna.chat_socket(), await anna.chat_socket(), await ben.chat_socket()]
    content = unique_text()
    answer = await sockets[0].request("send_message", conversation_id=direct, content=f" {content} ", nonce="n1")
    message = answer["data"]
    assert {"type", "ref", "data"} == set(answer)
    assert (content, "n1", 1, anna.id) == tuple(message[name] for name in ("content", "nonce", "seq", "sender_id"))
    assert [message] == (await ben.get(f"/conversations/{direct}/messages"))["items"], "acknowledged is stored"
    for socket in sockets:
        event = await socket.event("new_message")
        assert {"type": "new_message", "conversation_id": direct, "data": message} == event
    reply = await sockets[2].request(
        "send_message", conversation_id=direct, content=unique_text(), reply_to=message["id"]
    )
    assert message["id"] == reply["data"]["reply_to"]


async def test_messages_of_one_socket_keep_their_order(anna: User, ben: User, direct: str) -> None:
    """Sixty frames sent without waiting are stored in their order, and each is acknowledged once."""
    socket = await anna.chat_socket()
    contents = [unique_text(str(number)) for number in range(60)]
    for number, content in enumerate(contents):
        await socket.send("send_message", ref=str(number), conversation_id=direct, content=content)
    answers = [await socket.reply_to(str(number)) for number in range(60)]
    assert list(range(1, 61)) == [answer["data"]["seq"] for answer in answers]
    stored = [message async for message in ben.pages(f"/conversations/{direct}/messages", "after_rev", after_rev=0)]
    assert contents == [message["content"] for message in stored]
    await socket.events("new_message", 60)
    await socket.flush()
    assert [] == socket.remaining()


async def test_frames_before_the_close_frame_are_processed_in_their_order(anna: User, ben: User, direct: str) -> None:
    await ben.send_message(direct)
    there, socket = await ben.chat_socket(), await anna.chat_socket()
    contents = [unique_text() for _ in range(40)]
    await socket.send("read", conversation_id=direct, seq=1)
    for content in contents:
        await socket.send("send_message", conversation_id=direct, content=content)
    await socket.disconnect()
    assert contents == [event["data"]["content"] for event in await there.events("new_message", len(contents))]
    assert {"user_id": anna.id, "seq": 1} == (await there.event("read"))["data"]


async def test_read_is_acknowledged_published_and_never_moves_back(anna: User, ben: User, direct: str) -> None:
    """The reader's other devices and the other participants get the event."""
    await anna.send_message(direct)
    await anna.send_message(direct)
    here, there, hers = await ben.chat_socket(), await ben.chat_socket(), await anna.chat_socket()
    await here.request("read", conversation_id=direct, seq=2)
    for socket in (here, there, hers):
        event = await socket.event("read")
        assert {"type": "read", "conversation_id": direct, "data": {"user_id": ben.id, "seq": 2}} == event
    await here.request("read", conversation_id=direct, seq=1)
    assert 2 == (await ben.get(f"/conversations/{direct}"))["last_read_seq"]
    await hers.flush()
    assert [] == hers.remaining("read")


async def test_typing_reaches_the_other_participants_and_is_not_stored(anna: User, ben: User, direct: str) -> None:
    hers, his = await anna.chat_socket(), await ben.chat_socket()
    await hers.request("typing", conversation_id=direct)
    event = await his.event("typing")
    assert {"type", "conversation_id", "data"} == set(event)
    assert (direct, {"user_id", "expires_in"}) == (event["conversation_id"], set(event["data"]))
    assert anna.id == event["data"]["user_id"]
    assert 1 <= event["data"]["expires_in"] <= 60
    await hers.request("typing", conversation_id=direct, active=False)
    assert {"user_id": anna.id, "expires_in": 0} == (await his.event("typing"))["data"]
    again = await ben.chat_socket()
    await again.flush()
    assert [] == again.remaining("typing")


async def test_a_ping_is_answered_with_a_pong_of_the_same_ref(anna: User) -> None:
    socket = await anna.chat_socket()
    await socket.send("ping", ref="p")
    assert {"type": "pong", "ref": "p"} == await socket.event("pong")
    await (await socket.websocket.ping(b"of the protocol"))


async def test_watched_users_are_reported_at_once_and_at_every_change(anna: User, ben: User, clients: Clients) -> None:
    cleo = await clients.user()
    await anna.start_conversation(ben, cleo)
    socket = await anna.chat_socket()
    hers = await cleo.chat_socket()
    await socket.request("watch_presence", user_ids=[ben.id, cleo.id])
    states = {event["data"]["user_id"]: event for event in await socket.events("presence", 2)}
    assert {"type": "presence", "data": {"user_id": ben.id, "online": False, "last_seen": None}} == states[ben.id]
    assert states[cleo.id]["data"]["online"] is True
    first, second = await ben.chat_socket(), await ben.chat_socket()
    arrived = (await socket.event("presence"))["data"]
    assert (ben.id, True) == (arrived["user_id"], arrived["online"])
    await first.disconnect()
    await second.disconnect()
    gone = (await socket.event("presence"))["data"]
    assert (ben.id, False) == (gone["user_id"], gone["online"]), "online as long as any device is, and published once"
    assert is_time(gone["last_seen"])
    state = await anna.get("/presence", user_ids=f"{ben.id},{cleo.id}")
    assert {ben.id, cleo.id} == set(state)
    assert ({"online": False, "last_seen": gone["last_seen"]}, True) == (state[ben.id], state[cleo.id]["online"])
    await socket.request("watch_presence", user_ids=[ben.id])
    await socket.event("presence")
    await hers.disconnect()
    await ben.chat_socket()
    assert ben.id == (await socket.event("presence"))["data"]["user_id"], "the newer set replaces the older"
    assert [] == socket.remaining("presence")


async def test_every_frame_gets_one_answer_with_its_ref(anna: User, direct: str) -> None:
    """An ack or an error; a ref may be used again."""
    socket = await anna.chat_socket()
    ref = "ö" * 64
    for _ in range(2):
        await socket.send("send_message", ref=ref, conversation_id=direct, content=unique_text())
        assert "ack" == (await socket.reply_to(ref))["type"]
        await socket.send("send_message", ref=ref, conversation_id=NO_ID, content=unique_text())
        error = await socket.reply_to(ref)
        assert {"type", "ref", "code", "detail"} == set(error)
        assert "not_found" == error["code"]
    await socket.flush()
    assert [] == socket.remaining("ack", "error")
    await socket.send("ping", ref="x" * 65)
    assert "validation_failed" == (await socket.event("error"))["code"]


@pytest.mark.parametrize("text", ["", "{", "garbage", '{"type": "ping"', "{'type': 'ping'}", "[" * 3000])
async def test_malformed_json_gets_an_error_and_the_socket_stays_open(anna: User, text: str) -> None:
    socket = await anna.chat_socket()
    await socket.send_raw(text)
    error = await socket.event("error")
    assert ("malformed_json", None) == (error["code"], error["ref"])
    await socket.flush()


@pytest.mark.parametrize("text", ["[]", "null", "1", '"ping"', "true", '[{"type": "ping"}]'])
async def test_json_that_is_not_an_object_gets_an_error_and_the_socket_stays_open(anna: User, text: str) -> None:
    socket = await anna.chat_socket()
    await socket.send_raw(text)
    assert "validation_failed" == (await socket.event("error"))["code"]
    await socket.flush()


async def test_changes_by_others_and_over_http_reach_every_device_in_the_order_of_rev(
    anna: User, ben: User, direct: str, clients: Clients
) -> None:
    socket = await ben.chat_socket()
    message = (await (await anna.chat_socket()).request("send_message", conversation_id=direct, content=unique_text()))[
        "data"
    ]
    await anna.patch(f"/conversations/{direct}/messages/{message['id']}", {"content": unique_text()})
    await ben.put(f"/conversations/{direct}/messages/{message['id']}/reactions/❤️")
    await anna.delete(f"/conversations/{direct}/messages/{message['id']}")
    events = [await socket.event("new_message"), *await socket.events("message_updated", 3)]
    assert [1, 2, 3, 4] == [event["data"]["rev"] for event in events]
    assert [False, False, False, True] == [event["data"]["deleted"] for event in events]
    assert [{}, {}, {"❤️": [ben.id]}, {}] == [event["data"]["reactions"] for event in events]


async def test_the_participants_of_a_new_conversation_are_notified(anna: User, ben: User) -> None:
    socket: Socket = await ben.chat_socket()
    assert [] == socket.hello["conversations"]
    group = await anna.start_conversation(ben, title="New")
    event = await socket.event("conversation_updated")
    assert (group, "New", group) == (event["conversation_id"], event["data"]["title"], event["data"]["id"])
    message = await anna.send_message(group)
    assert message == (await socket.event("new_message"))["data"]


async def test_hello_lists_the_200_most_recently_active_conversations_in_order(anna: User, clients: Clients) -> None:
    groups = []
    ben = await clients.user()
    for _ in range(8):
        groups += await asyncio.gather(*(anna.start_conversation(ben, title="One of many") for _ in range(26)))
    oldest, newest = groups[0], groups[100]
    await anna.send_message(newest)
    conversations = [head["conversation_id"] for head in (await ben.chat_socket()).hello["conversations"]]
    assert (200, 200) == (len(conversations), len(set(conversations)))
    assert newest == conversations[0]
    assert oldest not in conversations
    listed = [item["id"] async for item in ben.pages("/conversations", "before", limit=100)]
    assert sorted(groups) == sorted(listed)
    assert listed[:200] == conversations


async def test_a_text_arrives_unchanged_whatever_its_characters_and_escapes(anna: User, direct: str) -> None:
    socket = await anna.chat_socket()
    content = 'Ü " \\ / \u2028 \x01 \x7f é e\u0301 👩‍👩‍👧 <b>&amp;</b> \r\n\t.'
    for ascii_only in (True, False):
        frame = {"type": "send_message", "ref": "f", "conversation_id": direct, "content": content}
        await socket.send_raw(json.dumps(frame, ensure_ascii=ascii_only))
        assert content == (await socket.reply_to("f"))["data"]["content"]
