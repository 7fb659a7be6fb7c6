"""`GET /users/me/export`: everything that a user has in Loa, and nothing else."""

import asyncio
import json
import socket
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from functools import partial
from threading import Thread
from typing import Any

import httpx
import pytest
from bson import ObjectId
from redis.asyncio import Redis

from config.settings import Settings
from service.accounts.passwords import Passwords
from service.app import create_app
from service.common.errors import TokenRevoked
from service.common.identity import Identity
from service.datastores.mongo import Mongo
from service.export.user_export import PAGE
from service.http.limits import EXPORTING
from service.stores import Stores
from tests.attachments.conftest import upload
from tests.notifications.api_user import ApiUser
from tests.protocol.mongo_proxy import OUT_OF_DISK_SPACE, MongoProxy
from tests.rest import RestClient, serving

PATH = "/users/me/export"
MANY = 300
"""Messages: five megabytes of long ones."""
OTHERS = "only somebody else wrote this"
Lines = dict[str, list[dict[str, Any]]]


def lines_of(body: str) -> Lines:
    """Return the data of an export, by kind."""
    found: Lines = defaultdict(list)
    # Not `splitlines`: a text may have other characters that end lines in Python.
    for line in body.rstrip("\n").split("\n"):
        item = json.loads(line)
        assert {"kind", "data"} == item.keys()
        found[item["kind"]].append(item["data"])
    return found


async def exported(user: ApiUser) -> Lines:
    response = await user.request("get", PATH)
    assert 200 == response.status_code, response.text
    assert "application/x-ndjson" == response.headers["content-type"]
    return lines_of(response.text)


async def send(user: ApiUser, conversation_id: str, content: str, **fields: Any) -> dict[str, Any]:
    path = f"/conversations/{conversation_id}/messages"
    return dict(await user.call("post", path, 201, json={"content": content, **fields}))


async def test_everything_of_a_user_and_nothing_of_others(client: RestClient, mongo: Mongo) -> None:
    user, other = await ApiUser.register(client, "The user"), await ApiUser.register(client)
    group = (await user.call("post", "/conversations", 201, json={"participant_ids": [other.id], "title": "A group"}))[
        "id"
    ]
    left = (await other.call("post", "/conversations", 201, json={"participant_ids": [user.id], "title": "Left"}))["id"]
    file = await upload(user, b"a file", "own.txt")
    own = await send(user, group, "own message", attachments=[file["id"]], nonce="n")
    in_left = await send(user, left, "own message in a group left")
    deleted = await send(user, group, "own message, deleted")
    await user.call("delete", f"/conversations/{group}/messages/{deleted['id']}", 200)
    theirs = await send(other, group, OTHERS)
    for who in (user, other):
        for message in (own, theirs):
            await who.call("put", f"/conversations/{group}/messages/{message['id']}/reactions/👍", 200)
    await user.call("delete", f"/conversations/{left}/participants/{user.id}", 204)
    archived = (await user.call("post", "/conversations", 201, json={"participant_ids": [other.id]}))["id"]
    await user.call("put", f"/conversations/{archived}/archive", 200)

    post, their_post = await user.post("own post"), await other.post(OTHERS)
    gone = await user.post("own post, deleted")
    await user.call("delete", f"/posts/{gone}", 204)
    comment, taken_back = await user.comment(their_post, "own comment"), await user.comment(their_post, "own, deleted")
    await user.call("delete", f"/posts/{their_post}/comments/{taken_back['id']}", 204)
    their_comment = await other.comment(their_post, OTHERS)
    for path in (f"/posts/{their_post}", f"/posts/{their_post}/comments/{their_comment['id']}"):
        await user.call("put", f"{path}/reactions/🎉", 200)
    await other.call("put", f"/posts/{their_post}/reactions/🔥", 200)
    async with asyncio.timeout(10):
        await other.comment(post, "a comment that notifies")
        while not (page := await user.call("get", "/notifications", 200))["items"]:
            await asyncio.sleep(0.02)
    await user.call(
        "put", "/notifications/preferences", 200, json={"kinds": {"NEW_REPLY": {"in_app": True, "push": False}}}
    )
    await user.call("put", f"/users/{other.id}/block", 204)

    response = await user.request("get", PATH)
    found = lines_of(response.text)
    kinds = "profile session conversation message post comment reaction notification preferences block"
    assert kinds.split() == list(found)
    assert [await user.call("get", "/users/me", 200)] == found["profile"]
    assert (await user.call("get", "/auth/sessions", 200))["items"] == found["session"]
    assert [group, archived] == [each["id"] for each in found["conversation"]]
    assert not [each for each in found["conversation"] if {"last_message", "read_marks"} & each.keys()]
    assert {"own message", "own message in a group left"} == {each["content"] for each in found["message"]}
    assert {own["id"], in_left["id"]} == {each["id"] for each in found["message"]}
    assert [file["id"]] == [each["id"] for message in found["message"] for each in message["attachments"]]
    assert [await user.call("get", f"/posts/{post}", 200)] == found["post"]
    assert [comment] == found["comment"]
    expected = [("👍", own["id"]), ("👍", theirs["id"]), ("🎉", their_comment["id"]), ("🎉", their_post)]
    reacted = [
        (each["emoji"], each["message_id"] or each["comment_id"] or each["post_id"]) for each in found["reaction"]
    ]
    assert sorted(expected) == sorted(reacted)
    assert page["items"] == found["notification"]
    assert [await user.call("get", "/notifications/preferences", 200)] == found["preferences"]
    assert (await user.call("get", "/blocks", 200))["items"] == found["block"]

    assert OTHERS not in response.text
    stored = await mongo.database["users"].find_one({"_id": ObjectId(user.id)})
    assert stored
    for secret in (stored["password_hash"], user.token, user.refresh_token, "password", "hash", "digest"):
        assert secret not in response.text
    assert other.id not in [each["sender_id"] for each in found["message"]]


async def test_a_new_user_has_few_lines(client: RestClient) -> None:
    found = await exported(await ApiUser.register(client))
    assert {"profile": 1, "session": 1, "preferences": 1} == {kind: len(each) for kind, each in found.items()}


async def test_only_who_is_signed_in(client: RestClient, mongo: Mongo) -> None:
    """An error before the first line is an ordinary one."""
    assert 401 == (await client.get("/api/v1" + PATH)).status_code
    user, gone = await ApiUser.register(client), await ApiUser.register(client)
    await user.call("post", "/auth/logout", 204)
    assert "token_revoked" == (await user.call("get", PATH, 401))["code"]
    await mongo.database["users"].delete_one({"_id": ObjectId(gone.id)})
    assert "not_found" == (await gone.call("get", PATH, 404))["code"]


async def test_many_messages_come_in_batches(client: RestClient, services: Any, stores: Stores) -> None:
    """None is missing or there twice."""
    user, other = await ApiUser.register(client), await ApiUser.register(client)
    group = await user.call("post", "/conversations", 201, json={"participant_ids": [other.id]})
    await send(user, group["id"], "first")
    found = await stores.messages.collection.find_one({"sender_id": ObjectId(user.id)})
    assert found
    moment = int(datetime.now(UTC).timestamp())
    documents = []
    for seq in range(2, 1502):
        # Many in one second, the others over some minutes.
        id = ObjectId((moment - max(0, seq - 300) // 8).to_bytes(4, "big") + seq.to_bytes(8, "big"))
        sender = ObjectId(other.id) if seq % 5 == 0 else ObjectId(user.id)
        numbers = {"seq": seq, "rev": seq, "claims": [seq], "content": str(seq)}
        documents.append({**found, "_id": id, "sender_id": sender, "nonce": str(seq), **numbers})
    await stores.messages.collection.insert_many(documents)
    batches = [batch async for batch in services.export.read(Identity(user.id, await session(user), "t", 0))]
    assert max(batch.count(b"\n") for batch in batches) == PAGE
    contents = [each["content"] for each in lines_of(b"".join(batches).decode())["message"]]
    assert sorted(["first", *(str(seq) for seq in range(2, 1502) if seq % 5)]) == sorted(contents)


async def session(user: ApiUser) -> str:
    return str((await user.call("get", "/auth/sessions", 200))["items"][0]["id"])


async def test_it_ends_with_the_session(client: RestClient, services: Any) -> None:
    user = await ApiUser.register(client)
    caller = Identity(user.id, await session(user), "t", 0)
    batches = services.export.read(caller)
    assert b'{"kind":"profile"' in await anext(batches)
    await user.call("post", "/auth/logout", 204)
    with pytest.raises(TokenRevoked):
        await anext(batches)


@pytest.fixture
async def stores(mongo: Mongo) -> Stores:
    return Stores.build(mongo.database)


@pytest.fixture
def unlimited(settings: Settings, redis: Redis, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings without rate limits, for services with cheap password hashes."""
    monkeypatch.setattr("service.services.Passwords", partial(Passwords, time_cost=1, memory_cost=64))
    return settings.model_copy(update={"rate_limits": "off"})


@pytest.fixture
def mongo_proxy(settings: Settings) -> Iterator[MongoProxy]:
    """On a loop of its own: closing the database client blocks the test's until the proxy answers."""
    assert settings.mongodb_uri
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever)
    thread.start()
    proxy = MongoProxy(settings.mongodb_uri)
    asyncio.run_coroutine_threadsafe(proxy.__aenter__(), loop).result()
    proxy.code = OUT_OF_DISK_SPACE
    yield proxy
    asyncio.run_coroutine_threadsafe(proxy.__aexit__(None, None, None), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture
async def proxied(unlimited: Settings, mongo_proxy: MongoProxy) -> AsyncIterator[RestClient]:
    """The whole service, with the proxy in front of its database."""
    async with serving(create_app(settings=unlimited.model_copy(update={"mongodb_uri": mongo_proxy.url}))) as client:
        yield client
        mongo_proxy.unsupported = ""


async def test_a_failing_database_never_looks_like_the_end(proxied: RestClient, mongo_proxy: MongoProxy) -> None:
    """Before the first line the response is a 503; later the connection breaks off, and the next export is complete."""
    user = await ApiUser.register(proxied)
    mongo_proxy.unsupported = "notification_preferences"
    received: list[bytes] = []
    with pytest.raises(httpx.RemoteProtocolError):
        await receive(proxied.url("/api/v1" + PATH), user, received)
    assert {"profile", "session"} == lines_of(b"".join(received).decode()).keys()
    mongo_proxy.unsupported = "users"
    assert "unavailable" == (await user.call("get", PATH, 503))["code"]
    mongo_proxy.unsupported = ""
    assert 1 == len((await exported(user))["preferences"])


async def receive(url: str, user: ApiUser, received: list[bytes]) -> None:
    """Put the parts of a successful response into `received`."""
    async with httpx.AsyncClient() as http, http.stream("GET", url, headers=user._headers) as response:
        assert 200 == response.status_code
        async for part in response.aiter_bytes():
            received.append(part)


async def test_one_at_a_time(unlimited: Settings, mongo: Mongo) -> None:
    """The second is answered 429, until the reader of the first has gone; others are not concerned."""
    async with serving(create_app(settings=unlimited)) as client:
        user, other = await ApiUser.register(client), await ApiUser.register(client)
        await fill(user, other, mongo)
        # So little fits into it that the server waits for the reader.
        small_buffer = httpx.AsyncHTTPTransport(socket_options=[(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)])
        async with httpx.AsyncClient(transport=small_buffer) as http:
            async with http.stream("GET", client.url("/api/v1" + PATH), headers=user._headers) as response:
                assert 200 == response.status_code
                refused = await user.request("get", PATH)
                assert (429, "rate_limited") == (refused.status_code, refused.json()["code"])
                assert 0 < int(refused.headers["retry-after"])
                assert (await exported(other))["profile"]
            async with asyncio.timeout(10):
                while (await user.request("get", PATH)).status_code == 429:
                    await asyncio.sleep(0.05)
        assert MANY + 1 == len((await exported(user))["message"])


async def fill(user: ApiUser, other: ApiUser, mongo: Mongo) -> None:
    """Give the user MANY long messages."""
    group = await user.call("post", "/conversations", 201, json={"participant_ids": [other.id]})
    await send(user, group["id"], "first")
    found = await mongo.database["messages"].find_one({"sender_id": ObjectId(user.id)})
    assert found
    documents = []
    for seq in range(2, MANY + 2):
        numbers = {"seq": seq, "rev": seq, "claims": [seq], "content": "x" * 16_000}
        documents.append({**found, "_id": ObjectId(), "nonce": str(seq), **numbers})
    await mongo.database["messages"].insert_many(documents)


async def test_it_is_limited(client: RestClient) -> None:
    user = await ApiUser.register(client)
    allowed = EXPORTING.items[0].amount
    for _ in range(allowed):
        await exported(user)
    assert "rate_limited" == (await user.call("get", PATH, 429))["code"]


async def test_the_document_says_what_is_sent(client: RestClient) -> None:
    document = (await client.get("/docs/openapi.json")).json()
    responses = document["paths"]["/api/v1/users/me/export"]["get"]["responses"]
    assert ["application/x-ndjson"] == list(responses["200"]["content"])
    assert {"200", "401", "404", "429", "503"} <= responses.keys()
    user = await ApiUser.register(client)
    head = await user.request("head", PATH)
    assert (200, b"", "application/x-ndjson") == (head.status_code, head.content, head.headers["content-type"])
