"""Notifications that the servers of a site send."""

import asyncio
from typing import Any

import pytest

from tests.notifications.api_user import ApiUser, EventSource, Socket
from tests.rest import RestClient
from tests.server_api.site import OTHER_KEY, Site

pytestmark = pytest.mark.asyncio(loop_scope="module")

FIELDS = {"url": "/orders/7", "extra": {"order": 7, "a.$b": [None, "ồ"]}, "group_key": "order-7"}


async def items(user: ApiUser) -> list[dict[str, Any]]:
    return list((await user.call("get", "/notifications?limit=100", 200))["items"])


async def streamed(stream: EventSource, count: int) -> list[Any]:
    """The next notifications; the other events are passed over."""
    found = []
    while len(found) < count:
        event = await stream.next()
        if event.name == "message":
            assert str(event.data["seq"]) == event.id
            found.append(event.data)
    return found


async def framed(socket: Socket, count: int) -> list[Any]:
    found = []
    while len(found) < count:
        frame = await socket.next()
        if frame["type"].isupper():
            found.append(frame)
    return found


async def test_who_blocks_the_sender_gets_none(site: Site) -> None:
    """The site is not informed. Notifications without a sender, or of another, arrive."""
    sender, other, person = await site.users(3)
    user = await site.sign_in(person)
    await user.call("put", f"/users/{(await site.call('get', f'/users/{sender}', 200))['id']}/block", 204)
    for number, of in enumerate(({"sender": sender}, {"sender": other}, {})):
        assert {"accepted": 1, "unknown": []} == await site.notify(person, preview=f"Number {number}", **of)
    assert ["Number 2", "Number 1"] == [item["data"]["preview"] for item in await items(user)]


async def test_it_reaches_stream_and_socket_in_order(site: Site) -> None:
    """Live, in the list, and to a client that was away."""
    sender, person = await site.user("Trần Thị Bình"), await site.user()
    user = await site.sign_in(person)
    async with user.stream() as stream, user.socket() as socket:
        assert ["hello", "hello"] == [(await stream.next()).name, (await socket.next())["type"]]
        for number in range(20):
            fields = {"sender": sender, **FIELDS} if number == 0 else {}
            assert {"accepted": 1, "unknown": []} == await site.notify(person, preview=f"Number {number}", **fields)
        live = await streamed(stream, 20)
        assert live == await framed(socket, 20)
    assert list(range(1, 21)) == [item["seq"] for item in live]
    assert [f"Number {number}" for number in range(20)] == [item["data"]["preview"] for item in live]
    first, second = live[0]["data"], live[1]["data"]
    assert ("ORDER_SHIPPED", "Trần Thị Bình") == (live[0]["type"], first["sender"]["display_name"])
    assert FIELDS == {name: first[name] for name in FIELDS}
    assert [None] * 4 == [second[name] for name in ("sender", *FIELDS)]
    assert live == (await items(user))[::-1]
    async with user.stream(headers={"Last-Event-ID": "15"}) as stream:
        assert live[15:] == await streamed(stream, 5)


async def test_recipients_without_a_user_are_named(site: Site) -> None:
    """Each once, in the order of the request; a user who is named twice has one notification."""
    one, two = await site.users(2)
    unknown = ["nobody", "ồ / ?", "x" * 255]
    answer = await site.notify(one, unknown[0], two, unknown[1], one, unknown[2], unknown[0])
    assert {"accepted": 2, "unknown": unknown} == answer
    assert [1] == [item["seq"] for item in await items(await site.sign_in(one))]
    assert {"accepted": 0, "unknown": ["nobody"]} == await site.notify("nobody")


async def test_a_key_and_a_nonce_are_one_notification(site: Site) -> None:
    """Also for those who are added later. Another key has nonces of its own."""
    one, two = await site.users(2)
    for to in ((one,), (one, two), (two,)):
        assert len(to) == (await site.notify(*to, nonce="7"))["accepted"]
    await site.with_key(OTHER_KEY).notify(one, nonce="7")
    await site.notify(one)
    await site.notify(one)
    found = [len(await items(await site.sign_in(each))) for each in (one, two)]
    assert [4, 1] == found


async def test_a_nonce_with_another_content_is_refused(site: Site) -> None:
    person = await site.user()
    await site.notify(person, nonce="7")
    refused = await site.notify(person, nonce="7", preview="Something else", status=409)
    assert "nonce_reused" == refused["code"]
    assert 1 == len(await items(await site.sign_in(person)))


async def test_a_sender_who_does_not_exist_is_refused(site: Site) -> None:
    refused = await site.notify(await site.user(), sender="nobody", status=422)
    assert ["sender"] == [problem["field"] for problem in refused["errors"]]


@pytest.mark.parametrize("url", ["//evil.example/a", "/\\evil.example", "/\t/evil.example", "javascript:alert(1)"])
async def test_a_link_that_only_looks_relative_is_refused(site: Site, url: str) -> None:
    refused = await site.notify(await site.user(), url=url, status=422)
    assert ["url"] == [problem["field"] for problem in refused["errors"]]


async def test_built_in_types_are_refused(site: Site) -> None:
    refused = await site.notify(await site.user(), type="NEW_COMMENT", status=422)
    assert ["type"] == [problem["field"] for problem in refused["errors"]]


async def test_many_people_are_notified_together(site: Site) -> None:
    """The notifications of many calls in a row arrive in order. How long a call takes is measured by
    `python -m tests.load server_notifications`."""
    people = await site.users(50)
    watcher = await site.sign_in(people[-1])
    calls = 40
    async with watcher.stream() as stream:
        await stream.next()
        for number in range(calls):
            assert 50 == (await site.notify(*people, preview=f"Number {number}"))["accepted"]
        live = await streamed(stream, calls)
    assert [(seq, f"Number {seq - 1}") for seq in range(1, calls + 1)] == [
        (item["seq"], item["data"]["preview"]) for item in live
    ]


async def test_concurrent_calls_leave_no_gaps(site: Site) -> None:
    people = await site.users(20)
    await asyncio.gather(*[site.notify(*people) for _ in range(10)])
    for person in people[::5]:
        assert list(range(10, 0, -1)) == [item["seq"] for item in await items(await site.sign_in(person))]


async def test_a_thousand_long_ids_fit_into_a_body(client: RestClient, site: Site) -> None:
    """No other path takes as much, nor does this one take more."""
    ids = [f"{number:0255}" for number in range(1000)]
    answer = await site.notify(*ids)
    assert (0, 1000) == (answer["accepted"], len(answer["unknown"]))
    body = b'{"preview": "%s"}' % (b"x" * 600_000)
    headers = {"Content-Type": "application/json", "Authorization": "Bearer x"}
    answer = await client.post("/api/v1/server/notifications", content=body, headers=headers)
    assert 413 == answer.status_code
    answer = await client.post("/api/v1/auth/login", content=body[:100_000], headers=headers)
    assert 413 == answer.status_code
