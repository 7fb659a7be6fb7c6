"""What comments owe is paid: soon, once, and whatever fails or crashes in between."""

import asyncio
from collections.abc import Callable

import pytest
from bson import ObjectId
from structlog.testing import capture_logs

from service.common.errors import Unavailable
from service.datastores.mongo import Mongo
from service.notifications.models import Notification
from service.posts import notification_outbox as outbox_module
from service.posts.models import NewComment
from service.posts.notification_outbox import NotificationOutbox, receivers
from tests.conftest import Datastores
from tests.notifications.world import World, numbered
from tests.proxy import Proxy
from tests.recorded_commands import overheard

Processes = Callable[[], World]


async def settled(mongo: Mongo) -> None:
    """Wait until nothing is owed."""
    async with asyncio.timeout(20):
        while await mongo.database["comments"].find_one({"owed": True}):
            await asyncio.sleep(0.02)


async def notifications(world: World, user_id: str) -> list[Notification]:
    return (await world.notifications.page(user_id, limit=100, before=None, unread=False)).items


async def left_by_a_crash(world: World, author_id: str, post_id: str) -> str:
    """A comment whose process died as soon as it was stored."""
    appended = await world.comment_store.append(author_id, post_id, NewComment(content="Left"))
    return str(appended.document["_id"])


def test_receivers() -> None:
    """The reply wins over the comment, and nobody is told of their own."""
    a, b, c = ObjectId(), ObjectId(), ObjectId()
    assert {b: "NEW_COMMENT"} == receivers(a, b, None)
    assert {} == receivers(a, a, None)
    assert {b: "NEW_COMMENT", c: "NEW_REPLY"} == receivers(a, b, c)
    assert {b: "NEW_REPLY"} == receivers(a, b, b)
    assert {c: "NEW_REPLY"} == receivers(a, a, c)
    assert {b: "NEW_COMMENT"} == receivers(a, b, a)
    assert {} == receivers(a, a, a)
    assert {} == receivers(a, None, None)


async def test_comment_and_reply_are_told_to_whom_they_concern(mongo: Mongo, world: World) -> None:
    """The post's author hears of a comment, the parent's of a reply, each once and as it happens."""
    await world.outbox.start()
    author, reader, third = [await world.person(name) for name in ("Author", "Reader", "Third")]
    post = await world.post(author)
    connection = world.connect(author)
    first = await world.comment(reader, post)
    await world.comment(author, post, parent_id=first)
    await world.comment(third, post, parent_id=first)
    own = await world.comment(author, post)
    await world.comment(third, post, parent_id=own)
    await settled(mongo)
    assert [("NEW_REPLY", "Third"), ("NEW_COMMENT", "Third"), ("NEW_COMMENT", "Reader")] == [
        (item.type, item.data.sender.display_name) for item in await notifications(world, author)
    ]
    assert [("NEW_REPLY", "Third"), ("NEW_REPLY", "Author")] == [
        (item.type, item.data.sender.display_name) for item in await notifications(world, reader)
    ]
    assert [] == await notifications(world, third)
    assert [1, 2, 3] == [event.number for event in numbered(connection)]


async def test_comments_that_wait_together_cost_as_many_commands_as_one(datastores: Datastores) -> None:
    """What they stand on, the comments, the count, the notifications, the inbox. Once all are told, hint and marks."""
    async with overheard(datastores) as (mongo, commands):
        world = World(mongo.database)
        await world.create_indexes()
        world.dispatcher.on_published(lambda event: commands.seen.append(f"tell {event.type}"))
        author, *readers = [await world.person() for _ in range(31)]
        post = await world.post(author)
        await world.outbox.start()
        # Of the first one neither post nor inbox are known.
        for count in (1, 1, 30):
            commands.seen.clear()
            await asyncio.gather(*[world.comment(reader, post) for reader in readers[:count]])
            async with asyncio.timeout(20):
                while "update comments" not in commands.seen:
                    await asyncio.sleep(0.01)
            asked = list(commands.seen)
            await settled(mongo)
        told = asked.index("tell NEW_COMMENT")
        before, behind = asked[:told], asked[told + 30 :]
        assert ["find posts", "find users"] == sorted(before[:2])
        assert ["find inboxes", "insert comments", "insert notifications", "update posts"] == sorted(before[2:])
        assert ["tell unread_count", "update inboxes", "update comments"] == behind
        await world.close()


async def test_comments_succeed_while_notifications_cannot_be_stored(mongo: Mongo, datastores: Datastores) -> None:
    """With the notifications' database out of reach comments are stored as ever; when it is back, all is told."""
    async with Proxy(datastores.database(mongo.database.name)) as cable:
        far = Mongo(cable.url)
        world = World(mongo.database, told=far.database)
        try:
            await world.create_indexes()
            await world.outbox.start()
            author, reader = await world.person(), await world.person()
            post = await world.post(author)
            cable.cut()
            with capture_logs() as logs:
                for _ in range(5):
                    await world.comment(reader, post)
                async with asyncio.timeout(20):
                    while not any(entry["event"] == "task_failed" for entry in logs):
                        await asyncio.sleep(0.02)
            assert 5 == (await world.posts.post(post)).comment_count
            assert 5 == await mongo.database["comments"].count_documents({"owed": True})
            await cable.mend()
            await settled(mongo)
            assert [5, 4, 3, 2, 1] == [item.seq for item in await notifications(world, author)]
        finally:
            await world.close()
            # Closing says good-bye to the server and waits for it, and the cable is on this loop.
            await asyncio.to_thread(far.close)


@pytest.mark.parametrize("kept", [True, False], ids=["counted", "not counted"])
async def test_a_comment_is_counted_once_or_else_by_its_debt(
    mongo: Mongo, world: World, monkeypatch: pytest.MonkeyPatch, kept: bool
) -> None:
    """Its post's count is raised before it is answered. Only where that failed is it owed."""
    raised: list[dict[ObjectId, int]] = []
    raise_counts = world.post_store.raise_comment_counts
    fails = not kept

    async def counting(reached: dict[ObjectId, int]) -> None:
        nonlocal fails
        if fails:
            fails = False
            raise Unavailable
        raised.append(reached)
        await raise_counts(reached)

    monkeypatch.setattr(world.post_store, "raise_comment_counts", counting)
    author, reader = await world.person("Author"), await world.person("Reader")
    post = await world.post(author)
    # Or it would begin with a look at the database, where nothing says what is counted.
    monkeypatch.setattr(world.outbox, "_next_sweep", asyncio.get_running_loop().time() + 60)
    await world.outbox.start()
    await world.comment(reader, post)
    await settled(mongo)
    assert [{ObjectId(post): 1}] == raised
    assert 1 == (await world.posts.post(post)).comment_count


async def test_a_count_that_cannot_be_raised_in_time_is_not_waited_for(
    mongo: Mongo, datastores: Datastores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database goes silent just after a comment is stored: its author hears of that all the same."""
    async with Proxy(datastores.database(mongo.database.name)) as cable:
        far = Mongo(cable.url)
        world = World(far.database)
        try:
            await world.create_indexes()
            author, reader = await world.person(), await world.person()
            post = await world.post(author)
            raise_counts = world.post_store.raise_comment_counts

            async def counting(reached: dict[ObjectId, int]) -> None:
                cable.silence()
                await raise_counts(reached)

            monkeypatch.setattr(world.post_store, "raise_comment_counts", counting)
            async with asyncio.timeout(outbox_module.COUNT_TIMEOUT + 2):
                await world.comment(reader, post)
            assert 1 == await mongo.database["comments"].count_documents({"owed": True})
        finally:
            await cable.mend()
            await world.close()
            # Closing says good-bye to the server and waits for it, and the cable is on this loop.
            await asyncio.to_thread(far.close)


async def test_marks_are_cleared_many_at_a_time(mongo: Mongo, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of comments that are told one after the other are cleared together, once they have gathered for a while."""
    settled_together: list[int] = []
    settle = world.comment_store.settle

    async def settling(comment_ids: list[ObjectId]) -> None:
        settled_together.append(len(comment_ids))
        await settle(comment_ids)

    monkeypatch.setattr(world.comment_store, "settle", settling)
    monkeypatch.setattr(outbox_module, "PAUSE", 3600.0)
    author, reader = await world.person(), await world.person()
    post = await world.post(author)
    await world.outbox.start()
    for count in range(1, 5):
        await world.comment(reader, post)
        async with asyncio.timeout(20):
            while count != len(await notifications(world, author)):
                await asyncio.sleep(0.01)
    assert 4 == await mongo.database["comments"].count_documents({"owed": True})
    monkeypatch.setattr(world.outbox, "_next_settlement", 0.0)
    world.outbox._poked.set()
    await settled(mongo)
    assert [4] == settled_together


async def test_sweep_pays_what_a_crash_left(mongo: Mongo, processes: Processes) -> None:
    """A process that starts finds what another owed when it died, the post's count included."""
    dying, world = processes(), processes()
    author, reader = await world.person(), await world.person()
    post = await world.post(author)
    ids = [await left_by_a_crash(dying, reader, post) for _ in range(3)]
    await mongo.database["posts"].update_one({"_id": ObjectId(post)}, {"$set": {"comment_count": 0}})
    await world.outbox.start()
    await settled(mongo)
    assert ids[::-1] == [item.data.comment_id for item in await notifications(world, author)]
    assert 3 == (await world.posts.post(post)).comment_count


async def test_sweep_comes_again(mongo: Mongo, world: World) -> None:
    """What another process leaves while this one runs is paid at the next sweep."""
    sweeping = NotificationOutbox(
        world.comment_store, world.post_store, world.contexts, world.notifications, interval=0.1
    )
    await sweeping.start()
    author, reader = await world.person(), await world.person()
    post = await world.post(author)
    for _ in range(2):
        await left_by_a_crash(world, reader, post)
        await settled(mongo)
    assert 2 == len(await notifications(world, author))
    await sweeping.close()


async def test_debts_paid_by_many_processes_at_once_are_paid_once(mongo: Mongo, processes: Processes) -> None:
    """Several processes sweep the same debts at the same time: one notification for each comment."""
    worlds = [processes() for _ in range(4)]
    author, reader = await worlds[0].person(), await worlds[0].person()
    post = await worlds[0].post(author)
    for _ in range(100):
        await left_by_a_crash(worlds[0], reader, post)
    for world in worlds:
        await world.outbox.start()
    await settled(mongo)
    assert list(range(100, 0, -1)) == [item.seq for item in await notifications(worlds[0], author)]


async def test_more_than_fits_in_memory_is_paid_from_the_database(
    mongo: Mongo, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A burst beyond the bound is not lost: what was not kept in memory is swept."""
    monkeypatch.setattr(outbox_module, "MAX_FRESH", 3)
    author, reader = await world.person(), await world.person()
    post = await world.post(author)
    await world.outbox.start()
    await settled(mongo)
    await asyncio.gather(*[world.comment(reader, post) for _ in range(30)])
    await settled(mongo)
    assert 30 == len(await notifications(world, author))


async def test_one_that_cannot_be_paid_does_not_hold_up_the_others(
    mongo: Mongo, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database refuses one notification for ever: those before and after it are stored, and it stays owed."""
    monkeypatch.setattr(outbox_module, "BATCH", 1)
    await mongo.database.command("collMod", "notifications", validator={"preview": {"$ne": "Refused"}})
    author, reader = await world.person(), await world.person()
    post = await world.post(author)
    for content in ("First", "Refused", "Third", "Fourth"):
        await world.comment(reader, post, content=content)
    await world.outbox.start()
    async with asyncio.timeout(10):
        while len(await notifications(world, author)) < 3:
            await asyncio.sleep(0.02)
    assert ["Fourth", "Third", "First"] == [item.data.preview for item in await notifications(world, author)]
    async with asyncio.timeout(10):
        while 1 != await mongo.database["comments"].count_documents({"owed": True}):
            await asyncio.sleep(0.02)
