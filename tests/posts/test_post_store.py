"""The list of posts: newest first, however long ago and however close together they were made."""

from datetime import timedelta

import pytest

from service.common.errors import ValidationFailed
from service.common.times import now
from service.datastores.mongo import Mongo
from service.posts.models import NewPost
from service.posts.post_store import PostStore
from tests.notifications.service_process import ServiceProcess, new_id

AGES = [0, 0, 0, 30, 61, 61, 4000, 90_000, 40 * 86_400, 900 * 86_400, 900 * 86_400, 6000 * 86_400]
"""Seconds: some within a millisecond of each other, some years apart."""


async def test_posts_are_listed_newest_first_whatever_their_age(mongo: Mongo) -> None:
    """Page after page, each post comes once, in one order, to the very oldest."""
    store, author, moment = PostStore(mongo.database), new_id(), now()
    await store.create_indexes()
    made = [await store.insert(author, "Post", moment - timedelta(seconds=age)) for age in AGES]
    expected = sorted(made, key=lambda post: (post["created_at"], post["_id"]), reverse=True)
    for limit in (1, 2, 5, 12, 13):
        seen: list[object] = []
        before = None
        while len(seen) <= len(made) and (page := await store.latest(limit, before, moment)):
            assert len(page) <= limit
            seen += [post["_id"] for post in page]
            before = page[-1]
        assert [post["_id"] for post in expected] == seen


async def test_post_of_a_process_whose_clock_is_ahead_is_listed(mongo: Mongo) -> None:
    """A clock that differs must not hide what is stored."""
    store = PostStore(mongo.database)
    ahead = await store.insert(new_id(), "Post", now() + timedelta(seconds=20))
    assert [ahead["_id"]] == [post["_id"] for post in await store.latest(10, None, now())]


async def test_page_has_a_cursor_only_where_more_follows(process: ServiceProcess) -> None:
    """`next` is null on the last page, also where it is full."""
    author = await process.add_user()
    made = [(await process.posts.create(author, NewPost(content="Post"))).id for _ in range(4)][::-1]
    first = await process.posts.page(limit=2, before=None)
    assert (made[:2], made[1]) == ([item.id for item in first.items], first.next)
    second = await process.posts.page(limit=2, before=first.next)
    assert (made[2:], None) == ([item.id for item in second.items], second.next)


async def test_cursor_of_no_page_is_refused(process: ServiceProcess) -> None:
    """An id that is no post's is not quietly taken for the end."""
    with pytest.raises(ValidationFailed) as caught:
        await process.posts.page(limit=2, before=new_id())
    assert "before" == caught.value.fields[0].field
