"""Kinds of notifications, groups, preferences, mutes, blocks and push subscriptions, as the contract has them: on one
worker and on four."""

import base64
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.protocol.clients import Clients, User

ENDPOINT = "https://fcm.googleapis.com/fcm/send/"
QUIET = {"start": "22:00", "end": "07:00", "timezone": "Asia/Ho_Chi_Minh"}
BUILT_IN = {"NEW_COMMENT", "NEW_REPLY", "NEW_MENTION", "NEW_REACTION"}


async def unread(user: User, count: int) -> list[Any]:
    """Return the user's notifications as (type, sender, comment), newest first, once they have `count` unread ones."""
    stream = await user.stream()
    if stream.hello["data"]["unread_count"] != count:
        await stream.event("unread_count", lambda event: event["data"]["unread_count"] == count)
    await stream.disconnect()
    items = (await user.get("/notifications", unread=1))["items"]
    assert {"unread_count": count} == await user.get("/notifications/unread_count")
    return [(each["type"], each["data"]["sender"]["id"], each["data"]["comment_id"]) for each in items]


async def test_each_kind_is_told_to_whom_it_concerns_and_once(any_clients: Clients) -> None:
    """Reply before mention before comment; a reaction once per sender and subject, although it is removed and added."""
    anna, ben, cleo = await any_clients.users(3)
    post = await anna.create_post()
    first = await ben.comment(post)
    reply = await cleo.comment(post, parent_id=first["id"], content=f"@{ben.username} @{anna.username} @nobody.at.all")
    await anna.comment(post, content=f"@{anna.username} mine")
    for path in (f"/posts/{post}", f"/posts/{post}/comments/{first['id']}"):
        for method in ("PUT", "PUT", "DELETE", "PUT"):
            await cleo.request(method, f"{path}/reactions/👍")
        await ben.put(f"{path}/reactions/👍")
    shown = await cleo.get(f"/posts/{post}")
    assert ({"👍": 2}, ["👍"]) == (shown["reactions"], shown["my_reactions"])
    hers = {("NEW_COMMENT", ben.id, first["id"]), ("NEW_MENTION", cleo.id, reply["id"])}
    hers |= {("NEW_REACTION", cleo.id, None), ("NEW_REACTION", ben.id, None)}
    assert hers == set(await unread(anna, 4))
    his = {("NEW_REPLY", cleo.id, reply["id"]), ("NEW_REACTION", cleo.id, first["id"])}
    assert his == set(await unread(ben, 2))
    mentioned = await anna.post("/posts", {"content": f"@{cleo.username} look"})
    [(kind, sender, comment)] = await unread(cleo, 1)
    assert ("NEW_MENTION", anna.id, None) == (kind, sender, comment)
    assert mentioned["id"] == (await cleo.get("/notifications"))["items"][0]["data"]["post_id"]


async def test_groups_have_what_a_person_reads_at_once(any_clients: Clients) -> None:
    """One for each type and post, newest first, in pages; one is marked up to a number, or everything about a post."""
    anna, *others = await any_clients.users(5)
    posts = [await anna.create_post() for _ in range(2)]
    stream = await anna.stream()
    for number, post in enumerate([posts[0]] * 4 + [posts[1]]):
        await others[number % 4].comment(post)
        assert number + 1 == (await stream.notification())["seq"]
    page = await anna.get("/notifications/groups", limit=1)
    [newest] = page["items"]
    assert {"key", "type", "seq", "count", "unread_count", "senders", "sender_count", "latest"} == set(newest)
    assert (5, 1, 1) == (newest["seq"], newest["count"], newest["unread_count"])
    rest = await anna.get("/notifications/groups", before=page["next"])
    [older] = rest["items"]
    assert None is rest["next"]
    assert (4, 4, 4, 4) == (older["seq"], older["count"], older["unread_count"], older["sender_count"])
    assert [each.id for each in (others[3], others[2], others[1])] == [each["id"] for each in older["senders"]]
    assert (4, posts[0]) == (older["latest"]["seq"], older["latest"]["data"]["post_id"])
    assert {"unread_count": 3} == await anna.put("/notifications/read", {"key": older["key"], "up_to_seq": 2})
    assert {"unread_count": 2} == await anna.put("/notifications/read", {"post_id": posts[1]})
    counts = [each["unread_count"] for each in (await anna.get("/notifications/groups"))["items"]]
    assert [0, 2] == counts
    await anna.expect_error(422, "validation_failed", "PUT", "/notifications/read", {"key": older["key"]})


async def test_preferences_are_complete_and_refuse_what_they_do_not_know(any_clients: Clients) -> None:
    anna = await any_clients.user()
    path = "/notifications/preferences"
    first = await anna.get(path)
    assert {"kinds", "push", "quiet_hours"} == set(first)
    assert {kind: {"in_app": True, "push": True} for kind in BUILT_IN} == first["kinds"]
    assert ({"messages": "all", "preview": True}, None) == (first["push"], first["quiet_hours"])
    push = {"messages": "mentions", "preview": False}
    changed = await anna.put(path, {"push": push, "quiet_hours": QUIET})
    assert first | {"push": push, "quiet_hours": QUIET} == changed == await anna.get(path)
    assert None is (await anna.put(path, {"quiet_hours": None}))["quiet_hours"]
    for wrong in (
        {"quiet_hours": QUIET | {"timezone": "Moon/Base"}},
        {"quiet_hours": QUIET | {"start": "24:00"}},
        {"push": {"messages": "some", "preview": True}},
        {"kinds": {"NEW_COMMENT": {"in_app": True}}},
        {"surprise": 1},
    ):
        await anna.expect_error(422, "validation_failed", "PUT", path, wrong)


async def test_a_muted_post_and_a_blocked_user_notify_nobody(any_clients: Clients) -> None:
    """Nor do mentions and reactions. What the blocked user writes is not there. Unmuting and unblocking end it."""
    anna, ben, cleo = await any_clients.users(3)
    post, muted = await anna.create_post(), await anna.create_post()
    assert (await anna.put(f"/posts/{muted}/mute"))["muted"]
    await anna.put(f"/users/{ben.id}/block")
    hidden = await ben.post("/posts", {"content": f"@{anna.username}"})
    await anna.expect_error(404, "not_found", "GET", f"/posts/{hidden['id']}")
    await cleo.comment(muted, content=f"@{anna.username} hear")
    await cleo.put(f"/posts/{muted}/reactions/👍")
    # The blocked user is not informed: for them, and for others, their comment is there.
    silent = await ben.comment(post, content=f"@{anna.username} hear")
    await ben.put(f"/posts/{post}/reactions/👍")
    seen = await cleo.comment(post)
    assert [("NEW_COMMENT", cleo.id, seen["id"])] == await unread(anna, 1)
    assert [seen["id"]] == [each["id"] for each in (await anna.get(f"/posts/{post}/comments"))["items"]]
    both = [each["id"] for each in (await cleo.get(f"/posts/{post}/comments"))["items"]]
    assert [silent["id"], seen["id"]] == both
    assert not (await anna.delete(f"/posts/{muted}/mute"))["muted"]
    await anna.delete(f"/users/{ben.id}/block")
    last = await ben.comment(muted)
    assert ("NEW_COMMENT", ben.id, last["id"]) == (await unread(anna, 2))[0]


async def test_a_deleted_comment_takes_its_notification_along(any_clients: Clients) -> None:
    """From lists, groups and counts, on every device; its number stays taken."""
    anna, ben = await any_clients.users(2)
    post, streams = await anna.create_post(), [await anna.stream() for _ in range(2)]
    deleted, kept = await ben.comment(post), await ben.comment(post)
    for stream in streams:
        assert [1, 2] == [(await stream.notification())["seq"] for _ in range(2)]
    await ben.delete(f"/posts/{post}/comments/{deleted['id']}")
    for stream in streams:
        assert {"seqs": [1]} == (await stream.event("notifications_deleted"))["data"]
        await stream.event("unread_count", lambda event: event["data"] == {"unread_count": 1, "seq": 2})
    assert [("NEW_COMMENT", ben.id, kept["id"])] == await unread(anna, 1)
    assert [(2, 1)] == [(each["seq"], each["count"]) for each in (await anna.get("/notifications/groups"))["items"]]


async def test_push_subscriptions_are_made_and_ended_on_any_worker(any_clients: Clients) -> None:
    """All workers have one key. Only endpoints of known push services are accepted."""
    anna = await any_clients.user()
    keys = {(await anna.request("GET", "/push/key", headers={"Connection": "close"}))["public_key"] for _ in range(8)}
    [key] = keys
    assert 65 == len(base64.urlsafe_b64decode(key + "=" * (-len(key) % 4)))
    point = ec.generate_private_key(ec.SECP256R1()).public_key()
    p256dh = point.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    encoded = [base64.urlsafe_b64encode(each).rstrip(b"=").decode() for each in (p256dh, bytes(16))]
    body = {
        "endpoint": ENDPOINT + "a",
        "expirationTime": None,
        "keys": dict(zip(("p256dh", "auth"), encoded, strict=True)),
    }
    assert 201 == (await anna.call("POST", "/push/subscriptions", body)).status_code
    for endpoint in ("https://push.example.org/a", "https://127.0.0.1/a", "http://fcm.googleapis.com/a"):
        await anna.expect_error(422, "validation_failed", "POST", "/push/subscriptions", body | {"endpoint": endpoint})
    for _ in range(2):
        assert None is await anna.request("DELETE", "/push/subscriptions", {"endpoint": ENDPOINT + "a"})
