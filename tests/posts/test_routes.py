"""HTTP routes of posts and comments."""

from typing import Any

import pytest

from service.common.ids import new_id
from tests.notifications.api_user import ApiUser
from tests.rest import RestClient

pytestmark = pytest.mark.asyncio(loop_scope="module")

UNKNOWN_ID = "6b08bc9e5281b79e820259bb"
"""Fixed, because it is part of a test's name, which has to be the same in each process of the test run."""


async def test_a_post_is_published_commented_on_and_listed(client: RestClient) -> None:
    author, reader = await ApiUser.register(client, "Author"), await ApiUser.register(client, "Reader")
    post = await author.call("post", "/posts", 201, json={"content": " Hello "})
    assert {
        "id",
        "author",
        "content",
        "attachments",
        "comment_count",
        "reactions",
        "my_reactions",
        "muted",
        "created_at",
        "edited_at",
    } == post.keys()
    assert ("Hello", "Author", 0) == (post["content"], post["author"]["display_name"], post["comment_count"])
    first = await reader.comment(post["id"], "First")
    assert {
        "id",
        "post_id",
        "parent_id",
        "author",
        "content",
        "attachments",
        "reactions",
        "my_reactions",
        "created_at",
        "edited_at",
        "deleted",
    } == first.keys()
    reply = await author.comment(post["id"], "Second", parent_id=first["id"].upper())
    assert (post["id"], first["id"]) == (reply["post_id"], reply["parent_id"])
    comments = await reader.call("get", f"/posts/{post['id']}/comments", 200)
    assert {"items": [first, reply], "next": None} == comments
    assert post | {"comment_count": 2} == await reader.call("get", f"/posts/{post['id']}", 200)
    page = await reader.call("get", "/posts?limit=1", 200)
    assert [post | {"comment_count": 2}] == page["items"]


async def test_a_repeated_comment_is_answered_200(client: RestClient) -> None:
    """The nonce makes a retry safe. The same nonce with other content is a conflict."""
    author = await ApiUser.register(client)
    post = await author.post()
    body = {"content": "Once", "nonce": "n1"}
    first = await author.call("post", f"/posts/{post}/comments", 201, json=body)
    assert first == await author.call("post", f"/posts/{post}/comments", 200, json=body)
    other = await author.call("post", f"/posts/{post}/comments", 409, json=body | {"content": "Twice"})
    assert "nonce_reused" == other["code"]


@pytest.mark.parametrize(
    "body",
    [{}, {"content": " "}, {"content": "x" * 4001}, {"content": "a\0"}, {"content": "x", "title": "y"}, [], "x"],
)
async def test_an_invalid_post_is_rejected(client: RestClient, body: Any) -> None:
    """422, and nothing is stored."""
    author = await ApiUser.register(client)
    before = await author.post()
    assert "validation_failed" == (await author.call("post", "/posts", 422, json=body))["code"]
    assert before == (await author.call("get", "/posts", 200))["items"][0]["id"]


@pytest.mark.parametrize(
    "fields", [{"nonce": ""}, {"nonce": "n" * 65}, {"nonce": 1}, {"parent_id": "x"}, {"parent_id": new_id()}]
)
async def test_an_invalid_comment_is_rejected(client: RestClient, fields: dict[str, Any]) -> None:
    """422 with the name of the field, and nothing is stored."""
    author = await ApiUser.register(client)
    post = await author.post()
    response = await author.call("post", f"/posts/{post}/comments", 422, json={"content": "Aye", **fields})
    assert list(fields) == [error["field"] for error in response["errors"]]
    assert [] == (await author.call("get", f"/posts/{post}/comments", 200))["items"]


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=101", "limit=", "before=", "before", "before=x", f"before={UNKNOWN_ID}", "after=1", "y="],
)
async def test_an_invalid_query_is_rejected(client: RestClient, query: str) -> None:
    """Values out of bounds, invalid and empty cursors and unknown parameters."""
    author = await ApiUser.register(client)
    await author.post()
    await author.call("get", f"/posts?{query}", 422)


async def test_an_unknown_post_is_not_found(client: RestClient) -> None:
    """404 for the post and its comments, the same for a malformed id."""
    author = await ApiUser.register(client)
    for post in (new_id(), "x"):
        await author.call("get", f"/posts/{post}", 404)
        await author.call("get", f"/posts/{post}/comments", 404)
        await author.call("post", f"/posts/{post}/comments", 404, json={"content": "Aye"})


async def test_a_post_is_muted_by_each_reader_for_themselves(client: RestClient) -> None:
    """Idempotent, and shown wherever the post is."""
    author, reader = await ApiUser.register(client, "Author"), await ApiUser.register(client, "Reader")
    post = await author.post()
    for method, muted in (("put", True), ("put", True), ("delete", False), ("delete", False), ("put", True)):
        assert muted is (await reader.call(method, f"/posts/{post}/mute", 200))["muted"]
        assert muted is (await reader.call("get", f"/posts/{post}", 200))["muted"]
    assert (await reader.call("get", "/posts?limit=1", 200))["items"][0]["muted"] is True
    assert (await author.call("get", f"/posts/{post}", 200))["muted"] is False
    for unknown in (new_id(), "x"):
        await reader.call("put", f"/posts/{unknown}/mute", 404)


async def test_a_post_and_a_comment_are_reacted_to(client: RestClient) -> None:
    """Idempotent; 404 for what does not exist, 422 for what is no emoji."""
    author, reader = await ApiUser.register(client, "Author"), await ApiUser.register(client, "Reader")
    post = await author.post()
    comment = (await author.comment(post, "First"))["id"]
    for path in (f"/posts/{post}", f"/posts/{post}/comments/{comment}"):
        for _ in range(2):
            reacted = await reader.call("put", f"{path}/reactions/❤️", 200)
            assert ({"❤️": 1}, ["❤️"]) == (reacted["reactions"], reacted["my_reactions"])
        assert [] == (await author.call("put", f"{path}/reactions/👍", 200))["my_reactions"][1:]
        for _ in range(2):
            reacted = await reader.call("delete", f"{path}/reactions/❤", 200)
            assert ({"👍": 1}, []) == (reacted["reactions"], reacted["my_reactions"])
        problem = await reader.call("put", f"{path}/reactions/x", 422)
        assert ["emoji"] == [error["field"] for error in problem["errors"]]
    for path in (f"/posts/{new_id()}", f"/posts/{post}/comments/{new_id()}", "/posts/x"):
        await reader.call("put", f"{path}/reactions/👍", 404)


async def test_a_post_and_a_comment_are_edited_by_their_authors_only(client: RestClient) -> None:
    """A repeated edit changes nothing."""
    author, reader = await ApiUser.register(client, "Author"), await ApiUser.register(client, "Reader")
    post = await author.post()
    comment = (await reader.comment(post, "First"))["id"]
    for path, owner, other in (
        (f"/posts/{post}", author, reader),
        (f"/posts/{post}/comments/{comment}", reader, author),
    ):
        assert "forbidden" == (await other.call("patch", path, 403, json={"content": "Mine"}))["code"]
        edited = await owner.call("patch", path, 200, json={"content": " Changed "})
        assert "Changed" == edited["content"]
        assert edited["edited_at"] > edited["created_at"]
        assert edited == await owner.call("patch", path, 200, json={"content": "Changed"})
        for body in ({}, {"content": " "}, {"content": "x", "parent_id": comment}):
            await owner.call("patch", path, 422, json=body)
    for path in (f"/posts/{new_id()}", "/posts/x", f"/posts/{post}/comments/{new_id()}"):
        await author.call("patch", path, 404, json={"content": "Lost"})
    comments = (await reader.call("get", f"/posts/{post}/comments", 200))["items"]
    assert [("Changed", False)] == [(each["content"], each["deleted"]) for each in comments]


async def test_a_post_and_a_comment_are_deleted_by_their_authors_only(client: RestClient) -> None:
    """Idempotent. A post takes its comments with it."""
    author, reader = await ApiUser.register(client, "Author"), await ApiUser.register(client, "Reader")
    post = await author.post()
    comment = (await reader.comment(post, "First"))["id"]
    other = (await reader.comment(post, "Second"))["id"]
    path = f"/posts/{post}/comments/{comment}"
    assert "forbidden" == (await author.call("delete", path, 403))["code"]
    for _ in range(2):
        await reader.call("delete", path, 204)
    await author.call("delete", path, 404)
    await reader.call("patch", path, 404, json={"content": "Again"})
    await reader.call("put", f"{path}/reactions/👍", 404)
    assert 1 == (await reader.call("get", f"/posts/{post}", 200))["comment_count"]
    await reader.call("delete", f"/posts/{post}", 403)
    for _ in range(2):
        await author.call("delete", f"/posts/{post}", 204)
    await author.call("get", f"/posts/{post}", 404)
    await author.call("patch", f"/posts/{post}", 404, json={"content": "Again"})
    await reader.call("get", f"/posts/{post}/comments", 404)
    await reader.call("post", f"/posts/{post}/comments", 404, json={"content": "Late"})
    await reader.call("put", f"/posts/{post}/comments/{other}/reactions/👍", 404)
    for unknown in (f"/posts/{new_id()}", "/posts/x", f"/posts/{post}/comments/{other}"):
        await author.call("delete", unknown, 404)
    assert post not in [each["id"] for each in (await reader.call("get", "/posts", 200))["items"]]
