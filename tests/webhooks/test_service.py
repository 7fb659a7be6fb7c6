"""The whole way: what happens in Loa arrives at the receiver, with the ids and numbers of the contract."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any

import pytest
from bson import ObjectId
from redis.asyncio import Redis

from config.settings import WEBHOOK_EVENTS, ApiKey, Settings
from service.accounts.passwords import Passwords
from service.app import create_app
from service.asyncapi import channels
from service.datastores.mongo import Mongo
from service.http.asyncapi import document
from service.stores import Stores
from tests.protocol.contract import Contract
from tests.rest import RestClient, serving
from tests.server_api.site import KEY, Site, user_path
from tests.webhooks.conftest import SECRET
from tests.webhooks.receiver import Receiver, receiving


class User:
    """A user with a token; methods return the JSON of the response."""

    def __init__(self, client: RestClient, answer: dict[str, Any]) -> None:
        self._client = client
        self._answer = answer
        self._headers = {"Authorization": f"Bearer {answer['access_token']}"}
        self.id: str = answer["user"]["id"]

    def at(self, client: RestClient) -> "User":
        """The same user at another process."""
        return User(client, self._answer)

    async def call(self, method: str, path: str, **body: Any) -> Any:
        response = await self._client.request(
            f"/api/v1{path}", http_method=method, headers=self._headers, json=body or None
        )
        assert response.status_code < 300, response.text
        return response.json() if response.content else None


@pytest.fixture
async def stores(mongo: Mongo) -> Stores:
    stores = Stores.build(mongo.database)
    await stores.create_indexes()
    return stores


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A receiver of which every webhook is as the AsyncAPI document says."""
    contract = Contract({"paths": {}}, document("Loa", "1", channels()))
    async with receiving(SECRET) as receiver:
        yield receiver
    for request in receiver.requests:
        contract.check_event("webhooks", request.event["type"], request.event)


Loa = Callable[..., AbstractAsyncContextManager[RestClient]]


@pytest.fixture
def loa(settings: Settings, receiver: Receiver, stores: Stores, redis: Redis, monkeypatch: pytest.MonkeyPatch) -> Loa:
    """`async with loa() as client`: the whole service with all webhooks, but for the given settings."""
    monkeypatch.setattr("service.services.Passwords", partial(Passwords, time_cost=1, memory_cost=64))
    hooks = {
        "webhook_url": receiver.url,
        "webhook_secret": (SECRET,),
        "webhook_private": "on",
        "api_keys": (ApiKey("shop", KEY),),
    }

    def start(**changed: Any) -> AbstractAsyncContextManager[RestClient]:
        return serving(create_app(settings=settings.model_copy(update=hooks | changed)))

    return start


@pytest.fixture
async def client(loa: Loa) -> AsyncIterator[RestClient]:
    async with loa() as client:
        yield client


async def register(client: RestClient, username: str) -> User:
    body = {"username": username, "password": "correct horse battery"}
    return User(client, (await client.post("/api/v1/auth/register", json=body)).json())


async def event(receiver: Receiver, webhook_id: str) -> dict[str, Any]:
    await receiver.wait_for_accepted(webhook_id)
    event = receiver.of(webhook_id)[0].event
    assert {"type", "timestamp", "data"} == event.keys()
    assert webhook_id.startswith(event["type"].replace(".", "_"))
    assert event["data"]["id"] == webhook_id.split("_")[2]
    return event


async def data(receiver: Receiver, webhook_id: str) -> dict[str, Any]:
    return dict((await event(receiver, webhook_id))["data"])


async def test_what_happens_is_sent(client: RestClient, receiver: Receiver, stores: Stores) -> None:
    """Ids, sequence numbers and external ids; nothing that a user has written."""
    anna, ben = await register(client, "anna"), await register(client, "ben")
    assert {"id": anna.id, "external_id": None} == await data(receiver, f"user_created_{anna.id}")

    direct = (await anna.call("POST", "/conversations", participant_ids=[ben.id]))["id"]
    sent = await data(receiver, f"conversation_created_{direct}")
    assert ("direct", anna.id, None) == (sent["kind"], sent["owner_id"], sent["external_id"])

    path = f"/conversations/{direct}/messages"
    message = await anna.call("POST", path, content="only between us")
    assert {
        "id": message["id"],
        "conversation_id": direct,
        "conversation_external_id": None,
        "sender_id": anna.id,
        "sender_external_id": None,
        "kind": "text",
        "seq": 1,
        "rev": 1,
        "deleted": False,
    } == await data(receiver, f"message_created_{message['id']}")

    await anna.call("PATCH", f"{path}/{message['id']}", content="changed")
    sent = await data(receiver, f"message_updated_{message['id']}_2")
    assert (anna.id, direct, 1, 2) == (sent["sender_id"], sent["conversation_id"], sent["seq"], sent["rev"])
    await anna.call("DELETE", f"{path}/{message['id']}")
    assert (await data(receiver, f"message_updated_{message['id']}_3"))["deleted"]

    post = (await anna.call("POST", "/posts", content="a post"))["id"]
    assert {"id": post, "author_id": anna.id, "author_external_id": None} == await data(
        receiver, f"post_created_{post}"
    )
    comment = (await ben.call("POST", f"/posts/{post}/comments", content="a comment"))["id"]
    sent = await data(receiver, f"comment_created_{comment}")
    assert (post, None, ben.id, 1) == (sent["post_id"], sent["parent_id"], sent["author_id"], sent["number"])
    await receiver.wait(lambda: any(id.startswith("notification_created") for id in receiver.accepted))
    sent = next(each.event["data"] for each in receiver.requests if each.event["type"] == "notification.created")
    assert ("NEW_COMMENT", anna.id, ben.id, 1) == (sent["type"], sent["user_id"], sent["sender_id"], sent["seq"])
    assert (post, comment) == (sent["post_id"], sent["comment_id"])
    subject = {"kind": "comment", "id": comment}
    report = (await anna.call("POST", "/reports", subject=subject, reason="spam", note="in confidence"))["id"]
    assert {
        "id": report,
        "subject": "comment",
        "subject_id": comment,
        "reporter_id": anna.id,
        "reporter_external_id": None,
    } == await data(receiver, f"report_created_{report}")
    for written in (b"only between us", b"changed", b"a post", b"a comment", b"anna", b"in confidence"):
        assert not any(written in request.body for request in receiver.requests)


async def test_a_changed_group_is_sent_with_its_version(client: RestClient, receiver: Receiver) -> None:
    """Each change has an id of its own. New messages do not change the conversation."""
    anna, ben = await register(client, "anna"), await register(client, "ben")
    group = (await anna.call("POST", "/conversations", participant_ids=[ben.id], title="One"))["id"]
    await anna.call("POST", f"/conversations/{group}/messages", content="Hello")
    await anna.call("PATCH", f"/conversations/{group}", title="Two")
    await receiver.wait(lambda: any(id.startswith(f"conversation_updated_{group}") for id in receiver.accepted))
    (updated,) = (each for each in receiver.requests if each.event["type"] == "conversation.updated")
    version = updated.event["data"]["version"]
    await receiver.wait(lambda: any(each.event["data"].get("kind") == "renamed" for each in receiver.requests))
    (renamed,) = (each.event["data"] for each in receiver.requests if each.event["data"].get("kind") == "renamed")
    assert (group, 2, False) == (renamed["conversation_id"], renamed["seq"], renamed["deleted"])
    assert (f"conversation_updated_{group}_{version}", "group") == (updated.id, updated.event["data"]["kind"])


async def test_blocks_in_a_direct_conversation_are_not_told(client: RestClient, receiver: Receiver) -> None:
    """They are stored with it; so is that there are none when it is new."""
    anna, ben = await register(client, "anna"), await register(client, "ben")
    direct = (await anna.call("POST", "/conversations", participant_ids=[ben.id]))["id"]
    await anna.call("PUT", f"/users/{ben.id}/block")
    await anna.call("DELETE", f"/users/{ben.id}/block")
    post = (await anna.call("POST", "/posts", content="a post"))["id"]
    await receiver.wait_for_accepted(f"conversation_created_{direct}", f"post_created_{post}")
    assert "conversation.updated" not in {request.event["type"] for request in receiver.requests}


async def test_external_ids_are_sent(client: RestClient, receiver: Receiver, stores: Stores, mongo: Mongo) -> None:
    """Also of a user whose deletion is complete before the webhook is made, as during an outage."""
    anna = await register(client, "anna")
    await receiver.wait_for_accepted(f"user_created_{anna.id}")
    await mongo.database["users"].update_one({"_id": ObjectId(anna.id)}, {"$set": {"external_id": "site-7"}})
    await receiver.stop()
    await stores.users.begin_deletion("anna")
    await stores.users.finish_deletion(anna.id, "anna")
    await receiver.start()
    assert {"id": anna.id, "external_id": "site-7"} == await data(receiver, f"user_deleted_{anna.id}")
    left = await mongo.database["users"].find_one({"_id": ObjectId(anna.id)})
    assert left
    assert not {"external_id", "deleted_external_id"} & left.keys()

    ben = await register(client, "ben")
    await mongo.database["users"].update_one({"_id": ObjectId(ben.id)}, {"$set": {"external_id": "site-8"}})
    await receiver.wait_for_accepted(f"user_created_{ben.id}")
    post = (await ben.call("POST", "/posts", content="a post"))["id"]
    assert "site-8" == (await data(receiver, f"post_created_{post}"))["author_external_id"]


async def test_a_user_whom_the_site_deletes_is_named(client: RestClient, receiver: Receiver) -> None:
    """By the external id, which is free for somebody new at once; the new user's webhook has it, too."""
    site = Site(client)
    person = await site.user("Bình")
    first = (await site.call("get", user_path(person), 200))["id"]
    assert {"id": first, "external_id": person} == await data(receiver, f"user_created_{first}")
    await receiver.stop()
    await site.call("delete", user_path(person), 202)
    second = (await site.call("put", user_path(person), 201, display_name="An"))["id"]
    await receiver.start()
    assert {"id": first, "external_id": person} == await data(receiver, f"user_deleted_{first}")
    assert {"id": second, "external_id": person} == await data(receiver, f"user_created_{second}")
    for written in ("Bình", "An"):
        assert not any(written in request.body.decode() for request in receiver.requests)


async def test_only_selected_events_are_told(loa: Loa, receiver: Receiver) -> None:
    async with loa(webhook_events=("post.created",)) as client:
        anna = await register(client, "anna")
        post = (await anna.call("POST", "/posts", content="a post"))["id"]
        await receiver.wait_for_accepted(f"post_created_{post}")
    assert ["post.created"] == [request.event["type"] for request in receiver.requests]


async def test_no_type_is_lost_with_the_history(loa: Loa, receiver: Receiver, mongo: Mongo) -> None:
    """Webhooks were off for longer than the database keeps its history: what happened meanwhile is found by time."""
    async with loa() as client:
        anna, ben = await register(client, "anna"), await register(client, "ben")
        person = await Site(client).user()
        deleted = (await Site(client).call("get", user_path(person), 200))["id"]
        group = (await anna.call("POST", "/conversations", participant_ids=[ben.id], title="One"))["id"]
        other = (await anna.call("POST", "/conversations", participant_ids=[ben.id], title="Other"))["id"]
        path = f"/conversations/{group}/messages"
        message = (await anna.call("POST", path, content="Hello"))["id"]
        await receiver.wait_for_accepted(f"message_created_{message}", f"conversation_created_{other}")
    receiver.requests.clear()
    async with loa(webhook_url="") as client:
        await anna.at(client).call("PATCH", f"/conversations/{group}", title="Two")
        await anna.at(client).call("PATCH", f"{path}/{message}", content="changed")
        second = (await anna.at(client).call("POST", path, content="Hello again"))["id"]
        post = (await anna.at(client).call("POST", "/posts", content="a post"))["id"]
        comment = (await ben.at(client).call("POST", f"/posts/{post}/comments", content="a comment"))["id"]
        new = await register(client, "chi")
        await Site(client).call("delete", user_path(person), 202)
        async with asyncio.timeout(15):
            while not await mongo.database["notifications"].find_one():
                await asyncio.sleep(0.02)
    await mongo.database["change_followers"].update_one({"_id": "webhooks"}, {"$set": {"token": {"_data": "8263"}}})
    async with loa():
        await receiver.wait_for_accepted(
            f"message_created_{second}",
            f"post_created_{post}",
            f"comment_created_{comment}",
            f"user_created_{new.id}",
            f"user_deleted_{deleted}",
        )
        await receiver.wait(
            lambda: {*WEBHOOK_EVENTS} - {"report.created"} <= {each.event["type"] for each in receiver.requests}
        )
    told = {request.id for request in receiver.requests}
    assert any(id.startswith(f"message_updated_{message}_") for id in told)
    assert not any(id.startswith(f"message_updated_{second}_") for id in told)
    assert any(id.startswith(f"conversation_updated_{group}_") for id in told)
    assert not any(id.startswith(f"conversation_updated_{other}_0") for id in told)


def test_every_event_of_the_contract_has_a_source() -> None:
    from service.webhooks.events import SOURCES

    types = [type for source in SOURCES.values() for type in (source.created, source.updated) if type]
    assert sorted(WEBHOOK_EVENTS) == sorted(types)
