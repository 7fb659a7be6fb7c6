"""Posts and comments: what is stored, counted and listed."""

import asyncio
from collections.abc import Callable

import pytest
from pydantic import ValidationError

from service.common.errors import NonceReused, NotFound, ValidationFailed
from service.datastores.mongo import Mongo
from service.posts.models import Comment, NewComment, NewPost
from tests.conftest import Datastores
from tests.notifications.service_process import ServiceProcess, new_id
from tests.recorded_commands import overheard


async def contents(process: ServiceProcess, post_id: str, **query: int) -> tuple[list[str], int | None]:
    page = await process.posts.comments(post_id, **{"limit": 30, "after": 0, **query})
    return [item.content for item in page.items], page.next


async def test_post_is_stored_with_its_author(process: ServiceProcess) -> None:
    """What is answered is what is read again."""
    author = await process.add_user("Nguyễn Văn An")
    made = await process.posts.create(author, NewPost(content="  Xin chào  "))
    assert "Xin chào" == made.content
    assert (author, "Nguyễn Văn An") == (made.author.id, made.author.display_name)
    assert 0 == made.comment_count
    assert made == await process.posts.post(made.id)
    with pytest.raises(NotFound):
        await process.posts.post(new_id())


@pytest.mark.parametrize("content", ["", "  \n ", "x" * 4001, "a\0b", "\ud800", 7, None])
def test_content_that_is_none_is_refused(content: object) -> None:
    """Nothing, too much, NUL, half a surrogate pair, or no text at all."""
    for model in (NewPost, NewComment):
        with pytest.raises(ValidationError):
            model(content=content)


def test_content_is_counted_after_trimming() -> None:
    """Four thousand characters, of whatever size, and blanks around them."""
    assert "👍" * 4000 == NewPost(content=" " + "👍" * 4000 + "\n").content


async def test_comments_are_paged_oldest_first(process: ServiceProcess) -> None:
    """`next` leads on to the newest, and a new comment appears at the end."""
    author = await process.add_user()
    post, other = await process.post(author), await process.post(author)
    for number in range(1, 6):
        await process.comment(author, post, content=f"Comment {number}")
    await process.comment(author, other, content="Elsewhere")
    assert (["Comment 1", "Comment 2"], 2) == await contents(process, post, limit=2)
    assert (["Comment 3", "Comment 4"], 4) == await contents(process, post, limit=2, after=2)
    assert (["Comment 5"], None) == await contents(process, post, limit=2, after=4)
    assert ([], None) == await contents(process, post, after=5)
    assert (5, 1) == ((await process.posts.post(post)).comment_count, (await process.posts.post(other)).comment_count)
    with pytest.raises(NotFound):
        await contents(process, new_id())


async def test_comments_that_come_together_are_read_for_together(datastores: Datastores) -> None:
    """Their posts, their parents and their authors are one read each, and one that is refused is refused alone."""
    async with overheard(datastores) as (mongo, commands):
        process = ServiceProcess(mongo.database)
        await process.create_indexes()
        people = [await process.add_user() for _ in range(4)]
        posts = [await process.post(people[0]) for _ in range(2)]
        parents = [await process.comment(people[0], post) for post in posts]
        commands.seen.clear()
        made = await asyncio.gather(
            *[process.comment(person, posts[n % 2], parents[n % 2]) for person in people for n in range(8)],
            process.comment(people[0], new_id()),
            process.comment(people[0], posts[0], parents[1]),
            return_exceptions=True,
        )
        assert [NotFound, ValidationFailed] == [type(one) for one in made if not isinstance(one, str)]
        assert ["find comments", "find posts", "find users"] == sorted(commands.seen[:3])
        assert "insert comments" == commands.seen[3]
        await process.close()


async def test_comment_on_what_is_not_there_is_refused(mongo: Mongo, process: ServiceProcess) -> None:
    """No post, or a parent that is no comment of this post: an error, and nothing changes."""
    author = await process.add_user()
    post, other = await process.post(author), await process.post(author)
    parent = await process.comment(author, other)
    with pytest.raises(NotFound):
        await process.posts.comment(author, new_id(), NewComment(content="Lost"))
    for parent_id in (parent, new_id()):
        with pytest.raises(ValidationFailed) as caught:
            await process.posts.comment(author, post, NewComment(content="Lost", parent_id=parent_id))
        assert "parent_id" == caught.value.fields[0].field
    assert 1 == await mongo.database["comments"].count_documents({})
    assert 0 == (await process.posts.post(post)).comment_count


async def test_repeated_nonce_is_the_same_comment(process: ServiceProcess) -> None:
    """Sent again, the first comment comes back, and is counted once."""
    author, post = await process.add_user(), ""
    post = await process.post(author)
    new = NewComment(content="Once", nonce="n1")
    first, is_new = await process.posts.comment(author, post, new)
    assert is_new
    assert (first, False) == await process.posts.comment(author, post, new)
    assert 1 == (await process.posts.post(post)).comment_count
    assert (["Once"], None) == await contents(process, post)


async def test_nonce_sent_many_times_at_once_is_one_comment(start_process: Callable[[], ServiceProcess]) -> None:
    """Retries that race each other, on several processes, agree on one comment."""
    processes = [start_process() for _ in range(3)]
    author = await processes[0].add_user()
    post = await processes[0].post(author)
    new = NewComment(content="Once", nonce="n1")
    made: list[tuple[Comment, bool]] = await asyncio.gather(
        *[process.posts.comment(author, post, new) for process in processes for _ in range(5)]
    )
    assert 1 == len({comment.id for comment, _ in made})
    assert 1 == [is_new for _, is_new in made].count(True)
    assert 1 == (await processes[0].posts.post(post)).comment_count


async def test_nonce_of_something_else_is_refused(process: ServiceProcess) -> None:
    """The same nonce with other content, or another parent, is a mistake of the sender's."""
    author = await process.add_user()
    post = await process.post(author)
    parent = await process.comment(author, post)
    await process.posts.comment(author, post, NewComment(content="Once", nonce="n1"))
    for new in (
        NewComment(content="Twice", nonce="n1"),
        NewComment(content="Once", nonce="n1", parent_id=parent),
    ):
        with pytest.raises(NonceReused):
            await process.posts.comment(author, post, new)
    assert 2 == (await process.posts.post(post)).comment_count


async def test_nonce_counts_for_one_author_and_post(process: ServiceProcess) -> None:
    """Others, and oneself elsewhere, may use the same one; without one every comment is its own."""
    author, other = await process.add_user(), await process.add_user()
    first, second = await process.post(author), await process.post(author)
    new = NewComment(content="Same", nonce="n1")
    for person, post in ((author, first), (other, first), (author, second)):
        assert (await process.posts.comment(person, post, new))[1]
    for _ in range(2):
        assert (await process.posts.comment(author, first, NewComment(content="Same")))[1]
    assert 4 == (await process.posts.post(first)).comment_count


async def test_count_is_right_under_comments_from_many_processes(start_process: Callable[[], ServiceProcess]) -> None:
    """Every comment is counted once, and every reader sees them in the same order."""
    processes = [start_process() for _ in range(3)]
    author = await processes[0].add_user()
    post = await processes[0].post(author)
    made = await asyncio.gather(*[process.comment(author, post) for process in processes for _ in range(30)])
    assert 90 == (await processes[0].posts.post(post)).comment_count
    pages = [await process.posts.comments(post, limit=100, after=0) for process in processes]
    assert set(made) == {item.id for item in pages[0].items}
    assert pages[0] == pages[1] == pages[2]
