"""A nonce makes a send repeatable: whatever happens to the response, one message is stored."""

import asyncio

from tests.protocol.clients import Clients, problem, unique_text


async def test_a_repeated_send_returns_the_first_message_with_200(clients: Clients) -> None:
    """Over HTTP or a socket, from any device, even after an edit."""
    anna, ben = await clients.users(2)
    direct = await anna.start_conversation(ben)
    content = unique_text()
    body = {"content": content, "nonce": "n"}
    path = f"/conversations/{direct}/messages"
    first = await anna.call("POST", path, body)
    assert 201 == first.status_code
    message = first.json()
    again = await (await anna.sign_in_again()).call("POST", path, body)
    assert (200, message) == (again.status_code, again.json())
    socket = await anna.chat_socket()
    assert message == (await socket.request("send_message", conversation_id=direct, **body))["data"]
    edited = await anna.patch(f"{path}/{message['id']}", {"content": unique_text("other")})
    again = await anna.call("POST", path, body)
    assert (200, edited) == (again.status_code, again.json())
    await anna.delete(f"{path}/{message['id']}")
    again = await anna.call("POST", path, body)
    assert (200, message["id"], True) == (again.status_code, again.json()["id"], again.json()["deleted"])
    for _ in range(60):
        await anna.send_message(direct, nonce=None)
    assert message["id"] == (await socket.request("send_message", conversation_id=direct, **body))["data"]["id"]
    assert 61 == (await ben.get(f"/conversations/{direct}"))["last_seq"]
    new = [event["data"]["id"] for event in socket.received if event["type"] == "new_message"]
    assert message["id"] not in new, "a repeated send is not published"


async def test_a_nonce_with_other_content_gets_409_and_stores_nothing(clients: Clients) -> None:
    anna, ben = await clients.users(2)
    direct = await anna.start_conversation(ben)
    earlier = await anna.send_message(direct)
    message = await anna.send_message(direct, unique_text(), nonce="n")
    path = f"/conversations/{direct}/messages"
    await anna.expect_error(409, "nonce_reused", "POST", path, {"content": unique_text("other"), "nonce": "n"})
    body = {"content": message["content"], "nonce": "n", "reply_to": earlier["id"]}
    await anna.expect_error(409, "nonce_reused", "POST", path, body)
    socket = await anna.chat_socket()
    await socket.expect_error(
        "nonce_reused", "send_message", conversation_id=direct, content=unique_text("other"), nonce="n"
    )
    assert [earlier, message] == (await ben.get(path))["items"]


async def test_nonces_belong_to_a_sender_and_a_conversation(clients: Clients) -> None:
    anna, ben = await clients.users(2)
    direct, group = await anna.start_conversation(ben), await anna.start_conversation(ben, title="Group")
    content = unique_text()
    sent = [
        await anna.send_message(direct, content, nonce="n"),
        await ben.send_message(direct, content, nonce="n"),
        await anna.send_message(group, content, nonce="n"),
        await anna.send_message(direct, content, nonce="N"),
        await anna.send_message(direct, content, nonce="n "),
        await anna.send_message(direct, content),
    ]
    assert 6 == len({message["id"] for message in sent})


async def test_fifty_concurrent_sends_with_one_nonce_store_one_message(any_clients: Clients) -> None:
    """Over HTTP and three sockets; exactly one response is 201."""
    anna, ben = await any_clients.users(2)
    direct = await anna.start_conversation(ben)
    body = {"content": unique_text(), "nonce": "n"}
    sockets = [await anna.chat_socket() for _ in range(3)]
    his = await ben.chat_socket()
    answers = await asyncio.gather(
        *(anna.call("POST", f"/conversations/{direct}/messages", body) for _ in range(26)),
        *(sockets[number % 3].request("send_message", conversation_id=direct, **body) for number in range(24)),
    )
    over_http, over_sockets = answers[:26], answers[26:]
    ids = {answer.json()["id"] for answer in over_http} | {answer["data"]["id"] for answer in over_sockets}
    assert 1 == len(ids)
    assert {200, 201} >= {answer.status_code for answer in over_http}
    assert 1 >= [answer.status_code for answer in over_http].count(201)
    assert 1 == (await ben.get(f"/conversations/{direct}"))["last_seq"]
    await his.event("new_message")
    await his.flush()
    assert [] == his.remaining("new_message")


async def test_a_repeated_comment_is_stored_and_notified_once(any_clients: Clients) -> None:
    """With other content it is rejected."""
    anna, ben = await any_clients.users(2)
    post = await anna.create_post()
    stream = await anna.stream()
    path, body = f"/posts/{post}/comments", {"content": unique_text(), "nonce": "n"}
    answers = await asyncio.gather(*(ben.call("POST", path, body) for _ in range(10)))
    assert 1 == len({answer.json()["id"] for answer in answers})
    assert [200] * 9 + [201] == sorted(answer.status_code for answer in answers)
    problem(await ben.call("POST", path, {"content": unique_text(), "nonce": "n"}), 409, "nonce_reused")
    assert 1 == (await anna.get(f"/posts/{post}"))["comment_count"]
    await ben.comment(post)
    assert [1, 2] == [(await stream.notification())["seq"] for _ in range(2)]
    assert 2 == (await anna.get("/notifications/unread_count"))["unread_count"]
