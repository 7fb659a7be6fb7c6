"""HTTP routes of notifications."""

import asyncio
from typing import Any

import pytest

from service.common.ids import new_id
from tests.notifications.api_user import ApiUser
from tests.rest import RestClient

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def notified(client: RestClient, count: int) -> ApiUser:
    """Return a user with `count` unread notifications."""
    author, reader = await ApiUser.register(client, "Author"), await ApiUser.register(client, "Reader")
    post = await author.post()
    for number in range(1, count + 1):
        await reader.comment(post, f"Comment {number}")
    async with asyncio.timeout(10):
        while count != (await author.call("get", "/notifications/unread_count", 200))["unread_count"]:
            await asyncio.sleep(0.02)
    return author


async def test_notifications_are_listed_in_pages(client: RestClient) -> None:
    """Newest first, in the format of the stream; all of them or only unread ones."""
    author = await notified(client, 3)
    page = await author.call("get", "/notifications?limit=2", 200)
    assert ([3, 2], 2) == ([item["seq"] for item in page["items"]], page["next"])
    newest: dict[str, Any] = page["items"][0]
    assert {"type", "seq", "data"} == newest.keys()
    assert ("Reader", "Comment 3") == (newest["data"]["sender"]["display_name"], newest["data"]["preview"])
    last = await author.call("get", "/notifications?limit=2&before=2", 200)
    assert ([1], None) == ([item["seq"] for item in last["items"]], last["next"])
    read = await author.call("put", f"/notifications/{newest['data']['notification_id']}/read", 200)
    assert {"unread_count": 2} == read
    unread = await author.call("get", "/notifications?unread=1", 200)
    assert [2, 1] == [item["seq"] for item in unread["items"]]
    assert {"unread_count": 0} == await author.call("put", "/notifications/read", 200, json={"up_to_seq": 3})


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=101",
        "limit=x",
        "limit=",
        "before=",
        "before=0",
        "before=-1",
        f"before={2**63}",
        "unread=perhaps",
        "page=2",
    ],
)
async def test_an_invalid_query_is_rejected(client: RestClient, query: str) -> None:
    user = await ApiUser.register(client)
    assert "validation_failed" == (await user.call("get", f"/notifications?{query}", 422))["code"]


async def test_a_group_and_a_post_are_marked_as_read(client: RestClient) -> None:
    """The caller's devices get the new count. What comes later is unread."""
    author, reader, other = [await ApiUser.register(client, name) for name in ("Author", "Reader", "Other")]
    first, second = await author.post(), await author.post()
    async with author.stream() as stream:
        for post, user in [(first, reader), (second, reader), (first, other), (second, reader), (first, reader)]:
            await user.comment(post)
            async with asyncio.timeout(10):
                while (await stream.next()).name != "message":
                    pass
        [one, two] = (page := await author.call("get", "/notifications/groups", 200))["items"]
        assert page["next"] is None
        numbers = [one[name] for name in ("seq", "count", "unread_count", "sender_count")]
        assert [5, 3, 3, 2, 5] == [*numbers, one["latest"]["seq"]]
        assert ["Reader", "Other"] == [sender["display_name"] for sender in one["senders"]]
        assert ("NEW_COMMENT", 4, 2) == (two["type"], two["seq"], two["count"])
        page = await author.call("get", "/notifications/groups?limit=1", 200)
        assert ([one], 5) == (page["items"], page["next"])
        assert {"items": [two], "next": None} == await author.call("get", "/notifications/groups?limit=1&before=5", 200)
        mark = {"key": one["key"], "up_to_seq": 3}
        assert {"unread_count": 3} == await author.call("put", "/notifications/read", 200, json=mark)
        async with asyncio.timeout(10):
            while (await stream.next()).data != {"unread_count": 3, "seq": 5}:
                pass
        [changed, _] = (await author.call("get", "/notifications/groups", 200))["items"]
        assert (3, 1) == (changed["count"], changed["unread_count"])
        unread = (await author.call("get", "/notifications?unread=1", 200))["items"]
        assert [5, 4, 2] == [item["seq"] for item in unread]
        assert {"unread_count": 1} == await author.call("put", "/notifications/read", 200, json={"post_id": second})
        assert {"unread_count": 1} == await author.call("put", "/notifications/read", 200, json={"post_id": new_id()})
    await other.call("put", "/notifications/read", 404, json=mark)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"up_to_seq": 0},
        {"up_to_seq": "1"},
        {"up_to_seq": 2**63},
        {"up_to_seq": 1.5},
        {"key": "NEW_COMMENT:1"},
        {"key": "", "up_to_seq": 1},
        {"key": "x" * 257, "up_to_seq": 1},
        {"post_id": "7"},
        {"post_id": "6650b0d7e8f90a1b2c3d4e50", "up_to_seq": 1},
    ],
    ids=range(10),
)
async def test_an_invalid_mark_is_rejected(client: RestClient, body: dict[str, Any]) -> None:
    user = await ApiUser.register(client)
    assert "validation_failed" == (await user.call("put", "/notifications/read", 422, json=body))["code"]


async def test_an_unknown_notification_is_not_found(client: RestClient) -> None:
    """The same for a malformed id."""
    user = await ApiUser.register(client)
    for notification_id in (new_id(), "x" * 24, "7"):
        await user.call("put", f"/notifications/{notification_id}/read", 404)


async def test_every_route_requires_a_token(client: RestClient) -> None:
    for method, path in (
        ("get", ""),
        ("get", "/unread_count"),
        ("get", "/stream"),
        ("put", "/read"),
        ("get", "/preferences"),
        ("put", "/preferences"),
    ):
        response = await getattr(client, method)(f"/api/v1/notifications{path}")
        assert (401, "token_missing") == (response.status_code, response.json()["code"])


WANTED = {"in_app": True, "push": True}
DEFAULTS = {
    "kinds": dict.fromkeys(("NEW_COMMENT", "NEW_MENTION", "NEW_REACTION", "NEW_REPLY"), WANTED),
    "push": {"messages": "all", "preview": True},
    "quiet_hours": None,
}


async def test_preferences_are_kept(client: RestClient) -> None:
    """Each field by itself; kinds that are not named again get their defaults. The user's other devices are told."""
    user = await ApiUser.register(client)
    assert DEFAULTS == await user.call("get", "/notifications/preferences", 200)
    own = {"NEW_REACTION": {"in_app": False, "push": False}, "ORDER_SHIPPED": {"in_app": True, "push": False}}
    night = {"start": "22:00", "end": "07:00", "timezone": "Asia/Saigon"}
    whole = {
        "kinds": DEFAULTS["kinds"] | own,
        "push": {"messages": "mentions", "preview": False},
        "quiet_hours": night,
    }
    async with user.stream() as stream, user.socket() as socket:
        assert ["hello", "hello"] == [(await stream.next()).name, (await socket.next())["type"]]
        for change, expected in [
            ({"kinds": own}, DEFAULTS | {"kinds": whole["kinds"]}),
            ({"push": whole["push"], "quiet_hours": night}, whole),
            ({"kinds": {}}, whole | {"kinds": DEFAULTS["kinds"]}),
            ({"quiet_hours": None}, whole | {"kinds": DEFAULTS["kinds"], "quiet_hours": None}),
            (DEFAULTS, DEFAULTS),
            (whole, whole),
        ]:
            assert expected == await user.call("put", "/notifications/preferences", 200, json=change)
            assert expected == await user.call("get", "/notifications/preferences", 200)
            assert (None, "preferences_updated", expected) == await stream.next()
            assert {"type": "preferences_updated", **expected} == await socket.next()
    assert whole == await user.call("put", "/notifications/preferences", 200, json={})


@pytest.mark.parametrize(
    "body",
    [
        {"kinds": {"new_comment": WANTED}},
        {"kinds": {"X": WANTED}},
        {"kinds": {"X" * 65: WANTED}},
        {"kinds": {"NEW_COMMENT\n": WANTED}},
        {"kinds": {"NEW_COMMENT": {"in_app": True}}},
        {"kinds": {"NEW_COMMENT": {"in_app": 1, "push": True}}},
        {"kinds": {"NEW_COMMENT": WANTED | {"email": True}}},
        {"kinds": {f"TYPE_{number}": WANTED for number in range(105)}},
        {"kinds": None},
        {"push": None},
        {"push": {"messages": "some", "preview": True}},
        {"push": {"messages": "all"}},
        {"quiet_hours": {"start": "22:00", "end": "07:00"}},
        {"quiet_hours": {"start": "24:00", "end": "07:00", "timezone": "UTC"}},
        {"quiet_hours": {"start": "22:00", "end": "7:00", "timezone": "UTC"}},
        {"quiet_hours": {"start": "22:00", "end": "\u0660\u0667:00", "timezone": "UTC"}},
        {"quiet_hours": {"start": "22:00", "end": "07:00", "timezone": "Asia/Atlantis"}},
        {"quiet_hours": {"start": "22:00", "end": "07:00", "timezone": "../../../etc/passwd"}},
        {"quiet_hours": {"start": "22:00", "end": "07:00", "timezone": "Asia"}},
        {"quiet_hours": {"start": "22:00", "end": "07:00", "timezone": ""}},
        {"sound": True},
    ],
    ids=range(21),
)
async def test_invalid_preferences_are_rejected(client: RestClient, body: dict[str, Any]) -> None:
    """And change nothing."""
    user = await ApiUser.register(client)
    assert "validation_failed" == (await user.call("put", "/notifications/preferences", 422, json=body))["code"]
    assert DEFAULTS == await user.call("get", "/notifications/preferences", 200)
