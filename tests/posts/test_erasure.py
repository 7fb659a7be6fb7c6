"""Erasing what a deleted user has posted, also if it is interrupted."""

from collections.abc import Collection

import pytest
from bson import ObjectId

from service.accounts.profiles import ProfileService
from service.common.errors import NotFound, Unavailable
from service.common.times import now
from service.datastores.mongo import Mongo
from service.notifications.deletion import NotificationDeletion
from service.notifications.grouper import Grouper
from service.notifications.inbox_service import InboxService
from service.posts.comment_caches import CommentCaches
from service.posts.comment_context import CommentContextLoader
from service.posts.erasure import PostErasure
from service.posts.models import NewComment
from service.posts.post_notices import post_notice_of
from service.posts.reaction_state import Change, Subject
from service.posts.recipients import RecipientSelector
from service.realtime.bus import LocalBus
from service.realtime.dispatcher import Dispatcher
from service.realtime.registry import Registry
from service.realtime.timer_wheel import TimerWheel
from service.stores import Stores


def caches_of(stores: Stores, bus: LocalBus) -> CommentCaches:
    profiles = ProfileService(stores.users)
    return CommentCaches(bus, stores.posts, stores.comments, profiles, stores.blocks, stores.post_mutes)


def erasure_of(stores: Stores, bus: LocalBus | None = None) -> PostErasure:
    profiles = ProfileService(stores.users)
    bus = bus or LocalBus()
    caches = caches_of(stores, bus)
    contexts = CommentContextLoader(caches, stores.posts, stores.comments, profiles)
    recipients = RecipientSelector(profiles, caches)
    dispatcher = Dispatcher(bus, Registry(TimerWheel()))
    deletion = NotificationDeletion(
        stores.notifications,
        InboxService(stores.notifications, stores.inboxes, dispatcher),
        Grouper(stores.notifications, stores.inboxes, stores.notification_groups),
        dispatcher,
    )
    return PostErasure(stores.posts, stores.comments, contexts, recipients, stores.reactions, deletion, caches)


async def test_an_interrupted_erasure_leaves_no_notification_of_a_post_and_no_reactions(
    mongo: Mongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next run does not find the post any more, nor whom it mentioned."""
    stores = Stores.build(mongo.database)
    await stores.notifications.create_indexes()
    author = (await stores.users.add(f"author{ObjectId()}", "Author", "")).profile
    reader = (await stores.users.add(f"r{ObjectId()}", "Reader", "")).profile
    post = await stores.posts.insert(author.id, f"@{reader.username} a secret", now())
    request = post_notice_of(post, author).request(ObjectId(reader.id), "NEW_MENTION")
    stored = (await stores.notifications.append(request)).document
    assert "a secret" in stored["preview"]
    assert (await stores.reactions.change(Change(Subject(post["_id"]), ObjectId(reader.id), "👍", True))).changed
    erase = stores.posts.erase

    async def erase_and_fail(post_ids: Collection[ObjectId]) -> None:
        await erase(post_ids)
        raise Unavailable

    with monkeypatch.context() as patch:
        patch.setattr(stores.posts, "erase", erase_and_fail)
        with pytest.raises(Unavailable):
            await erasure_of(stores).erase_posts(author.id)
    await erasure_of(stores).erase_posts(author.id)
    assert await stores.notifications.one(reader.id, str(stored["_id"])) is None
    (found,) = await mongo.database["notifications"].find().to_list(None)
    assert (True, "") == (found["deleted"], found["preview"])
    inbox = await stores.inboxes.inbox(reader.id)
    assert (0, 1) == (inbox.unread, inbox.last_seq)
    assert 0 == await mongo.database["reactions"].count_documents({})


async def test_what_was_erased_counts_at_once_for_who_comments(mongo: Mongo) -> None:
    """Nobody is notified any more, although another process knows the posts and comments as they were."""
    stores, bus = Stores.build(mongo.database), LocalBus()
    await stores.comments.create_indexes()
    author, reader = [(await stores.users.add(f"u{ObjectId()}", "User", "")).profile.id for _ in range(2)]
    bare, commented = [(await stores.posts.insert(author, "Hello", now()))["_id"] for _ in range(2)]
    parent = (await stores.comments.append(author, str(commented), NewComment(content="Hi"))).document["_id"]
    profiles, caches = ProfileService(stores.users), caches_of(stores, bus)
    contexts = CommentContextLoader(caches, stores.posts, stores.comments, profiles)

    async def notified() -> set[ObjectId | None]:
        context = await contexts.load(reader, str(commented), str(parent))
        return {context.post_author, context.parent_author}

    await contexts.load(reader, str(bare), None)
    assert {ObjectId(author)} == await notified()
    erasure = erasure_of(stores, bus)
    await erasure.erase_posts(author)
    await erasure.erase_comments(author)
    assert {None} == await notified()
    with pytest.raises(NotFound):
        await contexts.load(reader, str(bare), None)
    await contexts.close()
