"""Attachments of messages: used once, seen by those who see the message, deleted with it."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from bson import ObjectId

from service.attachments import attachment_store
from service.attachments.attachment_store import AttachmentStore, Claim
from service.attachments.attachments import repeatable_nonce
from service.chat import large_groups
from service.common.times import now
from service.datastores.mongo import Mongo
from service.services import Services
from tests.attachments.conftest import encoded, photo, upload
from tests.notifications.api_user import ApiUser
from tests.rest import RestClient

COLLECTIONS = ("attachments", "attachments.files", "attachments.chunks")


class Group:
    """A conversation with its participants."""

    def __init__(self, users: list[ApiUser], conversation: dict[str, Any]) -> None:
        self.users = users
        self.id: str = conversation["id"]
        self.path = f"/conversations/{self.id}"

    @classmethod
    async def of(cls, *users: ApiUser, **fields: Any) -> "Group":
        body = {"participant_ids": [user.id for user in users[1:]], "title": "Files", **fields}
        return cls(list(users), await users[0].call("post", "/conversations", 201, json=body))

    async def send(self, user: ApiUser, *attachments: dict[str, Any], status: int = 201, **fields: Any) -> Any:
        body = {"content": "", "attachments": [each["id"] for each in attachments], **fields}
        return await user.call("post", f"{self.path}/messages", status, json=body)


REQUESTS: tuple[tuple[str, dict[str, str], int], ...] = (
    ("get", {}, 200),
    ("head", {}, 200),
    ("get", {"Range": "bytes=0-0"}, 206),
    # As by a browser that has it in its cache.
    ("get", {"If-None-Match": "*"}, 304),
)


async def reads(user: ApiUser, attachment: dict[str, Any]) -> bool:
    """Return whether the user may read the file and its thumbnail: by all REQUESTS, or by none."""
    paths = [f"/attachments/{attachment['id']}{part}" for part in ("", "/thumbnail")]
    refused = set[bool]()
    for path in paths if attachment["thumbnail_url"] else paths[:1]:
        for method, headers, status in REQUESTS:
            response = await user.request(method, path, headers)
            refused.add(response.status_code == 404)
            assert response.status_code in (status, 404)
    assert len(refused) == 1
    return refused == {False}


async def empty(mongo: Mongo) -> bool:
    return not any([await mongo.database[name].count_documents({}) for name in COLLECTIONS])


async def test_a_message_has_its_attachments(client: RestClient) -> None:
    """In their order, with URLs that those who get the message can read."""
    ann, bob, eve = [await ApiUser.register(client) for _ in range(3)]
    group = await Group.of(ann, bob)
    files = [await upload(ann, encoded(photo(), "PNG"), "photo.png"), await upload(ann, b"x", "notes.txt")]
    message = await group.send(ann, *files)
    assert files == message["attachments"]
    page = await bob.call("get", f"{group.path}/messages", 200)
    assert [files] == [each["attachments"] for each in page["items"] if each["kind"] == "text"]
    assert files == (await bob.call("get", group.path, 200))["last_message"]["attachments"]
    assert b"x" == (await client.get(page["items"][-1]["attachments"][1]["url"])).content
    for file in files:
        assert [True, True, False] == [await reads(user, file) for user in (ann, bob, eve)]


async def test_an_attachment_is_used_once_and_by_its_uploader(client: RestClient) -> None:
    ann, bob = [await ApiUser.register(client) for _ in range(2)]
    group = await Group.of(ann, bob)
    file, other = await upload(ann, b"x"), await upload(ann, b"y")
    for user, files in ((bob, [file]), (ann, [file, {"id": str(ObjectId())}])):
        problem = await group.send(user, *files, status=422)
        assert "attachments" == problem["errors"][0]["field"]
    await group.send(ann, file)
    for files in ([file, other], [other, file]):
        assert 422 == (await group.send(ann, *files, status=422))["status"]
    # What was refused has not claimed the other one.
    assert 1 == len((await group.send(ann, other))["attachments"])


@pytest.mark.parametrize(
    "fields",
    [
        {"content": "", "attachments": []},
        {"content": " "},
        {"content": "x", "attachments": [str(ObjectId(bytes(12)))] * 2},
        {"content": "x", "attachments": [str(ObjectId(bytes(11) + bytes([n]))) for n in range(11)]},
        {"content": "x", "attachments": ["x"]},
    ],
    ids=range(5),
)
async def test_what_is_no_message_is_refused(client: RestClient, fields: dict[str, Any]) -> None:
    ann, bob = [await ApiUser.register(client) for _ in range(2)]
    group = await Group.of(ann, bob)
    assert "validation_failed" == (await ann.call("post", f"{group.path}/messages", 422, json=fields))["code"]


async def test_a_repeated_message_keeps_its_attachments(client: RestClient) -> None:
    """Also once it is deleted: the nonce stands for it for ever. With other attachments it is another message."""
    ann, bob = [await ApiUser.register(client) for _ in range(2)]
    group = await Group.of(ann, bob)
    file, other = await upload(ann, b"x"), await upload(ann, b"y")
    first = await group.send(ann, file, nonce="n")
    assert first == await group.send(ann, file, nonce="n", status=200)
    assert "nonce_reused" == (await group.send(ann, file, other, nonce="n", status=409))["code"]
    assert "nonce_reused" == (await group.send(ann, nonce="n", content="x", status=409))["code"]
    assert await reads(bob, file)
    await ann.call("delete", f"{group.path}/messages/{first['id']}", 200)
    assert [] == (await group.send(ann, file, nonce="n", status=200))["attachments"]


async def test_a_repeated_message_with_files_needs_no_nonce(client: RestClient) -> None:
    """It is one message, whose nonce nobody sees. Another message does not get its files."""
    ann, bob = [await ApiUser.register(client) for _ in range(2)]
    group = await Group.of(ann, bob)
    file, other = await upload(ann, b"x"), await upload(ann, b"y")
    first = await group.send(ann, file, other)
    assert first["nonce"] is None
    assert first == await group.send(ann, file, other, status=200)
    for attachments in ((file,), (other,), (other, file)):
        assert 422 == (await group.send(ann, *attachments, status=422))["status"]
    assert 422 == (await group.send(ann, file, other, content="x", status=422))["status"]


async def test_two_messages_at_the_same_time_share_no_attachment(client: RestClient) -> None:
    ann, bob = [await ApiUser.register(client) for _ in range(2)]
    groups = [await Group.of(ann, bob) for _ in range(4)]
    file = await upload(ann, b"x")
    body = {"content": "", "attachments": [file["id"]]}
    responses = await asyncio.gather(*(ann.request("post", f"{each.path}/messages", json=body) for each in groups))
    assert [201, 422, 422, 422] == sorted(response.status_code for response in responses)


@pytest.mark.parametrize("nonce", ["n", None])
async def test_a_crash_between_claim_and_message_loses_nothing(
    client: RestClient, emptied: Mongo, nonce: str | None
) -> None:
    """The repeated message gets the attachments, and no other message does."""
    ann, bob = [await ApiUser.register(client) for _ in range(2)]
    group = await Group.of(ann, bob)
    file = await upload(ann, b"x")
    claim = Claim("message", ObjectId(group.id), ObjectId(ann.id), None, repeatable_nonce(nonce, [file["id"]]))
    assert (await AttachmentStore(emptied.database).claim({claim: [ObjectId(file["id"])]}))[claim]
    assert 422 == (await group.send(ann, file, nonce="other", status=422))["status"]
    assert [file] == (await group.send(ann, file, nonce=nonce))["attachments"]


async def test_deleting_the_message_deletes_its_attachments(client: RestClient, emptied: Mongo) -> None:
    ann, bob = [await ApiUser.register(client) for _ in range(2)]
    group = await Group.of(ann, bob)
    message = await group.send(ann, await upload(ann, encoded(photo(), "PNG")), content="Look")
    edited = await ann.call("patch", f"{group.path}/messages/{message['id']}", 200, json={"content": ""})
    assert message["attachments"] == edited["attachments"]
    deleted = await ann.call("delete", f"{group.path}/messages/{message['id']}", 200)
    assert [] == deleted["attachments"]
    async with asyncio.timeout(5):
        while not await empty(emptied):
            await asyncio.sleep(0.01)
    text = await group.send(ann, content="No file")
    assert 422 == (await ann.call("patch", f"{group.path}/messages/{text['id']}", 422, json={"content": ""}))["status"]


async def test_a_message_whose_text_is_removed_mentions_nobody(client: RestClient) -> None:
    ann, bob = [await ApiUser.register(client) for _ in range(2)]
    group = await Group.of(ann, bob)
    name = (await bob.call("get", "/users/me", 200))["username"]
    message = await group.send(ann, await upload(ann, b"x"), content=f"Look, @{name}")
    assert [bob.id] == message["mentions"]
    edited = await ann.call("patch", f"{group.path}/messages/{message['id']}", 200, json={"content": ""})
    assert ("", []) == (edited["content"], edited["mentions"])
    assert 0 == (await bob.call("get", group.path, 200))["mention_count"]


@pytest.mark.parametrize("embedded", [100, 1], ids=["small group", "large group"])
async def test_who_does_not_see_the_message_does_not_see_its_attachments(
    client: RestClient, monkeypatch: pytest.MonkeyPatch, embedded: int
) -> None:
    """Who was removed, who has deleted the history, and who has joined later."""
    monkeypatch.setattr(large_groups, "MAX_EMBEDDED", embedded)
    ann, bob, cay, dan = [await ApiUser.register(client) for _ in range(4)]
    group = await Group.of(ann, bob, dan)
    file = await upload(ann, encoded(photo(), "PNG"))
    await group.send(ann, file)
    assert [True, True] == [await reads(user, file) for user in (bob, dan)]
    await ann.call("delete", f"{group.path}/participants/{bob.id}", 204)
    await dan.call("delete", f"{group.path}/history", 204)
    await ann.call("post", f"{group.path}/participants", 200, json={"user_ids": [cay.id]})
    assert [True, False, False, False] == [await reads(user, file) for user in (ann, bob, cay, dan)]


async def test_unused_attachments_are_deleted(
    services: Services, client: RestClient, emptied: Mongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that nobody has used, those of a message that was never stored, and what a deletion has left."""
    ann, bob = [await ApiUser.register(client) for _ in range(2)]
    group = await Group.of(ann, bob)
    for name in ("UPLOAD_TIME", "UNUSED_TIME", "DELETION_TIME"):
        monkeypatch.setattr(attachment_store, name, timedelta(seconds=-1))
    used, unused, claimed, left = [await upload(ann, name.encode()) for name in ("used", "unused", "claimed", "left")]
    await group.send(ann, used, nonce="used")
    message = await group.send(ann, left)
    claim = Claim("message", ObjectId(group.id), ObjectId(ann.id), ObjectId())
    await services.stores.attachments.claim({claim: [ObjectId(claimed["id"])]})
    await emptied.database["messages"].update_one({"_id": ObjectId(message["id"])}, {"$set": {"attachments": []}})
    await services.stores.attachments.insert({"_id": ObjectId(), "user_id": ObjectId(ann.id)})
    assert 5 == await services.attachments.sweep()
    assert 0 == await services.attachments.sweep()
    assert [True, False, False, False] == [await reads(ann, each) for each in (used, unused, claimed, left)]
    assert [1, 1, 1] == [await emptied.database[name].count_documents({}) for name in COLLECTIONS]


async def test_what_is_used_at_the_last_moment_is_kept(
    services: Services, client: RestClient, emptied: Mongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sweep has found three expired attachments. One is used before it withdraws them, one after that, and what has
    the third is about to be deleted."""
    ann = await ApiUser.register(client)
    store = services.stores.attachments
    with monkeypatch.context() as expired:
        expired.setattr(attachment_store, "UNUSED_TIME", timedelta(seconds=-1))
        ids = [ObjectId((await upload(ann, b"x"))["id"]) for _ in range(3)]
    moment = now()
    assert set(ids) == {each["_id"] for each in await store.expired(moment, 10)}
    claims = [Claim("post", None, ObjectId(ann.id), ObjectId()) for _ in ids]
    used = (await store.claim({claims[0]: [ids[0]]}))[claims[0]]
    assert used
    assert ids[1:] == await store.withdraw(ids, moment)
    assert {claims[1]: None} == await store.claim({claims[1]: [ids[1]]})
    assert await store.get(str(ids[0]))
    assert await store.get(str(ids[1])) is None
    await store.expire([ids[2]])
    await store.keep([ids[2]], moment)
    assert [ids[2]] == [
        each["_id"] for each in await store.expired(now() + timedelta(hours=2), 10) if each["_id"] not in ids[:2]
    ]


async def test_the_attachments_of_a_deleted_user_are_deleted(
    services: Services, client: RestClient, emptied: Mongo
) -> None:
    """Used or not; those of others stay."""
    ann, bob = [await ApiUser.register(client) for _ in range(2)]
    group = await Group.of(ann, bob)
    await group.send(ann, await upload(ann, encoded(photo(), "PNG")))
    await upload(ann, b"unused")
    kept = await upload(bob, b"kept")
    await services.attached.remove_of_user(ann.id)
    assert [1, 1, 1] == [await emptied.database[name].count_documents({}) for name in COLLECTIONS]
    assert await reads(bob, kept)
