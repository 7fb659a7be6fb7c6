"""Attachments of posts and comments: as those of messages."""

import asyncio

import pytest

from service.common.errors import Unavailable
from service.common.times import now
from service.datastores.mongo import Mongo
from service.posts.comment_store import CommentStore
from service.posts.post_store import PostStore
from service.services import Services
from tests.attachments.conftest import encoded, photo, upload
from tests.attachments.test_messages import empty, reads
from tests.notifications.api_user import ApiUser
from tests.rest import RestClient


async def test_posts_and_comments_have_attachments(client: RestClient) -> None:
    """Users who see the post or comment see its files; those who block the author do not."""
    ann, bob = [await ApiUser.register(client) for _ in range(2)]
    files = [await upload(ann, encoded(photo(), "PNG")), await upload(ann, b"x"), await upload(ann, b"y")]
    ids = [file["id"] for file in files]
    post = await ann.call("post", "/posts", 201, json={"content": "", "attachments": ids[:2]})
    comments = f"/posts/{post['id']}/comments"
    body = {"content": "", "attachments": ids[2:], "nonce": "n"}
    comment = await ann.call("post", comments, 201, json=body)
    assert (files[:2], files[2:]) == (post["attachments"], comment["attachments"])
    assert comment == await ann.call("post", comments, 200, json=body)
    assert 409 == (await ann.call("post", comments, 409, json=body | {"content": "x", "attachments": []}))["status"]
    assert files[:2] == (await bob.call("get", f"/posts/{post['id']}", 200))["attachments"]
    assert files[2:] == (await bob.call("get", comments, 200))["items"][0]["attachments"]
    reacted = await bob.call("put", f"/posts/{post['id']}/reactions/👍", 200)
    assert files[:2] == reacted["attachments"]
    assert [True] * 3 == [await reads(bob, file) for file in files]
    await bob.call("put", f"/users/{ann.id}/block", 204)
    assert [False] * 3 == [await reads(bob, file) for file in files]


async def test_what_is_used_is_not_used_again(client: RestClient) -> None:
    ann, bob = [await ApiUser.register(client) for _ in range(2)]
    file = (await upload(ann, b"x"))["id"]
    body = {"content": "Look", "attachments": [file]}
    assert 422 == (await bob.call("post", "/posts", 422, json=body))["status"]
    post = await ann.call("post", "/posts", 201, json=body)
    another = body | {"content": "Look again"}
    for path, repeated in (("/posts", another), (f"/posts/{post['id']}/comments", body)):
        problem = await ann.call("post", path, 422, json=repeated)
        assert "attachments" == problem["errors"][0]["field"]


async def test_a_repeated_post_with_files_is_one(
    client: RestClient, emptied: Mongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a 503, whether or not it was stored then; once it is deleted, it is not stored again."""
    ann = await ApiUser.register(client)
    body = {"content": "Look", "attachments": [(await upload(ann, each))["id"] for each in (b"x", b"y")]}
    with monkeypatch.context() as patch:

        async def fail(*args: object, **kwargs: object) -> None:
            raise Unavailable

        patch.setattr(PostStore, "insert", fail)
        await ann.call("post", "/posts", 503, json=body)
    post = await ann.call("post", "/posts", 201, json=body)
    assert post == await ann.call("post", "/posts", 201, json=body)
    assert 1 == await emptied.database["posts"].count_documents({})
    await ann.call("delete", f"/posts/{post['id']}", 204)
    await ann.call("post", "/posts", 422, json=body)


async def test_a_repeated_comment_with_files_needs_no_nonce(
    client: RestClient, emptied: Mongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a 503, whether or not it was stored then. Another comment does not get its files."""
    ann = await ApiUser.register(client)
    path = f"/posts/{(await ann.call('post', '/posts', 201, json={'content': 'x'}))['id']}/comments"
    body = {"content": "Look", "attachments": [(await upload(ann, each))["id"] for each in (b"x", b"y")]}
    with monkeypatch.context() as patch:

        async def fail(*args: object, **kwargs: object) -> None:
            raise Unavailable

        patch.setattr(CommentStore, "append", fail)
        await ann.call("post", path, 503, json=body)
    comment = await ann.call("post", path, 201, json=body)
    assert comment == await ann.call("post", path, 200, json=body)
    for other in (body | {"content": "Look again"}, body | {"attachments": body["attachments"][1:]}):
        await ann.call("post", path, 422, json=other)
    assert 1 == await emptied.database["comments"].count_documents({})


async def test_deleting_deletes_the_files(client: RestClient, emptied: Mongo) -> None:
    """Those of the post, and those of its comments. The nonce of a deleted comment stays taken."""
    ann, bob = [await ApiUser.register(client) for _ in range(2)]
    files = [(await upload(user, b"x"))["id"] for user in (ann, bob, ann)]
    post = await ann.call("post", "/posts", 201, json={"content": "x", "attachments": files[:1]})
    path = f"/posts/{post['id']}"
    await bob.call("post", f"{path}/comments", 201, json={"content": "", "attachments": files[1:2]})
    body = {"content": "", "attachments": files[2:], "nonce": "n"}
    comment = await ann.call("post", f"{path}/comments", 201, json=body)
    await ann.call("delete", f"{path}/comments/{comment['id']}", 204)
    await ann.call("post", f"{path}/comments", 200, json=body)
    await ann.call("delete", path, 204)
    async with asyncio.timeout(10):
        while not await empty(emptied):
            await asyncio.sleep(0.01)


async def test_an_edit_keeps_the_files(client: RestClient) -> None:
    """The text may become empty only if there are some."""
    ann = await ApiUser.register(client)
    file = await upload(ann, b"x")
    with_file = await ann.call("post", "/posts", 201, json={"content": "x", "attachments": [file["id"]]})
    without = await ann.call("post", "/posts", 201, json={"content": "x"})
    edited = await ann.call("patch", f"/posts/{with_file['id']}", 200, json={"content": ""})
    assert ("", [file]) == (edited["content"], edited["attachments"])
    assert (
        "validation_failed" == (await ann.call("patch", f"/posts/{without['id']}", 422, json={"content": ""}))["code"]
    )


async def test_the_sweep_keeps_what_is_used(client: RestClient, services: Services, emptied: Mongo) -> None:
    ann = await ApiUser.register(client)
    files = [await upload(ann, each) for each in (b"post", b"comment", b"unused")]
    post = await ann.call("post", "/posts", 201, json={"content": "", "attachments": [files[0]["id"]]})
    body = {"content": "", "attachments": [files[1]["id"]]}
    await ann.call("post", f"/posts/{post['id']}/comments", 201, json=body)
    await emptied.database["attachments"].update_many({}, {"$set": {"expires_at": now()}})
    assert 3 == await services.attachments.sweep()
    assert [True, True, False] == [await reads(ann, file) for file in files]
