"""The HTTP edge of posts and comments."""

from typing import Any

import pytest

from tests.notifications.api_user import ApiUser
from tests.notifications.service_process import new_id
from tests.rest import RestClient

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_post_and_its_comments(client: RestClient) -> None:
    """Published, commented on, replied to, listed and counted."""
    author, reader = await ApiUser.register(client, "Author"), await ApiUser.register(client, "Reader")
    made = await author.call("post", "/posts", 201, json={"content": " Hello "})
    assert {"id", "author", "content", "comment_count", "created_at"} == made.keys()
    assert ("Hello", "Author", 0) == (made["content"], made["author"]["display_name"], made["comment_count"])
    first = await reader.comment(made["id"], "First")
    assert {"id", "post_id", "parent_id", "author", "content", "created_at"} == first.keys()
    reply = await author.comment(made["id"], "Second", parent_id=first["id"].upper())
    assert (made["id"], first["id"]) == (reply["post_id"], reply["parent_id"])
    comments = await reader.call("get", f"/posts/{made['id']}/comments", 200)
    assert {"items": [first, reply], "next": None} == comments
    assert made | {"comment_count": 2} == await reader.call("get", f"/posts/{made['id']}", 200)
    page = await reader.call("get", "/posts?limit=1", 200)
    assert [made | {"comment_count": 2}] == page["items"]


async def test_repeated_comment_is_answered_200(client: RestClient) -> None:
    """The nonce makes it safe to send again; with other content it is a conflict."""
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
async def test_bad_post_is_refused(client: RestClient, body: Any) -> None:
    """422, and nothing is stored."""
    author = await ApiUser.register(client)
    before = await author.post()
    assert "validation_failed" == (await author.call("post", "/posts", 422, json=body))["code"]
    assert before == (await author.call("get", "/posts", 200))["items"][0]["id"]


@pytest.mark.parametrize(
    "fields", [{"nonce": ""}, {"nonce": "n" * 65}, {"nonce": 1}, {"parent_id": "x"}, {"parent_id": new_id()}]
)
async def test_bad_comment_is_refused(client: RestClient, fields: dict[str, Any]) -> None:
    """422 that names the field, and nothing is stored."""
    author = await ApiUser.register(client)
    post = await author.post()
    answer = await author.call("post", f"/posts/{post}/comments", 422, json={"content": "Aye", **fields})
    assert list(fields) == [error["field"] for error in answer["errors"]]
    assert [] == (await author.call("get", f"/posts/{post}/comments", 200))["items"]


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "before=x", "before=0123456789abcdef01234567", "after=1"])
async def test_bad_query_is_refused(client: RestClient, query: str) -> None:
    """Nothing out of bounds, no cursor that is none, nothing unknown."""
    author = await ApiUser.register(client)
    await author.post()
    await author.call("get", f"/posts?{query}", 422)


async def test_post_that_is_not_there(client: RestClient) -> None:
    """404 for its comments, too, whatever the id looks like."""
    author = await ApiUser.register(client)
    for post in (new_id(), "x"):
        await author.call("get", f"/posts/{post}", 404)
        await author.call("get", f"/posts/{post}/comments", 404)
        await author.call("post", f"/posts/{post}/comments", 404, json={"content": "Aye"})
