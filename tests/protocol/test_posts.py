"""Posts and comments."""

import asyncio

from tests.protocol.clients import NO_ID, Clients, is_id, is_time, problem, unique_text

POST = {
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
}
COMMENT = {
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
}


async def test_a_post_gets_201_and_every_user_can_read_it(clients: Clients) -> None:
    anna, ben = await clients.users(2)
    content = unique_text()
    answer = await anna.call("POST", "/posts", {"content": f" {content}\n"})
    assert 201 == answer.status_code
    post = answer.json()
    assert POST == set(post)
    assert is_id(post["id"])
    assert is_time(post["created_at"])
    assert (content, 0) == (post["content"], post["comment_count"])
    assert anna.profile == {name: post["author"].get(name) for name in anna.profile}
    assert post == await ben.get(f"/posts/{post['id']}")
    assert post in (await ben.get("/posts"))["items"]
    problem(await clients.call("GET", "/posts"), 401, "token_missing")


async def test_posts_are_paged_newest_first_while_others_are_created(clients: Clients) -> None:
    anna = await clients.user()
    mine = [await anna.create_post() for _ in range(7)]
    for limit in (1, 3, 100):
        listed = []
        async for post in anna.pages("/posts", "before", limit=limit):
            listed.append(post["id"])
            if set(mine) <= set(listed):
                break
            if len(listed) == 2:
                await anna.create_post()
        assert mine[::-1] == [id_ for id_ in listed if id_ in mine]
        assert len(listed) == len(set(listed))
    for cursor in ("", "garbage", NO_ID):
        await anna.expect_error(422, "validation_failed", "GET", "/posts", params={"before": cursor})
    await anna.expect_error(422, "validation_failed", "GET", "/posts", params={"limit": 0})


async def test_comments_and_replies_are_counted_and_replies_name_their_parent(clients: Clients) -> None:
    anna, ben = await clients.users(2)
    post = await anna.create_post()
    answer = await ben.call("POST", f"/posts/{post}/comments", {"content": unique_text()})
    assert 201 == answer.status_code
    comment = answer.json()
    assert COMMENT == set(comment)
    assert is_id(comment["id"])
    assert is_time(comment["created_at"])
    assert (post, None, ben.id) == (comment["post_id"], comment["parent_id"], comment["author"]["id"])
    reply = await anna.comment(post, parent_id=comment["id"])
    assert comment["id"] == reply["parent_id"]
    assert {"items": [comment, reply], "next": None} == await anna.get(f"/posts/{post}/comments")
    assert 2 == (await anna.get(f"/posts/{post}"))["comment_count"]


async def test_a_reply_to_a_comment_of_another_post_is_rejected(clients: Clients) -> None:
    anna = await clients.user()
    post, other = await anna.create_post(), await anna.create_post()
    elsewhere = await anna.comment(other)
    for parent in (elsewhere["id"], NO_ID):
        answer = await anna.call("POST", f"/posts/{post}/comments", {"content": "x", "parent_id": parent})
        assert answer.status_code in (404, 422)
    assert 0 == (await anna.get(f"/posts/{post}"))["comment_count"]


async def test_comments_are_paged_oldest_first(clients: Clients) -> None:
    anna = await clients.user()
    post = await anna.create_post()
    made = [(await anna.comment(post))["id"] for _ in range(7)]
    for limit in (1, 3, 7, 50):
        assert made == [item["id"] async for item in anna.pages(f"/posts/{post}/comments", "after", limit=limit)]
    await anna.expect_error(422, "validation_failed", "GET", f"/posts/{post}/comments", params={"after": "garbage"})


async def test_concurrent_comments_are_all_stored_and_counted(clients: Clients) -> None:
    anna, *others = await clients.users(5)
    post = await anna.create_post()
    made = await asyncio.gather(*(other.comment(post) for other in others for _ in range(10)))
    listed = [item["id"] async for item in anna.pages(f"/posts/{post}/comments", "after", limit=15)]
    assert sorted(comment["id"] for comment in made) == sorted(listed)
    assert 40 == (await anna.get(f"/posts/{post}"))["comment_count"]
