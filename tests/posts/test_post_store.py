"""The list of posts: newest first, whatever their age and distance."""

from datetime import timedelta
from typing import Any

import pytest
from bson import ObjectId

from service.common.errors import ValidationFailed
from service.common.ids import new_id
from service.common.times import now
from service.datastores.mongo import Mongo
from service.posts.comment_store import CommentStore
from service.posts.models import NewComment, NewPost
from service.posts.post_store import PostStore
from tests.notifications.service_process import NOBODY, ServiceProcess

AGES = [0, 0, 0, 30, 61, 61, 4000, 90_000, 40 * 86_400, 900 * 86_400, 900 * 86_400, 6000 * 86_400]
"""Seconds: some within the same millisecond, some years apart."""


async def test_posts_of_any_age_are_listed_newest_first(mongo: Mongo) -> None:
    """Pages of any size contain every post once, down to the oldest."""
    store, author, moment = PostStore(mongo.database), new_id(), now()
    await store.create_indexes()
    posts = [await store.insert(author, "Post", moment - timedelta(seconds=age)) for age in AGES]
    expected = sorted(posts, key=lambda post: (post["created_at"], post["_id"]), reverse=True)
    for limit in (1, 2, 5, 12, 13):
        seen: list[object] = []
        before = None
        while len(seen) <= len(posts) and (page := await store.latest(limit, before, moment)):
            assert len(page) <= limit
            seen += [post["_id"] for post in page]
            before = page[-1]["created_at"], page[-1]["_id"]
        assert [post["_id"] for post in expected] == seen


async def test_a_post_with_a_future_timestamp_is_listed(mongo: Mongo) -> None:
    """The clock of the process that stored it may be ahead."""
    store = PostStore(mongo.database)
    ahead = await store.insert(new_id(), "Post", now() + timedelta(seconds=20))
    assert [ahead["_id"]] == [post["_id"] for post in await store.latest(10, None, now())]


async def test_only_pages_before_the_last_have_a_cursor(process: ServiceProcess) -> None:
    """`next` is null on the last page, even if the page is full."""
    author = await process.add_user()
    posts = [(await process.posts.create(author, NewPost(content="Post"))).id for _ in range(4)][::-1]
    first = await process.posts.page(NOBODY, limit=2, before=None)
    assert posts[:2] == [item.id for item in first.items]
    assert first.next
    second = await process.posts.page(NOBODY, limit=2, before=first.next)
    assert (posts[2:], None) == ([item.id for item in second.items], second.next)


async def test_an_invalid_cursor_is_rejected(process: ServiceProcess) -> None:
    """It is not mistaken for the end of the list."""
    with pytest.raises(ValidationFailed) as caught:
        await process.posts.page(NOBODY, limit=2, before=new_id())
    assert "before" == caught.value.fields[0].field


async def test_erasing_an_authors_posts_keeps_those_with_comments_that_are_not_counted_yet(mongo: Mongo) -> None:
    """A comment is counted after it is stored; the process may have been killed in between."""
    posts = PostStore(mongo.database)
    comments = CommentStore(mongo.database, posts)
    author, reader = new_id(), new_id()
    bare, commented = [str((await posts.insert(author, "Post", now()))["_id"]) for _ in range(2)]
    await comments.append(reader, commented, NewComment(content="acknowledged"))
    await posts.erase([ObjectId(bare), ObjectId(commented)])
    assert await posts.post(bare) is None
    kept = await posts.post(commented)
    assert kept
    assert (kept["content"], kept["erased"]) == ("", True)
    assert len(await comments.after(commented, 0, 0, 10)) == 1


async def test_comment_that_is_stored_while_its_post_is_deleted_restores_it_empty(
    mongo: Mongo, process: ServiceProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The comment is acknowledged, so it can be read; what the author of the post wrote cannot."""
    author, reader = [await process.add_user() for _ in range(2)]
    post = (await process.posts.create(author, NewPost(content="Post"))).id
    append = process.comment_store.append

    async def append_late(*args: Any) -> Any:
        await process.post_store.erase([ObjectId(post)])
        assert await process.post_store.post(post) is None
        return await append(*args)

    monkeypatch.setattr(process.comment_store, "append", append_late)
    await process.posts.comment(reader, post, NewComment(content="acknowledged"))
    restored = await process.posts.post(NOBODY, post)
    assert (restored.content, restored.comment_count) == ("", 1)
    assert [comment.content for comment in (await process.posts.comments(NOBODY, post, limit=10, after=0)).items] == [
        "acknowledged"
    ]
    assert (await process.posts.page(NOBODY, limit=10, before=None)).items == [restored]


async def test_long_posts_come_in_pages_of_fewer_bytes(
    process: ServiceProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One at least, however long; and the next page goes on from there."""
    author = await process.add_user()
    posts = [(await process.posts.create(author, NewPost(content="x" * size))).id for size in (500, 4000, 600, 700)]
    monkeypatch.setattr("service.common.page_size.MAX_PAGE_BYTES", 2000)
    pages: list[list[str]] = []
    cursor = None
    while True:
        page = await process.posts.page(NOBODY, limit=10, before=cursor)
        pages.append([item.id for item in page.items])
        cursor = page.next
        if cursor is None:
            break
    assert [[posts[3], posts[2]], [posts[1]], [posts[0]]] == pages
