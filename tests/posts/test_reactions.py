"""Reactions to posts and comments: exact counts, one notification for each user, whatever crashes in between."""

import asyncio
import random
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest
from bson import ObjectId

from service.common.emoji import MAX_EMOJIS
from service.common.errors import NotFound, Unavailable, ValidationFailed
from service.common.ids import new_id
from service.datastores.mongo import Mongo
from service.posts import reaction_state
from service.posts.models import Post
from service.posts.notification_outbox import BATCH_SIZE
from service.posts.pending import PENDING
from service.posts.reaction_state import Change, Subject
from service.posts.reaction_store import ReactionStore
from tests.conftest import Datastores
from tests.notifications.conftest import StartProcess
from tests.notifications.service_process import NOBODY, ServiceProcess
from tests.recorded_commands import recording

HEART = "❤️"


async def wait_until_none_pending(mongo: Mongo) -> None:
    async with asyncio.timeout(20):
        while await mongo.database["reactions"].count_documents({PENDING: {"$exists": True}}):
            await asyncio.sleep(0.02)


async def notified(process: ServiceProcess, user_id: str) -> list[tuple[Any, ...]]:
    """Return the type, sender, comment and emoji of each notification, the first one first."""
    page = await process.notifications.page(user_id, limit=100, before=None, unread=False)
    return [
        (item.type, item.data.sender and item.data.sender.id, item.data.comment_id, getattr(item.data, "emoji", None))
        for item in reversed(page.items)
    ]


async def stored_change(process: ServiceProcess, post: str, user: str, emoji: str = "👍", *, on: bool = True) -> None:
    """Store a reaction without enqueueing its notification, as a process that crashes in between does."""
    await process.reaction_store.change(Change(Subject(ObjectId(post)), ObjectId(user), emoji, on))


async def test_reactions_are_counted_and_shown_to_each_user_with_their_own(process: ServiceProcess) -> None:
    """Forms of one emoji are one reaction; adding twice and removing twice changes nothing."""
    author, reader = await process.add_user(), await process.add_user()
    post = await process.post(author)
    comment = await process.comment(author, post)
    for _ in range(2):
        reacted = await process.reactions.react_to_post(reader, post, "\u2764", on=True)
        assert ({HEART: 1}, [HEART]) == (reacted.reactions, reacted.my_reactions)
    await process.reactions.react_to_post(author, post, HEART, on=True)
    reacted = await process.reactions.react_to_post(reader, post, "👍", on=True)
    assert ({HEART: 2, "👍": 1}, [HEART, "👍"]) == (reacted.reactions, reacted.my_reactions)
    assert {"👍": 1} == (await process.reactions.react_to_comment(reader, post, comment, "👍", on=True)).reactions
    assert reacted == await process.posts.post(reader, post)
    assert [[HEART, "👍"], [HEART], []] == [
        (await process.posts.page(user, limit=10, before=None)).items[0].my_reactions
        for user in (reader, author, NOBODY)
    ]
    [listed] = (await process.posts.comments(reader, post, limit=10, after=0)).items
    assert ({"👍": 1}, ["👍"]) == (listed.reactions, listed.my_reactions)
    for _ in range(2):
        reacted = await process.reactions.react_to_post(reader, post, HEART, on=False)
        assert ({HEART: 1, "👍": 1}, ["👍"]) == (reacted.reactions, reacted.my_reactions)


async def test_only_existing_posts_and_comments_get_reactions(process: ServiceProcess) -> None:
    author = await process.add_user()
    post, other = await process.post(author), await process.post(author)
    comment = await process.comment(author, other)
    with pytest.raises(NotFound):
        await process.reactions.react_to_post(author, new_id(), "👍", on=True)
    for comment_id in (comment, new_id()):
        with pytest.raises(NotFound):
            await process.reactions.react_to_comment(author, post, comment_id, "👍", on=True)
    for on in (True, False):
        with pytest.raises(ValidationFailed):
            await process.reactions.react_to_post(author, post, "$set", on=on)


async def test_a_user_cannot_react_to_what_a_user_has_written_whom_they_block(process: ServiceProcess) -> None:
    """It does not exist for them, with the comments on it; the other may react to theirs, and they are not notified."""
    author, reader = await process.add_user(), await process.add_user()
    post, own = await process.post(author), await process.post(reader)
    comment = await process.comment(await process.add_user(), post)
    await process.blocks.add(reader, author)
    with pytest.raises(NotFound):
        await process.reactions.react_to_post(reader, post, "👍", on=True)
    with pytest.raises(NotFound):
        await process.reactions.react_to_comment(reader, post, comment, "👍", on=True)
    assert {"👍": 1} == (await process.reactions.react_to_post(author, own, "👍", on=True)).reactions
    await process.outbox.start()
    async with asyncio.timeout(20):
        while await process.reaction_store.pending(None, 1):
            await asyncio.sleep(0.02)
    assert [] == await notified(process, reader)


async def test_the_author_is_notified_of_each_user_once(mongo: Mongo, process: ServiceProcess) -> None:
    """Of the first reaction, though it is removed and others follow; for a post and each comment; not of their own."""
    await process.outbox.start()
    author, reader, third = [await process.add_user() for _ in range(3)]
    post = await process.post(author)
    comment = await process.comment(third, post)
    for on in (True, False, True):
        await process.reactions.react_to_post(reader, post, "👍", on=on)
        await process.reactions.react_to_post(reader, post, HEART, on=on)
        await process.reactions.react_to_post(author, post, HEART, on=on)
        await wait_until_none_pending(mongo)
    await process.reactions.react_to_comment(reader, post, comment, HEART, on=True)
    await process.reactions.react_to_comment(author, post, comment, HEART, on=True)
    await wait_until_none_pending(mongo)
    assert [("NEW_REACTION", reader, None, "👍")] == [each for each in await notified(process, author) if each[3]]
    expected = [("NEW_REACTION", user, comment, HEART) for user in (reader, author)]
    assert expected == await notified(process, third)


async def test_a_starting_process_recovers_reactions(mongo: Mongo, start_process: StartProcess) -> None:
    """Of a crashed one, once each although several do; not of those who have removed their reaction."""
    processes = [start_process() for _ in range(3)]
    author, *readers = [await processes[0].add_user() for _ in range(6)]
    post = await processes[0].post(author)
    for reader in readers:
        await stored_change(processes[0], post, reader)
    await stored_change(processes[0], post, readers[0], on=False)
    for process in processes:
        await process.outbox.start()
    await wait_until_none_pending(mongo)
    found = await notified(processes[0], author)
    assert sorted(readers[1:]) == sorted(each[1] for each in found)


@pytest.mark.parametrize("killed", ["before the sum", "during the sum"])
async def test_the_counts_are_healed_after_a_crash(
    mongo: Mongo, start_process: StartProcess, monkeypatch: pytest.MonkeyPatch, killed: str
) -> None:
    """The reaction was stored, and the sum of all was not; another process stores it."""
    crashed, process = start_process(), start_process()
    author, reader = await process.add_user(), await process.add_user()
    post = await process.post(author)
    await stored_change(crashed, post, author)
    store_totals = ReactionStore._store_totals

    async def fail(self: ReactionStore, states: Any, stored: Mapping[ObjectId, Any]) -> bool:
        if killed == "during the sum":
            # An older sum is not stored over a newer one.
            await store_totals(self, {}, stored)
        raise Unavailable

    with monkeypatch.context() as patch:
        patch.setattr(ReactionStore, "_store_totals", fail)
        with pytest.raises(Unavailable):
            await stored_change(crashed, post, reader)
    assert {"👍": 1} == (await process.posts.post(NOBODY, post)).reactions
    await process.outbox.start()
    await wait_until_none_pending(mongo)
    assert {"👍": 2} == (await process.posts.post(NOBODY, post)).reactions
    assert [reader] == [each[1] for each in await notified(process, author)]


async def test_concurrent_reactions_of_several_processes_are_counted_exactly(
    mongo: Mongo, start_process: StartProcess
) -> None:
    """Users add and remove at random on different processes, while marks are cleared."""
    processes = [start_process() for _ in range(3)]
    author = await processes[0].add_user()
    post = await processes[0].post(author)
    for process in processes:
        await process.outbox.start()
    users, emojis, choice = [new_id() for _ in range(60)], ["👍", HEART, "🎉"], random.Random(3)
    expected: dict[str, set[str]] = {user: set() for user in users}

    async def react(user: str, steps: list[tuple[ServiceProcess, str, bool]]) -> None:
        for process, emoji, on in steps:
            await process.reactions.react_to_post(user, post, emoji, on=on)
            (expected[user].add if on else expected[user].discard)(emoji)

    await asyncio.gather(
        *[
            react(
                user,
                [(choice.choice(processes), choice.choice(emojis), choice.random() < 0.7) for _ in range(4)],
            )
            for user in users
        ]
    )
    await wait_until_none_pending(mongo)
    counts = Counter(emoji for own in expected.values() for emoji in own)
    shown = [await process.posts.post(user, post) for process in processes for user in users[:5]]
    assert all(counts == post.reactions for post in shown)
    assert [expected[user] for user in users[:5]] == [set(post.my_reactions) for post in shown[:5]]
    senders = [each[1] for each in await notified(processes[0], author)]
    assert len(senders) == len(set(senders))
    assert {user for user in users if expected[user]} <= set(senders)


async def test_there_is_a_limit_of_different_emojis_and_of_reactions(
    process: ServiceProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One more user of the same emoji is not refused; of several that arrive together, only those beyond are."""
    author, reader = await process.add_user(), await process.add_user()
    post = await process.post(author)
    emojis = [chr(0x1F600 + number) for number in range(MAX_EMOJIS + 3)]
    results: list[Post | BaseException] = await asyncio.gather(
        *[process.reactions.react_to_post(author, post, emoji, on=True) for emoji in emojis], return_exceptions=True
    )
    assert [ValidationFailed] * 3 == [type(result) for result in results if isinstance(result, BaseException)]
    shown = await process.posts.post(author, post)
    assert MAX_EMOJIS == len(shown.reactions) == len(shown.my_reactions)
    with pytest.raises(ValidationFailed):
        await process.reactions.react_to_post(reader, post, "👍", on=True)
    await process.reactions.react_to_post(reader, post, shown.my_reactions[0], on=True)
    monkeypatch.setattr(reaction_state, "MAX_REACTIONS", MAX_EMOJIS + 1)
    with pytest.raises(ValidationFailed):
        await process.reactions.react_to_post(reader, post, shown.my_reactions[1], on=True)


async def test_many_likes_take_few_commands(datastores: Datastores) -> None:
    """Those that wait are stored together, and so are the notifications of the author."""
    async with recording(datastores) as (mongo, commands):
        process = ServiceProcess(mongo.database)
        await process.create_indexes()
        author = await process.add_user()
        post = await process.post(author)
        await process.outbox.start()
        await process.reactions.react_to_post(new_id(), post, "👍", on=True)
        await wait_until_none_pending(mongo)
        commands.recorded.clear()
        await asyncio.gather(*[process.reactions.react_to_post(new_id(), post, "👍", on=True) for _ in range(200)])
        await wait_until_none_pending(mongo)
        counts = Counter(commands.recorded)
        del counts["aggregate reactions"]  # of the wait above
        assert 4 >= counts["update posts"]
        assert 6 >= counts["find posts"]
        assert 60 >= sum(counts.values()), counts
        assert 4 + 200 // BATCH_SIZE >= counts["insert notifications"]
        assert {"👍": 201} == (await process.posts.post(NOBODY, post)).reactions
        await process.close()


async def test_a_page_takes_one_read_of_the_readers_reactions(datastores: Datastores) -> None:
    async with recording(datastores) as (mongo, commands):
        process = ServiceProcess(mongo.database)
        await process.create_indexes()
        author = await process.add_user()
        posts = [await process.post(author) for _ in range(20)]
        for post in posts[::2]:
            await process.reactions.react_to_post(author, post, "👍", on=True)
        commands.recorded.clear()
        page = await process.posts.page(author, limit=20, before=None)
        assert 1 == commands.recorded.count("find reactions")
        assert [[], ["👍"]] * 10 == [item.my_reactions for item in page.items]
        await process.close()


async def test_erasing_a_user_removes_their_reactions_only(mongo: Mongo, process: ServiceProcess) -> None:
    author, reader, third = [await process.add_user() for _ in range(3)]
    post = await process.post(author)
    for emoji in ("👍", HEART):
        await process.reactions.react_to_post(reader, post, emoji, on=True)
    await process.reactions.react_to_post(third, post, HEART, on=True)
    for _ in range(2):
        await process.reaction_store.erase(reader)
        assert {HEART: 1} == (await process.posts.post(reader, post)).reactions
    assert not [each async for each in mongo.database["reactions"].find() if reader in str(each)]
    assert [HEART] == (await process.posts.post(third, post)).my_reactions
