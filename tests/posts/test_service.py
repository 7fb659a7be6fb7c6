"""Posts and comments: storing, counting and listing."""

import asyncio

import pytest
from pydantic import ValidationError

from service.common.errors import NonceReused, NotFound, Unavailable, ValidationFailed
from service.common.ids import new_id
from service.datastores.mongo import Mongo
from service.posts import busy_posts
from service.posts.models import Comment, NewComment, NewPost
from tests.conftest import Datastores
from tests.notifications.conftest import StartProcess
from tests.notifications.service_process import NOBODY, ServiceProcess
from tests.recorded_commands import recording


async def contents(process: ServiceProcess, post_id: str, **query: int) -> tuple[list[str], int | None]:
    page = await process.posts.comments(NOBODY, post_id, **{"limit": 30, "after": 0, **query})
    return [item.content for item in page.items], page.next


async def test_a_post_is_stored_with_its_author(process: ServiceProcess) -> None:
    """Reading it returns the same post as publishing it."""
    author = await process.add_user("Nguyễn Văn An")
    made = await process.posts.create(author, NewPost(content="  Xin chào  "))
    assert "Xin chào" == made.content
    assert (author, "Nguyễn Văn An") == (made.author.id, made.author.display_name)
    assert 0 == made.comment_count
    assert made == await process.posts.post(NOBODY, made.id)
    with pytest.raises(NotFound):
        await process.posts.post(NOBODY, new_id())


@pytest.mark.parametrize("content", ["", "  \n ", "x" * 4001, "a\0b", "\ud800", 7, None])
def test_invalid_content_is_rejected(content: object) -> None:
    """Empty, too long, with a NUL, with half of a surrogate pair, or not a string."""
    for model in (NewPost, NewComment):
        with pytest.raises(ValidationError):
            model(content=content)


def test_content_length_is_measured_after_trimming() -> None:
    """4,000 characters, whatever their size in bytes, surrounded by whitespace."""
    assert "👍" * 4000 == NewPost(content=" " + "👍" * 4000 + "\n").content


async def test_comments_are_paged_oldest_first(process: ServiceProcess) -> None:
    """New comments appear at the end."""
    author = await process.add_user()
    post, other = await process.post(author), await process.post(author)
    for number in range(1, 6):
        await process.comment(author, post, content=f"Comment {number}")
    await process.comment(author, other, content="Elsewhere")
    assert (["Comment 1", "Comment 2"], 2) == await contents(process, post, limit=2)
    assert (["Comment 3", "Comment 4"], 4) == await contents(process, post, limit=2, after=2)
    assert (["Comment 5"], None) == await contents(process, post, limit=2, after=4)
    assert ([], None) == await contents(process, post, after=5)
    assert (5, 1) == (
        (await process.posts.post(NOBODY, post)).comment_count,
        (await process.posts.post(NOBODY, other)).comment_count,
    )
    with pytest.raises(NotFound):
        await contents(process, new_id())


async def test_comments_and_reactions_take_turns_on_a_busy_post(
    process: ServiceProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One at a time here, while nobody may wait and somebody comments elsewhere."""
    for name, value in (("MIN_TURN", 1), ("MAX_WAITING", 0), ("ALONE_AFTER", 3600.0)):
        monkeypatch.setattr(busy_posts, name, value)
    author = await process.add_user()
    busy, other = [await process.post(author) for _ in range(2)]
    comment = await process.comment(author, busy)
    for first, second in (
        (process.comment(author, busy), process.reactions.react_to_post(author, busy, "👍", on=True)),
        (
            process.reactions.react_to_comment(author, busy, comment, "👍", on=True),
            process.reactions.react_to_post(author, busy, "👍", on=True),
        ),
    ):
        await process.comment(author, other)
        _, refused = await asyncio.gather(first, second, return_exceptions=True)
        assert isinstance(refused, Unavailable)


async def test_concurrent_comments_share_the_reads_of_their_context(
    datastores: Datastores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One read each of posts, parents, authors and blocks. An invalid comment is refused alone."""
    # All in one turn.
    monkeypatch.setattr(busy_posts, "MIN_TURN", 32)
    async with recording(datastores) as (mongo, commands):
        process = ServiceProcess(mongo.database)
        await process.create_indexes()
        users = [await process.add_user() for _ in range(4)]
        posts = [await process.post(users[0]) for _ in range(2)]
        parents = [await process.comment(users[0], post) for post in posts]
        commands.recorded.clear()
        results = await asyncio.gather(
            *[process.comment(user, posts[n % 2], parents[n % 2]) for user in users for n in range(8)],
            process.comment(users[0], new_id()),
            process.comment(users[0], posts[0], parents[1]),
            return_exceptions=True,
        )
        assert [NotFound, ValidationFailed] == [type(result) for result in results if not isinstance(result, str)]
        assert ["find blocks", "find comments", "find posts", "find users"] == sorted(commands.recorded[:4])
        # The recipients' blocks are another read.
        assert {1} == {commands.recorded.count(f"find {name}") for name in ("comments", "posts", "users")}
        # One for each post: both are busy.
        assert 2 == commands.recorded.count("insert comments")
        await process.close()


async def test_a_comment_on_an_unknown_post_or_parent_is_rejected(mongo: Mongo, process: ServiceProcess) -> None:
    """The parent must be a comment of the same post. Nothing is stored."""
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
    assert 0 == (await process.posts.post(NOBODY, post)).comment_count


async def test_a_repeated_nonce_returns_the_same_comment(process: ServiceProcess) -> None:
    """It is counted once."""
    author, post = await process.add_user(), ""
    post = await process.post(author)
    new = NewComment(content="Once", nonce="n1")
    first, created = await process.posts.comment(author, post, new)
    assert created
    assert (first, False) == await process.posts.comment(author, post, new)
    assert 1 == (await process.posts.post(NOBODY, post)).comment_count
    assert (["Once"], None) == await contents(process, post)


async def test_a_reply_can_be_sent_again_though_its_parent_was_deleted(process: ServiceProcess) -> None:
    author = await process.add_user()
    post = await process.post(author)
    parent = await process.comment(author, post)
    new = NewComment(content="Once", nonce="n1", parent_id=parent)
    reply, _ = await process.posts.comment(author, post, new)
    await process.deletions.delete_comment(author, post, parent)
    assert (reply, False) == await process.posts.comment(author, post, new)
    with pytest.raises(NonceReused):
        await process.posts.comment(author, post, new.model_copy(update={"content": "Twice"}))
    for nonce in ("n2", None):
        with pytest.raises(ValidationFailed):
            await process.posts.comment(author, post, new.model_copy(update={"nonce": nonce}))


async def test_concurrent_retries_with_one_nonce_store_one_comment(start_process: StartProcess) -> None:
    """On several processes."""
    processes = [start_process() for _ in range(3)]
    author = await processes[0].add_user()
    post = await processes[0].post(author)
    new = NewComment(content="Once", nonce="n1")
    made: list[tuple[Comment, bool]] = await asyncio.gather(
        *[process.posts.comment(author, post, new) for process in processes for _ in range(5)]
    )
    assert 1 == len({comment.id for comment, _ in made})
    assert 1 == [created for _, created in made].count(True)
    assert 1 == (await processes[0].posts.post(NOBODY, post)).comment_count


async def test_a_nonce_reused_for_another_comment_is_rejected(process: ServiceProcess) -> None:
    """With other content or another parent."""
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
    assert 2 == (await process.posts.post(NOBODY, post)).comment_count


async def test_a_nonce_is_scoped_to_author_and_post(process: ServiceProcess) -> None:
    """Without a nonce every comment is new."""
    author, other = await process.add_user(), await process.add_user()
    first, second = await process.post(author), await process.post(author)
    new = NewComment(content="Same", nonce="n1")
    for user, post in ((author, first), (other, first), (author, second)):
        assert (await process.posts.comment(user, post, new))[1]
    for _ in range(2):
        assert (await process.posts.comment(author, first, NewComment(content="Same")))[1]
    assert 4 == (await process.posts.post(NOBODY, first)).comment_count


async def test_concurrent_comments_of_several_processes_are_all_counted(start_process: StartProcess) -> None:
    """All processes list them in the same order."""
    processes = [start_process() for _ in range(3)]
    author = await processes[0].add_user()
    post = await processes[0].post(author)
    made = await asyncio.gather(*[process.comment(author, post) for process in processes for _ in range(30)])
    assert 90 == (await processes[0].posts.post(NOBODY, post)).comment_count
    pages = [await process.posts.comments(NOBODY, post, limit=100, after=0) for process in processes]
    assert set(made) == {item.id for item in pages[0].items}
    assert pages[0] == pages[1] == pages[2]


async def test_posts_and_comments_of_blocked_users_do_not_exist_for_the_reader(process: ServiceProcess) -> None:
    """Pages are as long as without them, and others see everything."""
    ann, binh, chi = [await process.add_user() for _ in range(3)]
    await process.blocks.add(ann, binh)
    posts = [await process.post(author) for author in (chi, binh, chi, binh, binh, chi)]
    page = await process.posts.page(ann, limit=2, before=None)
    assert [posts[5], posts[2]] == [post.id for post in page.items]
    rest = await process.posts.page(ann, limit=2, before=page.next)
    assert ([posts[0]], None) == ([post.id for post in rest.items], rest.next)
    for reader in (binh, chi):
        everything = await process.posts.page(reader, limit=10, before=None)
        assert posts[::-1] == [post.id for post in everything.items]
    with pytest.raises(NotFound):
        await process.posts.post(ann, posts[1])
    with pytest.raises(NotFound):
        await process.posts.comments(ann, posts[1], limit=10, after=0)


async def test_pages_of_comments_are_full_although_many_are_of_a_blocked_user(process: ServiceProcess) -> None:
    ann, binh, chi = [await process.add_user() for _ in range(3)]
    post = await process.post(ann)
    for number in range(30):
        await process.comment(chi if number % 10 == 9 else binh, post, content=str(number))
    await process.blocks.add(ann, binh)
    page = await process.posts.comments(ann, post, limit=2, after=0)
    assert ["9", "19"] == [comment.content for comment in page.items]
    assert page.next
    rest = await process.posts.comments(ann, post, limit=2, after=page.next)
    assert (["29"], None) == ([comment.content for comment in rest.items], rest.next)
    await process.blocks.remove(ann, binh)
    assert 30 == len((await process.posts.comments(ann, post, limit=100, after=0)).items)
