"""What a process knows of posts, comments and users counts no longer as soon as it has changed."""

import pytest

from tests.notifications.api_user import ApiUser, EventSource
from tests.rest import RestClient

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def next_comment(events: EventSource) -> str:
    """Return the id of the comment of the next NEW_COMMENT."""
    while (event := await events.next()).data.get("type") != "NEW_COMMENT":
        pass
    return str(event.data["data"]["comment_id"])


@pytest.mark.parametrize("change", ["mute", "block"])
async def test_a_mute_and_a_block_count_for_the_next_comment(client: RestClient, change: str) -> None:
    """Notifications about one post are sent in the order of the comments, so what was skipped does not follow."""
    author, reader = await ApiUser.register(client), await ApiUser.register(client)
    post = await author.post()
    path, status = (f"/posts/{post}/mute", 200) if change == "mute" else (f"/users/{reader.id}/block", 204)
    async with author.stream() as events:
        assert (await reader.comment(post))["id"] == await next_comment(events)
        await author.call("put", path, status)
        await reader.comment(post)
        await author.call("delete", path, status)
        assert (await reader.comment(post))["id"] == await next_comment(events)


async def test_the_post_of_a_blocked_user_does_not_exist_for_the_next_comment(client: RestClient) -> None:
    author, reader = await ApiUser.register(client), await ApiUser.register(client)
    post = await author.post()
    await reader.comment(post)
    await reader.call("put", f"/users/{author.id}/block", 204)
    await reader.call("post", f"/posts/{post}/comments", 404, json={"content": "Hi"})
    await reader.call("delete", f"/users/{author.id}/block", 204)
    await reader.comment(post)


async def test_a_deleted_comment_gets_no_further_reply_and_a_deleted_post_no_comment(client: RestClient) -> None:
    author, reader = await ApiUser.register(client), await ApiUser.register(client)
    post = await author.post()
    parent = (await author.comment(post))["id"]
    await reader.comment(post, parent_id=parent)
    await author.call("delete", f"/posts/{post}/comments/{parent}", 204)
    reply = {"content": "Hi", "parent_id": parent}
    refused = await reader.call("post", f"/posts/{post}/comments", 422, json=reply)
    assert "parent_id" in str(refused)
    await reader.comment(post)
    await author.call("delete", f"/posts/{post}", 204)
    await reader.call("post", f"/posts/{post}/comments", 404, json={"content": "Hi"})


async def test_a_new_display_name_is_that_of_the_next_comment(client: RestClient) -> None:
    author, reader = await ApiUser.register(client), await ApiUser.register(client, "Before")
    post = await author.post()
    assert "Before" == (await reader.comment(post))["author"]["display_name"]
    await reader.call("patch", "/users/me", 200, json={"display_name": "After"})
    assert "After" == (await reader.comment(post))["author"]["display_name"]
