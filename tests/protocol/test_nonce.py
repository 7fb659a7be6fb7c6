"""A nonce makes a send repeatable: whatever happens to the answer, it is one message."""

import asyncio

from tests.protocol.world import World, problem, words


async def test_the_same_message_for_ever(world: World) -> None:
    """Sent again over HTTP or a socket, from any device, edited meanwhile or not, it is the first one: 200, not 201."""
    anna, ben = await world.people(2)
    direct = await anna.talk(ben)
    content = words()
    body = {"content": content, "nonce": "n"}
    path = f"/conversations/{direct}/messages"
    first = await anna.call("POST", path, body)
    assert 201 == first.status_code
    message = first.json()
    again = await (await anna.device()).call("POST", path, body)
    assert (200, message) == (again.status_code, again.json())
    socket = await anna.chat()
    assert message == (await socket.ask("send_message", conversation_id=direct, **body))["data"]
    edited = await anna.patch(f"{path}/{message['id']}", {"content": words("other")})
    again = await anna.call("POST", path, body)
    assert (200, edited) == (again.status_code, again.json())
    await anna.delete(f"{path}/{message['id']}")
    again = await anna.call("POST", path, body)
    assert (200, message["id"], True) == (again.status_code, again.json()["id"], again.json()["deleted"])
    for _ in range(60):
        await anna.say(direct, nonce=None)
    assert message["id"] == (await socket.ask("send_message", conversation_id=direct, **body))["data"]["id"]
    assert 61 == (await ben.get(f"/conversations/{direct}"))["last_seq"]
    new = [event["data"]["id"] for event in socket.seen if event["type"] == "new_message"]
    assert message["id"] not in new, "a repetition is told to nobody"


async def test_other_content(world: World) -> None:
    """The same nonce with other content, or as an answer to something else, is a mistake: 409, nothing is stored."""
    anna, ben = await world.people(2)
    direct = await anna.talk(ben)
    earlier = await anna.say(direct)
    message = await anna.say(direct, words(), nonce="n")
    path = f"/conversations/{direct}/messages"
    await anna.refused(409, "nonce_reused", "POST", path, {"content": words("other"), "nonce": "n"})
    body = {"content": message["content"], "nonce": "n", "reply_to": earlier["id"]}
    await anna.refused(409, "nonce_reused", "POST", path, body)
    socket = await anna.chat()
    await socket.refused("nonce_reused", "send_message", conversation_id=direct, content=words("other"), nonce="n")
    assert [earlier, message] == (await ben.get(path))["items"]


async def test_whose_nonce(world: World) -> None:
    """Another sender, and another conversation, have nonces of their own."""
    anna, ben = await world.people(2)
    direct, group = await anna.talk(ben), await anna.talk(ben, title="Group")
    content = words()
    said = [
        await anna.say(direct, content, nonce="n"),
        await ben.say(direct, content, nonce="n"),
        await anna.say(group, content, nonce="n"),
        await anna.say(direct, content, nonce="N"),
        await anna.say(direct, content, nonce="n "),
        await anna.say(direct, content),
    ]
    assert 6 == len({message["id"] for message in said})


async def test_fifty_at_once(any_world: World) -> None:
    """Fifty sends at once with one nonce, over HTTP and three sockets, are one message, and one 201 tells of it."""
    anna, ben = await any_world.people(2)
    direct = await anna.talk(ben)
    body = {"content": words(), "nonce": "n"}
    sockets = [await anna.chat() for _ in range(3)]
    his = await ben.chat()
    answers = await asyncio.gather(
        *(anna.call("POST", f"/conversations/{direct}/messages", body) for _ in range(26)),
        *(sockets[number % 3].ask("send_message", conversation_id=direct, **body) for number in range(24)),
    )
    over_http, over_sockets = answers[:26], answers[26:]
    ids = {answer.json()["id"] for answer in over_http} | {answer["data"]["id"] for answer in over_sockets}
    assert 1 == len(ids)
    assert {200, 201} >= {answer.status_code for answer in over_http}
    assert 1 >= [answer.status_code for answer in over_http].count(201)
    assert 1 == (await ben.get(f"/conversations/{direct}"))["last_seq"]
    await his.event("new_message")
    await his.fence()
    assert [] == his.left("new_message")


async def test_comments_have_nonces_too(any_world: World) -> None:
    """A comment sent again is the first one, and notifies once; with other content it is a mistake."""
    anna, ben = await any_world.people(2)
    post = await anna.publish()
    stream = await anna.stream()
    path, body = f"/posts/{post}/comments", {"content": words(), "nonce": "n"}
    answers = await asyncio.gather(*(ben.call("POST", path, body) for _ in range(10)))
    assert 1 == len({answer.json()["id"] for answer in answers})
    assert [200] * 9 + [201] == sorted(answer.status_code for answer in answers)
    problem(await ben.call("POST", path, {"content": words(), "nonce": "n"}), 409, "nonce_reused")
    assert 1 == (await anna.get(f"/posts/{post}"))["comment_count"]
    await ben.comment(post)
    assert [1, 2] == [(await stream.notification())["seq"] for _ in range(2)]
    assert 2 == (await anna.get("/notifications/unread_count"))["unread_count"]
