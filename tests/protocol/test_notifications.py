"""Who is notified of what, the content of a notification, and read markers."""

import asyncio

import pytest

from tests.protocol.clients import CONTENT_MARK, Clients, Json, User, is_id, is_time, unique_text
from tests.protocol.socket import Socket
from tests.protocol.stream import Stream

DATA = {"notification_id", "sender", "post_id", "comment_id", "preview", "created_at", "read"}


def check(notification: Json, type_: str, seq: int, sender: User, comment: Json) -> None:
    """All of it is as the contract says."""
    assert {"type", "seq", "data"} == set(notification)
    assert (type_, seq) == (notification["type"], notification["seq"])
    data = notification["data"]
    assert DATA == set(data)
    assert is_id(data["notification_id"])
    assert is_time(data["created_at"])
    assert {"id": sender.id, "display_name": sender.profile["display_name"], "avatar": None} == data["sender"]
    assert (comment["post_id"], comment["id"]) == (data["post_id"], data["comment_id"])
    assert (comment["content"][:140], False) == (data["preview"], data["read"])


async def test_comments_notify_the_posts_author_and_replies_the_comments_author(clients: Clients) -> None:
    """Nobody is notified of their own."""
    anna, ben, cleo = await clients.users(3)
    post = await anna.create_post()
    hers, his, third = await anna.stream(), await ben.stream(), await cleo.stream()
    comment = await ben.comment(post)
    check(await hers.notification(), "NEW_COMMENT", 1, ben, comment)
    reply = await cleo.comment(post, parent_id=comment["id"])
    check(await his.notification(), "NEW_REPLY", 1, cleo, reply)
    check(await hers.notification(), "NEW_COMMENT", 2, cleo, reply)
    answer = await anna.comment(post, parent_id=reply["id"])
    check(await third.notification(), "NEW_REPLY", 1, anna, answer)
    to_herself = await anna.comment(post, parent_id=answer["id"])
    own = await anna.comment(post)
    assert to_herself["id"] != own["id"]
    last = await ben.comment(post)
    check(await hers.notification(), "NEW_COMMENT", 3, ben, last)
    assert ([1, 2, 3], [1], [1]) == (hers.seqs, his.seqs, third.seqs)


async def test_the_author_of_post_and_comment_gets_one_notification_of_a_reply(clients: Clients) -> None:
    """As a reply."""
    anna, ben = await clients.users(2)
    post = await anna.create_post()
    own = await anna.comment(post)
    stream = await anna.stream()
    reply = await ben.comment(post, parent_id=own["id"])
    check(await stream.notification(), "NEW_REPLY", 1, ben, reply)
    comment = await ben.comment(post)
    check(await stream.notification(), "NEW_COMMENT", 2, ben, comment)


async def test_a_preview_has_the_first_140_characters(clients: Clients) -> None:
    """Not bytes, and no part of a character."""
    anna, ben = await clients.users(2)
    post, stream = await anna.create_post(), await anna.stream()
    for content in ("🎉" * 200, "x" * 140, "x" * 141, f"{CONTENT_MARK}\nline\r\ntwo\u2028three", "é" * 3999):
        comment = await ben.comment(post, content=content)
        notification = await stream.notification()
        assert (comment["id"], content[:140]) == (notification["data"]["comment_id"], notification["data"]["preview"])


async def test_the_list_is_newest_first_in_pages_without_overlap_and_gap(clients: Clients) -> None:
    """`unread=1` filters it."""
    anna, ben = await clients.users(2)
    post, stream = await anna.create_post(), await anna.stream()
    sent = []
    for _ in range(9):
        await ben.comment(post)
        sent.append(await stream.notification())
    assert list(range(1, 10)) == [notification["seq"] for notification in sent]
    assert {"items": sent[::-1], "next": None} == await anna.get("/notifications")
    for limit in (1, 4, 9):
        assert sent[::-1] == [item async for item in anna.pages("/notifications", "before", limit=limit)]
    answer = await anna.put(f"/notifications/{sent[4]['data']['notification_id']}/read")
    assert {"unread_count": 8} == answer
    listed = (await anna.get("/notifications"))["items"]
    assert [True] == [item["data"]["read"] for item in listed if item["seq"] == 5]
    assert [9, 8, 7, 6, 4, 3, 2, 1] == [item["seq"] for item in (await anna.get("/notifications", unread=1))["items"]]
    unread = [item["seq"] async for item in anna.pages("/notifications", "before", limit=3, unread=1)]
    assert [9, 8, 7, 6, 4, 3, 2, 1] == unread
    assert [3, 2, 1] == [item["seq"] for item in (await anna.get("/notifications", before=4))["items"]]


async def test_marking_as_read_one_by_one_or_up_to_a_seq_is_idempotent(clients: Clients) -> None:
    anna, ben = await clients.users(2)
    post, stream = await anna.create_post(), await anna.stream()
    for _ in range(6):
        await ben.comment(post)
    ids = [(await stream.notification())["data"]["notification_id"] for _ in range(6)]
    assert {"unread_count": 6} == await anna.get("/notifications/unread_count")
    for _ in range(2):
        assert {"unread_count": 5} == await anna.put(f"/notifications/{ids[4]}/read")
    for _ in range(2):
        assert {"unread_count": 3} == await anna.put("/notifications/read", {"up_to_seq": 2})
    assert {"unread_count": 3} == await anna.put("/notifications/read", {"up_to_seq": 1}), "never back"
    assert {"unread_count": 3} == await anna.put(f"/notifications/{ids[0]}/read")
    assert {"unread_count": 1} == await anna.put("/notifications/read", {"up_to_seq": 5})
    await anna.put("/notifications/read", {"up_to_seq": 1000})
    assert {"unread_count": 0} == await anna.get("/notifications/unread_count")
    await ben.comment(post)
    await stream.notification()
    assert {"unread_count": 1} == await anna.get("/notifications/unread_count"), "what has not come cannot be read"


async def test_every_connection_of_the_user_gets_each_change_of_the_count(clients: Clients) -> None:
    """Other users get none."""
    anna, ben = await clients.users(2)
    post, other = await anna.create_post(), await anna.sign_in_again()
    tabs: list[Stream | Socket] = [await anna.stream(), await other.stream(), await anna.notification_socket()]
    his = await ben.stream()

    async def expect(count: int, seq: int) -> None:
        for tab in tabs:
            while True:
                event = await tab.event("unread_count")
                data = event.get("data", event)
                assert {"unread_count", "seq"} == set(data) - {"type"}
                if (count, seq) == (data["unread_count"], data["seq"]):
                    break

    await ben.comment(post)
    await ben.comment(post)
    for tab in tabs:
        ids = [(await tab.notification())["data"]["notification_id"] for _ in range(2)]
    await anna.put(f"/notifications/{ids[0]}/read")
    await expect(1, 2)
    await other.put("/notifications/read", {"up_to_seq": 2})
    await expect(0, 2)
    for tab in tabs:
        assert [] == tab.remaining()
    assert {"hello"} == {event["type"] for event in his.received}


async def test_concurrent_comments_get_dense_seqs_in_order_on_every_connection(any_clients: Clients) -> None:
    anna, *others = await any_clients.users(7)
    post = await anna.create_post()
    tabs = [await anna.stream(), await anna.stream(), await anna.notification_socket()]
    made = await asyncio.gather(*(other.comment(post) for other in others for _ in range(10)))
    for tab in tabs:
        got = [await tab.notification() for _ in range(60)]
        assert list(range(1, 61)) == [notification["seq"] for notification in got]
        assert {comment["id"] for comment in made} == {notification["data"]["comment_id"] for notification in got}
    assert {"unread_count": 60} == await anna.get("/notifications/unread_count")


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "before=x", "unread=maybe", "surprise=1", "before=-1"])
async def test_invalid_query_parameters_are_rejected(clients: Clients, query: str) -> None:
    anna = await clients.user()
    await anna.expect_error(422, "validation_failed", "GET", f"/notifications?{query}")


async def test_a_notification_has_the_senders_name_at_its_creation(clients: Clients) -> None:
    anna, ben = await clients.users(2)
    post, stream = await anna.create_post(), await anna.stream()
    await ben.patch("/users/me", {"display_name": "Benno", "avatar": "https://x.example/b.png"})
    await ben.comment(post, content=unique_text())
    sender = {"id": ben.id, "display_name": "Benno", "avatar": "https://x.example/b.png"}
    assert sender == (await stream.notification())["data"]["sender"]


async def test_preferences_and_marks_count_on_every_worker(any_clients: Clients) -> None:
    """What is not wanted is not stored, whichever worker stores it; the counts of all tabs agree, also of a new one."""
    anna, ben = await any_clients.users(2)
    post = await anna.create_post()
    own = await anna.comment(post)
    tabs = [await anna.stream() for _ in range(4)]
    await ben.comment(post)
    for tab in tabs:
        assert ("NEW_COMMENT", 1) == ((first := await tab.notification())["type"], first["seq"])
    kinds = {"NEW_COMMENT": {"in_app": False, "push": False}}
    stored = await anna.put("/notifications/preferences", {"kinds": kinds})
    assert kinds["NEW_COMMENT"] == stored["kinds"]["NEW_COMMENT"]
    for tab in tabs:
        assert stored == (await tab.event("preferences_updated"))["data"]
    for _ in range(4):
        await ben.comment(post)
        await ben.comment(post, parent_id=own["id"])
    for tab in tabs:
        assert [("NEW_REPLY", seq) for seq in range(2, 6)] == [
            (each["type"], each["seq"]) for each in [await tab.notification() for _ in range(4)]
        ]
    groups = (await anna.get("/notifications/groups"))["items"]
    assert [("NEW_REPLY", 5, 4, 4), ("NEW_COMMENT", 1, 1, 1)] == [
        (each["type"], each["seq"], each["count"], each["unread_count"]) for each in groups
    ]
    assert {"unread_count": 2} == await anna.put("/notifications/read", {"key": groups[0]["key"], "up_to_seq": 4})
    assert {"unread_count": 0} == await anna.put("/notifications/read", {"post_id": post})
    for tab in tabs:
        await tab.event("unread_count", lambda event: event["data"] == {"unread_count": 0, "seq": 5})
    hello = (await anna.stream()).hello["data"]
    assert (5, 0) == (hello["seq"], hello["unread_count"])
