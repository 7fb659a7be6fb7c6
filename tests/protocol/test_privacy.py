"""Objects of others are answered exactly like unknown ids: same status, body and headers."""

import asyncio
from urllib.parse import quote

import httpx

from tests.protocol.clients import NO_ID, Clients, User, unique_text


def fingerprint(answer: httpx.Response) -> tuple[object, ...]:
    """What could distinguish two answers, except for the id of the request and the time."""
    varying = {"x-request-id", "date"}
    return answer.status_code, answer.content, {k: v for k, v in answer.headers.items() if k not in varying}


async def same(eve: User, method: str, theirs: str, nothing: str, body: object = None) -> None:
    """`theirs`, which exists, and `nothing`, which does not, are the same 404 to her."""
    found, missing = await eve.call(method, theirs, body), await eve.call(method, nothing, body)
    assert 404 == found.status_code, (method, theirs, found.text)
    assert fingerprint(found) == fingerprint(missing)


async def test_a_conversation_of_others_answers_like_an_unknown_id(clients: Clients) -> None:
    """No call changes it."""
    anna, ben, eve = await clients.users(3)
    group = await anna.start_conversation(ben, title="Without Eve")
    message = (await anna.send_message(group))["id"]
    before = await anna.get(f"/conversations/{group}"), await anna.get(f"/conversations/{group}/messages")
    calls: list[tuple[str, str, object]] = [
        ("GET", "", None),
        ("PATCH", "", {"title": "Mine"}),
        ("POST", "/participants", {"user_ids": [eve.id]}),
        ("DELETE", f"/participants/{ben.id}", None),
        ("DELETE", f"/participants/{eve.id}", None),
        ("GET", "/participants", None),
        ("POST", "/invitations", None),
        ("DELETE", "/invitations", None),
        ("PATCH", f"/participants/{ben.id}", {"role": "admin"}),
        ("GET", "/messages", None),
        ("GET", "/messages?before=2", None),
        ("GET", "/messages?after_rev=0", None),
        ("POST", "/messages", {"content": unique_text()}),
        ("PATCH", f"/messages/{message}", {"content": unique_text()}),
        ("DELETE", f"/messages/{message}", None),
        ("PUT", f"/messages/{message}/reactions/{quote('👍')}", None),
        ("DELETE", f"/messages/{message}/reactions/{quote('👍')}", None),
        ("PUT", "/read", {"seq": 1}),
    ]
    for method, rest, body in calls:
        await same(eve, method, f"/conversations/{group}{rest}", f"/conversations/{NO_ID}{rest}", body)
    assert before == (await anna.get(f"/conversations/{group}"), await anna.get(f"/conversations/{group}/messages"))
    assert [] == (await eve.get("/conversations"))["items"]


async def test_frames_about_a_conversation_of_others_get_not_found(clients: Clients) -> None:
    """Its events do not arrive."""
    anna, ben, eve = await clients.users(3)
    theirs, ours = await anna.start_conversation(ben), await anna.start_conversation(eve)
    socket = await eve.chat_socket()
    for type_, fields in (("send_message", {"content": unique_text()}), ("read", {"seq": 1}), ("typing", {})):
        answers = [await socket.answer(type_, conversation_id=id_, **fields) for id_ in (theirs, NO_ID)]
        assert ["not_found"] * 2 == [answer.pop("code") for answer in answers]
        assert 1 == len({str({**answer, "ref": ""}) for answer in answers})
    await socket.request("sync", conversations={theirs: 0, NO_ID: 0})
    assert [] == socket.remaining("sync")
    sent = await asyncio.gather(*(anna.send_message(theirs) for _ in range(5)))
    await ben.put(f"/conversations/{theirs}/read", {"seq": 3})
    ours_too = await anna.send_message(ours)
    assert ours_too == (await socket.event("new_message"))["data"]
    assert not [event for event in socket.received if event["type"] == "new_message" and event["data"] != ours_too]
    everything = str(socket.received)
    assert not [message for message in sent if message["content"] in everything or message["id"] in everything]


async def test_a_session_of_others_cannot_be_ended_or_detected(clients: Clients) -> None:
    anna, eve = await clients.users(2)
    (session,) = (await anna.get("/auth/sessions"))["items"]
    await same(eve, "DELETE", f"/auth/sessions/{session['id']}", f"/auth/sessions/{NO_ID}")
    await anna.get("/users/me")


async def test_notifications_of_others_cannot_be_read_or_marked(clients: Clients) -> None:
    anna, ben, eve = await clients.users(3)
    stream = await anna.stream()
    await ben.comment(await anna.create_post())
    id_ = (await stream.notification())["data"]["notification_id"]
    await same(eve, "PUT", f"/notifications/{id_}/read", f"/notifications/{NO_ID}/read")
    assert 1 == (await anna.get("/notifications/unread_count"))["unread_count"]
    assert {"items": [], "next": None} == await eve.get("/notifications")


async def test_presence_is_shown_to_those_who_share_a_conversation(clients: Clients) -> None:
    """Also in a group; it ends with the last conversation that they share, and begins with the first."""
    anna, ben, eve = await clients.users(3)
    group = f"/conversations/{await anna.start_conversation(ben, title='Ours')}"
    his, hers, hidden = await ben.chat_socket(), await anna.chat_socket(), await eve.chat_socket()
    offline, online = {"online": False, "last_seen": None}, {"online": True, "last_seen": None}
    assert offline == (await eve.get("/presence", user_ids=ben.id))[ben.id]
    assert online == (await eve.get("/presence", user_ids=eve.id))[eve.id]
    assert online == (await anna.get("/presence", user_ids=ben.id))[ben.id]
    await hidden.request("watch_presence", user_ids=[ben.id])
    await hers.request("watch_presence", user_ids=[ben.id])
    await his.request("watch_presence", user_ids=[anna.id])
    assert {"user_id": ben.id, **offline} == (await hidden.event("presence"))["data"]
    assert {"user_id": ben.id, **online} == (await hers.event("presence"))["data"]
    assert {"user_id": anna.id, **online} == (await his.event("presence"))["data"]
    await anna.delete(f"{group}/participants/{ben.id}")
    assert {"user_id": ben.id, **offline} == (await hers.event("presence"))["data"]
    assert {"user_id": anna.id, **offline} == (await his.event("presence"))["data"]
    assert offline == (await anna.get("/presence", user_ids=ben.id))[ben.id]
    await his.disconnect()
    await ben.chat_socket()
    for socket in (hers, hidden):
        await socket.flush()
        assert [] == socket.remaining("presence")
    await eve.start_conversation(ben)
    assert online == (await eve.get("/presence", user_ids=ben.id))[ben.id]


async def test_presence_can_be_switched_off(clients: Clients) -> None:
    """At once, for those who watch; the user sees that of others and their own."""
    anna, ben = await clients.users(2)
    await anna.start_conversation(ben)
    hers, his = await anna.chat_socket(), await ben.chat_socket()
    await hers.request("watch_presence", user_ids=[ben.id])
    assert (await hers.event("presence"))["data"]["online"]
    assert True is (await ben.get("/users/me"))["show_presence"]
    assert False is (await ben.patch("/users/me", {"show_presence": False}))["show_presence"]
    offline = {"online": False, "last_seen": None}
    assert {"user_id": ben.id, **offline} == (await hers.event("presence"))["data"]
    await his.disconnect()
    his = await ben.chat_socket()
    await hers.flush()
    assert [] == hers.remaining("presence")
    assert offline == (await anna.get("/presence", user_ids=ben.id))[ben.id]
    assert "show_presence" not in await anna.get(f"/users/{ben.id}")
    states = await ben.get("/presence", user_ids=f"{anna.id},{ben.id}")
    assert [True, True] == [states[anna.id]["online"], states[ben.id]["online"]]
    await ben.patch("/users/me", {"show_presence": True})
    assert (await anna.get("/presence", user_ids=ben.id))[ben.id]["online"]


async def test_the_presence_of_an_unknown_id_looks_like_that_of_an_offline_user(clients: Clients) -> None:
    anna, ben = await clients.users(2)
    await anna.start_conversation(ben)
    states = await anna.get("/presence", user_ids=f"{ben.id},{NO_ID}")
    assert {"online": False, "last_seen": None} == states[ben.id]
    assert states.get(NO_ID) in (None, states[ben.id])
