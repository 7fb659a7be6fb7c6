"""The chat socket: hello, every frame and its one answer, every event."""

import asyncio
import json

import pytest

from tests.protocol.socket import Socket
from tests.protocol.world import NO_ID, Person, World, is_time, words

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
async def direct(anna: Person, ben: Person) -> str:
    return await anna.talk(ben)


async def test_hello(anna: Person, ben: Person, direct: str) -> None:
    """The first frame says who and where one is, and where every conversation stands."""
    for _ in range(3):
        await anna.say(direct)
    await ben.put(f"/conversations/{direct}/read", {"seq": 2})
    sockets = [await ben.chat(), await ben.chat()]
    for socket in sockets:
        assert "hello" == socket.seen[0]["type"]
        assert HELLO == set(socket.hello)
        assert ben.id == socket.hello["user_id"]
        assert is_time(socket.hello["server_time"])
        assert is_time(socket.hello["token_expires_at"])
        assert (25, 65536) == (socket.hello["heartbeat_interval"], socket.hello["max_message_bytes"])
        place = {"conversation_id": direct, "last_seq": 3, "last_rev": 3, "last_read_seq": 2}
        assert [place] == socket.hello["conversations"]
    assert sockets[0].hello["connection_id"] != sockets[1].hello["connection_id"]


async def test_ways_in(world: World, anna: Person) -> None:
    """The token comes in the header, as `?token=`, or as a `?ticket=`."""
    for options in (
        {"headers": anna.bearer},
        {"query": {"token": anna.token}},
        {"query": {"ticket": await anna.ticket()}},
        {"query": {"ticket": await anna.ticket(), "utm_source": "a proxy's own"}},
    ):
        socket = await world.socket(**options)
        assert anna.id == (await socket.event("hello"))["user_id"]


async def test_send_message(anna: Person, ben: Person, direct: str) -> None:
    """The ack brings the stored Message; the same goes to every connection of both, the sending one's included."""
    sockets = [await anna.chat(), await anna.chat(), await ben.chat()]
    content = words()
    answer = await sockets[0].ask("send_message", conversation_id=direct, content=f" {content} ", nonce="n1")
    message = answer["data"]
    assert {"type", "ref", "data"} == set(answer)
    assert (content, "n1", 1, anna.id) == tuple(message[name] for name in ("content", "nonce", "seq", "sender_id"))
    assert [message] == (await ben.get(f"/conversations/{direct}/messages"))["items"], "acknowledged is stored"
    for socket in sockets:
        event = await socket.event("new_message")
        assert {"type": "new_message", "conversation_id": direct, "data": message} == event
    reply = await sockets[2].ask("send_message", conversation_id=direct, content=words(), reply_to=message["id"])
    assert message["id"] == reply["data"]["reply_to"]


async def test_messages_of_one_socket_keep_their_order(anna: Person, ben: Person, direct: str) -> None:
    """Sixty frames sent without waiting are stored in the order of sending, and each is acknowledged once."""
    socket = await anna.chat()
    contents = [words(str(number)) for number in range(60)]
    for number, content in enumerate(contents):
        await socket.send("send_message", ref=str(number), conversation_id=direct, content=content)
    answers = [await socket.spec_for(str(number)) for number in range(60)]
    assert list(range(1, 61)) == [answer["data"]["seq"] for answer in answers]
    stored = [message async for message in ben.pages(f"/conversations/{direct}/messages", "after_rev", after_rev=0)]
    assert contents == [message["content"] for message in stored]
    await socket.events("new_message", 60)
    await socket.fence()
    assert [] == socket.left()


async def test_what_was_said_before_leaving(anna: Person, ben: Person, direct: str) -> None:
    """Whoever says something and leaves at once has said it: what came before the close frame is done, in its order."""
    await ben.say(direct)
    there, socket = await ben.chat(), await anna.chat()
    said = [words() for _ in range(40)]
    await socket.send("read", conversation_id=direct, seq=1)
    for content in said:
        await socket.send("send_message", conversation_id=direct, content=content)
    await socket.leave()
    assert said == [event["data"]["content"] for event in await there.events("new_message", len(said))]
    assert {"user_id": anna.id, "seq": 1} == (await there.event("read"))["data"]


async def test_read(anna: Person, ben: Person, direct: str) -> None:
    """Reading is acknowledged and told to the readers' other devices and to the others; it never moves back."""
    await anna.say(direct)
    await anna.say(direct)
    here, there, hers = await ben.chat(), await ben.chat(), await anna.chat()
    await here.ask("read", conversation_id=direct, seq=2)
    for socket in (here, there, hers):
        event = await socket.event("read")
        assert {"type": "read", "conversation_id": direct, "data": {"user_id": ben.id, "seq": 2}} == event
    await here.ask("read", conversation_id=direct, seq=1)
    assert 2 == (await ben.get(f"/conversations/{direct}"))["last_read_seq"]
    await hers.fence()
    assert [] == hers.left("read")


async def test_typing(anna: Person, ben: Person, direct: str) -> None:
    """Who is typing is told to the others for as many seconds, and is stored nowhere."""
    hers, his = await anna.chat(), await ben.chat()
    await hers.ask("typing", conversation_id=direct)
    event = await his.event("typing")
    assert {"type", "conversation_id", "data"} == set(event)
    assert (direct, {"user_id", "expires_in"}) == (event["conversation_id"], set(event["data"]))
    assert anna.id == event["data"]["user_id"]
    assert 1 <= event["data"]["expires_in"] <= 60
    again = await ben.chat()
    await again.fence()
    assert [] == again.left("typing")


async def test_ping(anna: Person) -> None:
    """A ping has its pong, with the same ref."""
    socket = await anna.chat()
    await socket.send("ping", ref="p")
    assert {"type": "pong", "ref": "p"} == await socket.event("pong")
    await (await socket.websocket.ping(b"of the protocol"))


async def test_watch_presence(anna: Person, ben: Person, world: World) -> None:
    """The state of those watched comes at once, and then each change, for as long as they are watched."""
    cleo = await world.person()
    socket = await anna.chat()
    hers = await cleo.chat()
    await socket.ask("watch_presence", user_ids=[ben.id, cleo.id])
    states = {event["data"]["user_id"]: event for event in await socket.events("presence", 2)}
    assert {"type": "presence", "data": {"user_id": ben.id, "online": False, "last_seen": None}} == states[ben.id]
    assert states[cleo.id]["data"]["online"] is True
    first, second = await ben.chat(), await ben.chat()
    came = (await socket.event("presence"))["data"]
    assert (ben.id, True) == (came["user_id"], came["online"])
    await first.leave()
    await second.leave()
    gone = (await socket.event("presence"))["data"]
    assert (ben.id, False) == (gone["user_id"], gone["online"]), "online as long as any device is, and told once"
    assert is_time(gone["last_seen"])
    state = await anna.get("/presence", user_ids=f"{ben.id},{cleo.id}")
    assert {ben.id, cleo.id} == set(state)
    assert ({"online": False, "last_seen": gone["last_seen"]}, True) == (state[ben.id], state[cleo.id]["online"])
    await socket.ask("watch_presence", user_ids=[ben.id])
    await socket.event("presence")
    await hers.leave()
    await ben.chat()
    assert ben.id == (await socket.event("presence"))["data"]["user_id"], "the newer set replaces the older"
    assert [] == socket.left("presence")


async def test_a_ref_comes_back_once(anna: Person, direct: str) -> None:
    """Each frame has one answer with its ref, be it an ack or an error, and a ref may be used again."""
    socket = await anna.chat()
    ref = "ö" * 64
    for _ in range(2):
        await socket.send("send_message", ref=ref, conversation_id=direct, content=words())
        assert "ack" == (await socket.spec_for(ref))["type"]
        await socket.send("send_message", ref=ref, conversation_id=NO_ID, content=words())
        error = await socket.spec_for(ref)
        assert {"type", "ref", "code", "detail"} == set(error)
        assert "not_found" == error["code"]
    await socket.fence()
    assert [] == socket.left("ack", "error")
    await socket.send("ping", ref="x" * 65)
    assert "validation_failed" == (await socket.event("error"))["code"]


@pytest.mark.parametrize("text", ["", "{", "garbage", '{"type": "ping"', "{'type': 'ping'}", "[" * 3000])
async def test_malformed_json(anna: Person, text: str) -> None:
    """A frame that is no JSON is answered with an error, and the socket stays open."""
    socket = await anna.chat()
    await socket.raw(text)
    error = await socket.event("error")
    assert ("malformed_json", None) == (error["code"], error["ref"])
    await socket.fence()


@pytest.mark.parametrize("text", ["[]", "null", "1", '"ping"', "true", '[{"type": "ping"}]'])
async def test_json_that_is_no_frame(anna: Person, text: str) -> None:
    """So is JSON that is no object."""
    socket = await anna.chat()
    await socket.raw(text)
    assert "validation_failed" == (await socket.event("error"))["code"]
    await socket.fence()


async def test_events_of_others(anna: Person, ben: Person, direct: str, world: World) -> None:
    """What is done over HTTP or another socket, by whomever, comes to each device in the order of rev."""
    socket = await ben.chat()
    message = (await (await anna.chat()).ask("send_message", conversation_id=direct, content=words()))["data"]
    await anna.patch(f"/conversations/{direct}/messages/{message['id']}", {"content": words()})
    await ben.put(f"/conversations/{direct}/messages/{message['id']}/reactions/❤️")
    await anna.delete(f"/conversations/{direct}/messages/{message['id']}")
    events = [await socket.event("new_message"), *await socket.events("message_updated", 3)]
    assert [1, 2, 3, 4] == [event["data"]["rev"] for event in events]
    assert [False, False, False, True] == [event["data"]["deleted"] for event in events]
    assert [{}, {}, {"❤️": [ben.id]}, {}] == [event["data"]["reactions"] for event in events]


async def test_a_new_conversation_is_announced(anna: Person, ben: Person) -> None:
    """Who is in a new conversation hears of it without asking."""
    socket: Socket = await ben.chat()
    assert [] == socket.hello["conversations"]
    group = await anna.talk(ben, title="New")
    event = await socket.event("conversation_updated")
    assert (group, "New", group) == (event["conversation_id"], event["data"]["title"], event["data"]["id"])
    message = await anna.say(group)
    assert message == (await socket.event("new_message"))["data"]


async def test_hello_with_many_conversations(anna: Person, world: World) -> None:
    """Hello names the 200 that were active last, in that order."""
    groups = []
    ben = await world.person()
    for _ in range(8):
        groups += await asyncio.gather(*(anna.talk(ben, title="One of many") for _ in range(26)))
    oldest, newest = groups[0], groups[100]
    await anna.say(newest)
    conversations = [place["conversation_id"] for place in (await ben.chat()).hello["conversations"]]
    assert (200, 200) == (len(conversations), len(set(conversations)))
    assert newest == conversations[0]
    assert oldest not in conversations
    listed = [item["id"] async for item in ben.pages("/conversations", "before", limit=100)]
    assert sorted(groups) == sorted(listed)
    assert listed[:200] == conversations


async def test_a_frame_is_json_text(anna: Person, direct: str) -> None:
    """What is said arrives as it was said, whatever the characters and however they were escaped."""
    socket = await anna.chat()
    content = 'Ü " \\ / \u2028 \x01 \x7f é e\u0301 👩‍👩‍👧 <b>&amp;</b> \r\n\t.'
    for ascii_only in (True, False):
        frame = {"type": "send_message", "ref": "f", "conversation_id": direct, "content": content}
        await socket.raw(json.dumps(frame, ensure_ascii=ascii_only))
        assert content == (await socket.spec_for("f"))["data"]["content"]
