"""The whole way: what is unread arrives at the browser, once, encrypted; what is not wanted does not."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
import websockets
from bson import ObjectId
from redis.asyncio import Redis
from sanic import Sanic

from service.common.times import now
from service.datastores.mongo import Mongo
from service.push import collector, delivery_store, push_queue, sender
from service.push.delivery_store import Delivery, DeliveryStore
from tests.push.push_service import CREATED, Push, PushServiceDouble
from tests.rest import RestClient, serving
from tests.webhooks.receiver import answer
from tests.webhooks.test_service import User, register

CONTENT = "See you at eight?"


async def subscribed(client: RestClient, service: PushServiceDouble, username: str) -> User:
    """Return a new user with a subscription of the same name."""
    user = await register(client, username)
    await user.call("POST", "/push/subscriptions", **service.subscribe(username))
    return user


async def direct(one: User, other: User) -> str:
    return str((await one.call("POST", "/conversations", participant_ids=[other.id]))["id"])


async def say(user: User, conversation: str, content: str = CONTENT) -> dict[str, Any]:
    return dict(await user.call("POST", f"/conversations/{conversation}/messages", content=content))


async def nothing_waits(mongo: Mongo) -> None:
    """Wait until everything that has happened has been pushed or dropped."""
    async with asyncio.timeout(20):
        while any([await mongo.database[name].count_documents({}) for name in ("push_news", "push_deliveries")]):
            await asyncio.sleep(0.05)


async def marker(service: PushServiceDouble, client: RestClient, sender: User) -> None:
    """Send a message to somebody else, and wait until it is pushed: what came before has been followed then."""
    name = f"m{ObjectId()}"
    other = await subscribed(client, service, name)
    await say(sender, await direct(sender, other))
    await service.wait(1, name)


LEASE = "{loa}:push:lease"


@pytest.fixture
async def lease_elsewhere(redis: Redis) -> None:
    """Another process holds the lease when the service starts."""
    await redis.set(LEASE, "another process")


async def test_what_happened_before_a_process_first_got_the_lease_is_pushed(
    redis: Redis, lease_elsewhere: None, pushing: RestClient, push_service: PushServiceDouble
) -> None:
    anna, ben = await register(pushing, "anna"), await subscribed(pushing, push_service, "ben")
    await say(anna, await direct(anna, ben))
    await redis.delete(LEASE)
    await push_service.wait(1)


async def test_more_news_than_may_wait_are_pushed_after_the_history_was_lost(
    redis: Redis,
    lease_elsewhere: None,
    pushing: RestClient,
    push_service: PushServiceDouble,
    mongo: Mongo,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The follower waits until some of them have been removed, before it has caught up."""
    monkeypatch.setattr(collector, "MAX_NEWS", 1)
    monkeypatch.setattr(collector, "FULL_PAUSE", 0.05)
    anna, ben = await register(pushing, "anna"), await subscribed(pushing, push_service, "ben")
    await say(anna, await direct(anna, ben))
    post = (await ben.call("POST", "/posts", content="a post"))["id"]
    await anna.call("POST", f"/posts/{post}/comments", content="a comment")
    await mongo.database["change_followers"].update_one({"_id": "push"}, {"$set": {"token": {"_data": "8263"}}})
    await redis.delete(LEASE)
    pushes = await push_service.wait(2)
    assert {"message", "NEW_COMMENT"} == {push.payload["type"] for push in pushes}


async def test_an_unread_message_is_pushed(pushing: RestClient, push_service: PushServiceDouble, mongo: Mongo) -> None:
    """To all who have not written it; with the key that browsers subscribe with."""
    anna, ben = await register(pushing, "anna"), await subscribed(pushing, push_service, "ben")
    chat = await direct(anna, ben)
    await say(anna, chat)
    (push,) = await push_service.wait(1)
    assert {
        "type": "message",
        "title": "anna",
        "body": CONTENT,
        "url": f"/#/c/{chat}",
        "tag": f"conversation:{chat}",
        "unread_count": 1,
    } == push.payload
    assert "high" == push.headers["urgency"]
    assert push.key == (await ben.call("GET", "/push/key"))["public_key"]
    assert {"aud", "exp", "sub"} == push.claims.keys()
    assert CONTENT.encode() not in push.body
    await nothing_waits(mongo)
    assert 1 == len(push_service.pushes)


async def test_a_later_message_replaces_an_earlier_one(pushing: RestClient, push_service: PushServiceDouble) -> None:
    """The push service replaces it by the topic, the browser by the tag; other conversations have others."""
    anna, ben = await register(pushing, "anna"), await subscribed(pushing, push_service, "ben")
    chat = await direct(anna, ben)
    await say(anna, chat)
    await push_service.wait(1)
    await say(anna, chat, "Second")
    first, second = await push_service.wait(2)
    assert ("Second", 2) == (second.payload["body"], second.payload["unread_count"])
    assert first.headers["topic"] == second.headers["topic"]
    cleo = await register(pushing, "cleo")
    await say(cleo, await direct(cleo, ben))
    third = (await push_service.wait(3))[2]
    assert first.headers["topic"] != third.headers["topic"]
    assert first.payload["tag"] != third.payload["tag"]


async def test_a_comment_is_pushed(pushing: RestClient, push_service: PushServiceDouble) -> None:
    """With a link to it, in the language of the browser that subscribed."""
    anna, ben = await register(pushing, "anna"), await register(pushing, "ben")
    ben._headers["Accept-Language"] = "vi-VN,vi;q=0.9"
    await ben.call("POST", "/push/subscriptions", **push_service.subscribe("ben"))
    post = (await ben.call("POST", "/posts", content="a post"))["id"]
    comment = (await anna.call("POST", f"/posts/{post}/comments", content="a comment"))["id"]
    (push,) = await push_service.wait(1)
    assert {
        "type": "NEW_COMMENT",
        "title": "anna đã bình luận về bài viết của bạn",
        "body": "a comment",
        "url": f"/#/posts/{post}#comment-{comment}",
        "tag": f"NEW_COMMENT:{post}",
        "unread_count": 1,
    } == push.payload
    assert "normal" == push.headers["urgency"]


async def test_what_has_been_read_meanwhile_is_not_pushed(
    pushing: RestClient, push_service: PushServiceDouble, mongo: Mongo
) -> None:
    """Nor what was deleted. Messages and notifications."""
    anna, ben = await register(pushing, "anna"), await subscribed(pushing, push_service, "ben")
    chat = await direct(anna, ben)
    deleted = await say(anna, chat)
    await anna.call("DELETE", f"/conversations/{chat}/messages/{deleted['id']}")
    cleo = await register(pushing, "cleo")
    other = await direct(cleo, ben)
    await say(cleo, other)
    await ben.call("PUT", f"/conversations/{other}/read", seq=1)
    post = (await ben.call("POST", "/posts", content="a post"))["id"]
    await anna.call("POST", f"/posts/{post}/comments", content="a comment")
    async with asyncio.timeout(5):
        while not (await ben.call("GET", "/notifications/unread_count"))["unread_count"]:
            await asyncio.sleep(0.02)
    await ben.call("PUT", "/notifications/read", up_to_seq=1)
    await marker(push_service, pushing, anna)
    await nothing_waits(mongo)
    assert not [push for push in push_service.pushes if push.path == "/push/ben"]


async def test_who_is_online_gets_no_push(pushing: RestClient, push_service: PushServiceDouble, mongo: Mongo) -> None:
    anna, ben = await register(pushing, "anna"), await subscribed(pushing, push_service, "ben")
    ticket = (await ben.call("POST", "/auth/ticket"))["ticket"]
    async with websockets.connect(pushing.url(f"/api/v1/ws/chat?ticket={ticket}", "ws")) as socket:
        await socket.recv()
        await say(anna, await direct(anna, ben))
        await marker(push_service, pushing, anna)
        await nothing_waits(mongo)
        assert not [push for push in push_service.pushes if push.path == "/push/ben"]


async def test_signing_out_ends_what_waits(pushing: RestClient, push_service: PushServiceDouble, mongo: Mongo) -> None:
    anna, ben = await register(pushing, "anna"), await subscribed(pushing, push_service, "ben")
    await say(anna, await direct(anna, ben))
    await ben.call("POST", "/auth/logout")
    await marker(push_service, pushing, anna)
    await nothing_waits(mongo)
    assert not [push for push in push_service.pushes if push.path == "/push/ben"]


@pytest.mark.parametrize("status", [404, 410])
async def test_an_ended_subscription_is_deleted(
    pushing: RestClient, push_service: PushServiceDouble, mongo: Mongo, status: int
) -> None:
    """Nothing more is sent there."""
    anna, ben = await register(pushing, "anna"), await subscribed(pushing, push_service, "ben")
    push_service.behaviour = lambda push: answer(status) if push.path == "/push/ben" else CREATED
    chat = await direct(anna, ben)
    await say(anna, chat)
    await push_service.wait(1, "ben")
    await nothing_waits(mongo)
    assert 0 == await mongo.database["push_subscriptions"].count_documents({"user_id": ObjectId(ben.id)})
    await say(anna, chat)
    await marker(push_service, pushing, anna)
    assert 1 == len(await push_service.wait(1, "ben"))


async def test_a_throttled_push_waits_as_long_as_it_is_told(
    pushing: RestClient, push_service: PushServiceDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others are not delayed by it."""
    monkeypatch.setattr(delivery_store, "RETRY_DELAYS", (0.05,))
    anna, ben = await register(pushing, "anna"), await subscribed(pushing, push_service, "ben")
    told: list[Push] = []

    def behave(push: Push) -> bytes:
        if push.path == "/push/ben" and not told:
            told.append(push)
            return answer(429, "Retry-After: 4")
        return CREATED

    push_service.behaviour = behave
    await say(anna, await direct(anna, ben))
    await push_service.wait(1, "ben")
    await marker(push_service, pushing, anna)
    assert 1 == len(await push_service.wait(1, "ben"))
    first, second = await push_service.wait(2, "ben")
    assert 4.0 <= second.at - first.at
    assert first.payload == second.payload


async def test_a_dead_push_service_delays_no_other(
    pushing: RestClient,
    push_service: PushServiceDouble,
    dead_host: str,
    monkeypatch: pytest.MonkeyPatch,
    mongo: Mongo,
) -> None:
    """What it was to get is not lost."""
    monkeypatch.setattr(delivery_store, "RETRY_DELAYS", (0.05,))
    anna, ben = await register(pushing, "anna"), await subscribed(pushing, push_service, "ben")
    await mongo.database["push_subscriptions"].update_one(
        {"user_id": ObjectId(ben.id)}, {"$set": {"endpoint": f"https://{dead_host}/push/ben"}}
    )
    await say(anna, await direct(anna, ben))
    for _ in range(2):
        await marker(push_service, pushing, anna)
    async with asyncio.timeout(10):
        while not await mongo.database["push_deliveries"].count_documents({"host": dead_host, "attempts": {"$gte": 2}}):
            await asyncio.sleep(0.05)


async def test_a_slow_push_service_costs_the_database_nothing(
    pushing: RestClient, push_service: PushServiceDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a push waits for its answer, nothing is due, and nothing is looked for."""
    looks, look = 0, DeliveryStore.due

    async def counted(*arguments: Any) -> list[Delivery]:
        nonlocal looks
        looks += 1
        return await look(*arguments)

    monkeypatch.setattr(DeliveryStore, "due", counted)
    push_service.behaviour = lambda _: None
    anna, ben = await register(pushing, "anna"), await subscribed(pushing, push_service, "ben")
    await say(anna, await direct(anna, ben))
    await push_service.wait(1, "ben")
    before = looks
    await asyncio.sleep(1)
    assert looks <= before + 1


async def test_a_push_service_is_forgotten_while_nothing_waits_for_it(
    pushing: RestClient, push_service: PushServiceDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes later is pushed like before."""
    monkeypatch.setattr(push_queue, "IDLE_INTERVAL", 0.05)
    anna, ben = await register(pushing, "anna"), await subscribed(pushing, push_service, "ben")
    chat = await direct(anna, ben)
    for count in (1, 2):
        await say(anna, chat)
        await push_service.wait(count, "ben")
        async with asyncio.timeout(5):
            while any(getattr(task.get_coro(), "__name__", "") == "_run_queue" for task in asyncio.all_tasks()):
                await asyncio.sleep(0.02)


async def test_preferences_decide(pushing: RestClient, push_service: PushServiceDouble, mongo: Mongo) -> None:
    """None of the messages, not this kind of notification; no preview where none is wanted."""
    anna, ben = await register(pushing, "anna"), await subscribed(pushing, push_service, "ben")
    kinds = {"NEW_COMMENT": {"in_app": True, "push": False}}
    await ben.call("PUT", "/notifications/preferences", kinds=kinds, push={"messages": "none", "preview": True})
    chat = await direct(anna, ben)
    await say(anna, chat)
    post = (await ben.call("POST", "/posts", content="a post"))["id"]
    await anna.call("POST", f"/posts/{post}/comments", content="a comment")
    await marker(push_service, pushing, anna)
    await nothing_waits(mongo)
    assert not [push for push in push_service.pushes if push.path == "/push/ben"]
    await ben.call("PUT", "/notifications/preferences", push={"messages": "all", "preview": False})
    await say(anna, chat)
    (push,) = await push_service.wait(1, "ben")
    assert ("anna", "New message") == (push.payload["title"], push.payload["body"])


async def test_a_mention_is_pushed_although_more_was_written(
    pushing: RestClient, push_service: PushServiceDouble, mongo: Mongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the time of the attempt the newest message may be one that the user does not want."""
    monkeypatch.setattr(delivery_store, "RETRY_DELAYS", (2.0,))
    anna, ben = await register(pushing, "anna"), await subscribed(pushing, push_service, "ben")
    cleo = await register(pushing, "cleo")
    await ben.call("PUT", "/notifications/preferences", push={"messages": "mentions", "preview": True})
    group = (await anna.call("POST", "/conversations", participant_ids=[ben.id, cleo.id], title="Trip"))["id"]
    answers = [answer(429)]
    push_service.behaviour = lambda _: answers.pop() if answers else CREATED
    mention = await say(anna, group, "@ben when?")
    await push_service.wait(1, "ben")
    last = await say(anna, group, "Or not at all")
    async with asyncio.timeout(10):
        while not await mongo.database["push_deliveries"].count_documents({"number": last["seq"]}):
            await asyncio.sleep(0.02)
    assert 1 == len(push_service.pushes)
    assert [mention["content"]] * 2 == [push.payload["body"] for push in await push_service.wait(2, "ben")]


async def test_a_push_for_the_user_before_does_not_replace_one_for_the_next(
    pushing: RestClient, push_service: PushServiceDouble
) -> None:
    """Two use the same browser, one after the other, and are in the same conversation."""
    anna, ben = await register(pushing, "anna"), await subscribed(pushing, push_service, "ben")
    cleo = await register(pushing, "cleo")
    group = (await anna.call("POST", "/conversations", participant_ids=[ben.id, cleo.id], title="Trip"))["id"]
    answers = [answer(429, "Retry-After: 3")]
    push_service.behaviour = lambda _: answers.pop() if answers else CREATED
    await say(anna, group)
    await push_service.wait(1, "ben")
    await cleo.call("POST", "/push/subscriptions", **push_service.subscribe("ben"))
    await say(anna, group, "Second")
    assert "Second" == (await push_service.wait(2, "ben", within=10))[1].payload["body"]


async def test_a_stop_does_not_wait_for_a_push_service(
    app: Sanic[Any, Any], push_service: PushServiceDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which does not answer."""
    monkeypatch.setattr(sender, "ANSWER_TIMEOUT", 3600.0)
    push_service.behaviour = lambda _: None
    async with asyncio.timeout(60):
        async with serving(app) as client:
            anna, ben = await register(client, "anna"), await subscribed(client, push_service, "ben")
            await say(anna, await direct(anna, ben))
            await push_service.wait(1)
        await push_service.disconnected()


async def test_quiet_hours_end_in_one_summary(
    pushing: RestClient, push_service: PushServiceDouble, mongo: Mongo
) -> None:
    """Of what is still unread then."""
    anna, ben = await register(pushing, "anna"), await subscribed(pushing, push_service, "ben")
    cleo = await register(pushing, "cleo")
    clock = now()
    hours = {"start": f"{clock - timedelta(hours=1):%H:%M}", "end": f"{clock + timedelta(hours=2):%H:%M}"}
    await ben.call("PUT", "/notifications/preferences", quiet_hours=hours | {"timezone": "Etc/UTC"})
    chats = [await direct(anna, ben), await direct(cleo, ben)]
    await say(anna, chats[0])
    await say(anna, chats[0])
    await say(cleo, chats[1])
    post = (await ben.call("POST", "/posts", content="a post"))["id"]
    await anna.call("POST", f"/posts/{post}/comments", content="a comment")
    async with asyncio.timeout(20):
        while True:
            held = await mongo.database["push_news"].find_one({"_id": f"summary:{ben.id}"})
            if held and len(held["conversations"]) == 2 and held["last"] == 1:
                break
            await asyncio.sleep(0.05)
    assert not push_service.pushes
    await ben.call("PUT", f"/conversations/{chats[1]}/read", seq=1)
    await ben.call("PUT", "/notifications/preferences", quiet_hours=None)
    await mongo.database["push_news"].update_one({"_id": held["_id"]}, {"$currentDate": {"due_at": True}})
    (push,) = await push_service.wait(1, "ben")
    assert ("summary", "2 unread messages, 1 unread notification", 3) == (
        push.payload["type"],
        push.payload["body"],
        push.payload["unread_count"],
    )
    assert "low" == push.headers["urgency"]
    await nothing_waits(mongo)
    assert 1 == len(push_service.pushes)
