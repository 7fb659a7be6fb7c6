"""Who is notified of a post or comment."""

import asyncio
from itertools import count

from bson import ObjectId

from service.accounts.block_store import BlockStore
from service.accounts.users import UserStore
from service.common.mentions import mentions_in
from service.common.profiles import Profile
from service.datastores.mongo import Mongo
from service.notifications.models import PostRequest
from service.posts.comment_caches import CommentCaches
from service.posts.comment_context import CommentContext
from service.posts.comment_notices import comment_notice
from service.posts.comment_store import CommentStore
from service.posts.mute_store import MuteStore
from service.posts.notice import Notice
from service.posts.post_store import PostStore
from service.posts.recipients import RecipientSelector, strongest
from service.realtime.bus import LocalBus
from tests.conftest import Datastores
from tests.recorded_commands import recording

A, B, C, D = [ObjectId() for _ in range(4)]
names = count(1)


def types(
    sender: ObjectId, post: ObjectId | None, parent: ObjectId | None, *mentioned: ObjectId
) -> dict[ObjectId, str]:
    context = CommentContext(Profile(id=str(sender), username="", display_name=""), post, parent)
    candidates = comment_notice(ObjectId(), ObjectId(), "Aye", context).candidates
    return dict(strongest(sender, [*candidates, *((user_id, "NEW_MENTION") for user_id in mentioned)]))


def test_a_reply_takes_precedence_and_authors_are_not_notified_of_their_own_comments() -> None:
    assert {B: "NEW_COMMENT"} == types(A, B, None)
    assert {} == types(A, A, None)
    assert {B: "NEW_COMMENT", C: "NEW_REPLY"} == types(A, B, C)
    assert {B: "NEW_REPLY"} == types(A, B, B)
    assert {C: "NEW_REPLY"} == types(A, A, C)
    assert {B: "NEW_COMMENT"} == types(A, B, A)
    assert {} == types(A, A, A)
    assert {} == types(A, None, None)


def test_a_mention_comes_behind_a_reply_and_before_a_comment() -> None:
    assert {B: "NEW_MENTION"} == types(A, B, None, B)
    assert {B: "NEW_REPLY"} == types(A, B, B, B)
    assert {B: "NEW_COMMENT", C: "NEW_REPLY", D: "NEW_MENTION"} == types(A, B, C, A, C, D)


def selector_of(mongo: Mongo) -> RecipientSelector:
    database = mongo.database
    posts, users = PostStore(database), UserStore(database)
    caches = CommentCaches(
        LocalBus(), posts, CommentStore(database, posts), users, BlockStore(database), MuteStore(database)
    )
    return RecipientSelector(users, caches)


async def selected(selector: RecipientSelector, content: str, sender: str = str(A)) -> list[PostRequest]:
    profile = Profile(id=sender, username="", display_name="")
    return await selector.select(Notice(profile, ObjectId(), None, content, (), mentions_in(content)))


async def test_only_users_who_have_the_name_now_are_mentioned(mongo: Mongo) -> None:
    """Not the former holder of a name, nor who is being deleted; the author's mention of themselves does not count."""
    users, selector = UserStore(mongo.database), selector_of(mongo)
    ann, binh, gone = [(await users.add(f"{name}{next(names)}", name, "")).profile for name in ("ann", "binh", "gone")]
    await users.change_profile(binh.id, {"username": "binh.moved"})
    await users.begin_deletion(gone.username)
    text = f"@{ann.username} @{binh.username} @binh.moved. @{gone.username} @nobody"
    assert [ann.id, binh.id] == [request.user_id for request in await selected(selector, text)]
    assert [binh.id] == [request.user_id for request in await selected(selector, text, ann.id)]


async def test_a_name_with_a_dot_at_the_end_comes_before_the_one_without(mongo: Mongo) -> None:
    users, selector = UserStore(mongo.database), selector_of(mongo)
    ann = await users.add("ann", "Ann", "")
    assert [ann.id] == [request.user_id for request in await selected(selector, "By @ann.")]
    dotted = await users.add("ann.", "Ann", "")
    assert [dotted.id] == [request.user_id for request in await selected(selector, "By @ann.")]


async def test_many_mentions_share_their_reads(datastores: Datastores) -> None:
    """However many comments mention however many users; a text without a mention takes none."""
    async with recording(datastores) as (mongo, commands):
        users = UserStore(mongo.database)
        mentioned = [await users.add(f"user{number}", "", "") for number in range(8)]
        selector = selector_of(mongo)
        commands.recorded.clear()
        text = " ".join(f"@{user.profile.username}" for user in mentioned)
        results = await asyncio.gather(*[selected(selector, text) for _ in range(20)])
        assert {8} == {len(requests) for requests in results}
        assert ["find usernames", "find users"] == commands.recorded[:2]
        # 160 pairs, 32 in each read; the first text did not wait for the others.
        assert 2 * (2 + 2 * 5) >= len(commands.recorded)
        commands.recorded.clear()
        assert [] == await selected(selector, "Nobody")
        assert [] == commands.recorded
