"""Deleting posts and comments: counts, tombstones, what belongs to them, races, and crashes between all steps."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from bson import ObjectId

from service.common.errors import Forbidden, NotFound, Unavailable, ValidationFailed
from service.datastores.mongo import Mongo
from service.posts.deletion_worker import BATCH_SIZE
from service.posts.models import NewComment
from tests.notifications.conftest import StartProcess
from tests.notifications.service_process import NOBODY, ServiceProcess


async def listed(process: ServiceProcess, post_id: str) -> list[tuple[str, bool]]:
    page = await process.posts.comments(NOBODY, post_id, limit=100, after=0)
    return [(item.content, item.deleted) for item in page.items]


async def count(process: ServiceProcess, post_id: str) -> int:
    return (await process.posts.post(NOBODY, post_id)).comment_count


async def heard(process: ServiceProcess, *users: str) -> list[tuple[int, int]]:
    """Return how many notifications each user has, and how many of them are unread."""
    pages = [await process.notifications.page(user, limit=100, before=None, unread=False) for user in users]
    return [
        (len(page.items), await process.notifications.unread_count(user))
        for page, user in zip(pages, users, strict=True)
    ]


async def complete(process: ServiceProcess) -> None:
    """Do what is due in the background, until nothing is left."""
    await process.complete_outbox()
    await process.deletion_worker.recover()


async def test_a_deleted_comment_is_gone_and_no_longer_counts(process: ServiceProcess) -> None:
    """Its notifications and reactions go, too. Numbers stay, so pages go on where they were."""
    author, ann, binh = [await process.add_user() for _ in range(3)]
    post = await process.post(author)
    first = await process.comment(ann, post, content=f"1 @{await process.username(binh)}")
    await process.comment(ann, post, content="2")
    await process.reactions.react_to_comment(author, post, first, "👍", on=True)
    await complete(process)
    assert [(2, 2), (1, 1), (1, 1)] == await heard(process, author, ann, binh)
    for _ in range(2):
        await process.deletions.delete_comment(ann, post, first)
    assert 1 == await count(process, post)
    assert [("2", False)] == await listed(process, post)
    await complete(process)
    assert [(1, 1), (0, 0), (0, 0)] == await heard(process, author, ann, binh)
    assert 1 == await count(process, post)
    assert [] == await process.comment_store.deleted_before((await process.posts.post(NOBODY, post)).created_at, 10)
    page = await process.posts.comments(NOBODY, post, limit=1, after=0)
    assert (["2"], None) == ([item.content for item in page.items], page.next)
    assert {} == await process.reaction_store.own(author, [ObjectId(first)])
    await process.comment(ann, post, content="3")
    assert 2 == await count(process, post)


async def test_a_deleted_comment_stays_as_a_tombstone_while_others_reply_to_it(process: ServiceProcess) -> None:
    """It goes with the last of them, and takes the tombstones above it along."""
    author = await process.add_user()
    post = await process.post(author)
    top = await process.comment(author, post, content="top")
    middle = await process.comment(author, post, top, "middle")
    leaves = [await process.comment(author, post, middle, f"leaf {number}") for number in range(2)]
    for comment in (top, middle):
        await process.deletions.delete_comment(author, post, comment)
    assert [("", True), ("", True), ("leaf 0", False), ("leaf 1", False)] == await listed(process, post)
    assert 2 == await count(process, post)
    with pytest.raises(ValidationFailed):
        await process.comment(author, post, middle)
    await process.deletions.delete_comment(author, post, leaves[0])
    await complete(process)
    assert [("", True), ("", True), ("leaf 1", False)] == await listed(process, post)
    await process.deletions.delete_comment(author, post, leaves[1])
    await complete(process)
    assert ([], 0) == (await listed(process, post), await count(process, post))


async def test_a_reply_that_races_with_the_deletion_of_its_parent_gets_a_tombstone(process: ServiceProcess) -> None:
    """It was checked before the deletion, and is stored after it."""
    author = await process.add_user()
    post = await process.post(author)
    parent = await process.comment(author, post, content="parent")
    context = await process.contexts.load(author, post, parent)
    await process.deletions.delete_comment(author, post, parent)
    await process.comment_store.append(author, post, NewComment(content="reply", parent_id=parent))
    assert context.author.id == author
    await complete(process)
    assert [("", True), ("reply", False)] == await listed(process, post)
    assert 1 == await count(process, post)


async def test_a_deleted_post_takes_everything_with_it(mongo: Mongo, process: ServiceProcess) -> None:
    """In batches; also a comment, and its notifications, that is stored just after it."""
    author, ann = await process.add_user(), await process.add_user()
    post = await process.post(author, f"@{await process.username(ann)}")
    parent = await process.comment(ann, post)
    await asyncio.gather(*[process.comment(author, post, parent) for _ in range(BATCH_SIZE)])
    await process.reactions.react_to_post(ann, post, "👍", on=True)
    await process.reactions.react_to_comment(author, post, parent, "👍", on=True)
    await complete(process)
    counts = [await process.notifications.unread_count(user) for user in (author, ann)]
    assert [1 + 1, BATCH_SIZE + 2] == counts, "one comment and one reaction; the replies, a mention and a reaction"
    await process.deletions.delete_post(author, post)
    await process.comment_store.append(ann, post, NewComment(content="late", parent_id=parent))
    with pytest.raises(NotFound):
        await listed(process, post)
    assert [] == (await process.posts.page(NOBODY, limit=10, before=None)).items
    await complete(process)
    assert [(0, 0), (0, 0)] == await heard(process, author, ann)
    for collection in ("posts", "comments", "reactions"):
        assert 0 == await mongo.database[collection].count_documents({}), collection


async def test_a_deleted_post_does_not_come_back(mongo: Mongo, start_process: StartProcess) -> None:
    """With a comment that another process had not counted yet when everything was gone."""
    process, other = start_process(), start_process()
    author = await process.add_user()
    post = await process.post(author)
    await process.stored_comment(author, post)
    late = await process.comment_notices.pending(None, 1)
    await other.deletions.delete_post(author, post)
    await complete(other)
    await process.comment_notices.complete(late)
    assert 0 == await mongo.database["posts"].count_documents({})


async def test_concurrent_deletions_of_one_comment_count_once(start_process: StartProcess) -> None:
    """By several processes, and in the background at the same time."""
    processes = [start_process() for _ in range(3)]
    author = await processes[0].add_user()
    post = await processes[0].post(author)
    comments = [await processes[0].comment(author, post, content=str(number)) for number in range(4)]
    await asyncio.gather(
        *[process.deletions.delete_comment(author, post, comment) for process in processes for comment in comments[:3]],
        *[process.deletion_worker.recover() for process in processes],
    )
    await asyncio.gather(*map(complete, processes))
    assert (1, [("3", False)]) == (await count(processes[0], post), await listed(processes[0], post))


async def test_a_deletion_that_another_process_completes_while_it_waits_counts_once(
    start_process: StartProcess,
) -> None:
    """The queue has the comment as it was, with the mark that it is to be counted."""
    process, other = start_process(), start_process()
    author = await process.add_user()
    post = await process.post(author)
    comments = [await process.comment(author, post) for _ in range(2)]
    await process.deletions.delete_comment(author, post, comments[0])
    await complete(other)
    await process.deletion_worker._delete_queued()
    assert 1 == await count(process, post)


async def test_moderators_do_not_delete_what_a_deleted_user_has_left(process: ServiceProcess) -> None:
    """It is empty, and stays for the comments of others."""
    author, judge = await process.add_user(), await process.add_user()
    post = await process.post(author)
    comment = await process.comment(author, post)
    await process.comment(judge, post, comment, "reply")
    [stored] = await process.comment_store.with_deleted([(ObjectId(post), ObjectId(comment))])
    await process.comment_store.erase([stored], {})
    await process.post_store.erase([ObjectId(post)])

    async def may_delete() -> bool:
        pytest.fail("Asking writes to the log that it is deleted.")

    with pytest.raises(Forbidden):
        await process.deletions.delete_post(judge, post, may_delete)
    with pytest.raises(Forbidden):
        await process.deletions.delete_comment(judge, post, comment, may_delete)
    assert [("", False), ("reply", False)] == await listed(process, post)


STEPS = [
    ("post_store", "count_deletion"),
    ("comment_store", "set_counted"),
    ("comment_store", "set_tombstone"),
    ("deletion", "delete"),
    ("reaction_store", "delete"),
    ("post_store", "forget_deletion"),
    ("comment_store", "finish_deletion"),
]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", STEPS, ids=lambda step: step[1])
async def test_a_crash_at_any_step_leaves_no_half_deleted_comment(
    start_process: StartProcess, monkeypatch: pytest.MonkeyPatch, step: tuple[str, str], when: str
) -> None:
    """Another process completes the deletion, whichever step was the last one."""
    process = start_process()
    author, ann = await process.add_user(), await process.add_user()
    post = await process.post(author)
    parent = await process.comment(ann, post, content="parent")
    reply = await process.comment(ann, post, parent, "reply")
    await process.reactions.react_to_comment(author, post, reply, "👍", on=True)
    await complete(process)
    await process.deletions.delete_comment(ann, post, parent)
    crash_at(monkeypatch, process, *step, when)
    await process.deletions.delete_comment(ann, post, reply)
    await process.deletion_worker.recover()
    monkeypatch.undo()
    other = start_process()
    await complete(other)
    assert ([], 0) == (await listed(other, post), await count(other, post))
    assert [(0, 0), (0, 0)] == await heard(other, author, ann)
    assert {} == await other.reaction_store.own(author, [ObjectId(reply)])


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    "step",
    [("deletion", "delete"), ("reaction_store", "delete"), ("comment_store", "remove"), ("post_store", "remove")],
    ids=lambda step: step[1],
)
async def test_a_crash_at_any_step_leaves_nothing_of_a_deleted_post(
    mongo: Mongo, start_process: StartProcess, monkeypatch: pytest.MonkeyPatch, step: tuple[str, str], when: str
) -> None:
    process = start_process()
    author, ann = await process.add_user(), await process.add_user()
    post = await process.post(author)
    comment = await process.comment(ann, post)
    await process.comment(author, post, comment)
    await process.reactions.react_to_post(ann, post, "👍", on=True)
    await complete(process)
    await process.deletions.delete_post(author, post)
    crash_at(monkeypatch, process, *step, when)
    await process.deletion_worker.recover()
    monkeypatch.undo()
    other = start_process()
    await complete(other)
    assert [(0, 0), (0, 0)] == await heard(other, author, ann)
    for collection in ("posts", "comments", "reactions"):
        assert 0 == await mongo.database[collection].count_documents({}), collection


def crash_at(monkeypatch: pytest.MonkeyPatch, process: ServiceProcess, owner: str, method: str, when: str) -> None:
    """Let every call of this method fail from now on, before or after it has done its work; none of it goes on then."""
    original: Callable[..., Awaitable[Any]] = getattr(getattr(process, owner), method)

    async def crash(*args: Any) -> None:
        if when == "after":
            await original(*args)
        raise Unavailable

    monkeypatch.setattr(getattr(process, owner), method, crash)
