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
from service.posts.notification_outbox import NotificationOutbox, recipients
from tests.conftest import Datastores
from tests.notifications.service_process import ServiceProcess, numbered
from tests.proxy import Proxy
from tests.recorded_commands import overheard

Processes = Callable[[], ServiceProcess]


async def settled(mongo: Mongo) -> None:
    """Wait until nothing is owed."""
    async with asyncio.timeout(20):
        while await mongo.database["comments"].find_one({"owed": True}):
            await asyncio.sleep(0.02)


async def notifications(process: ServiceProcess, user_id: str) -> list[Notification]:
    return (await process.notifications.page(user_id, limit=100, before=None, unread=False)).items


async def left_by_a_crash(process: ServiceProcess, author_id: str, post_id: str) -> str:
    """A comment whose process died as soon as it was stored."""
    appended = await process.comment_store.append(author_id, post_id, NewComment(content="Left"))
    return str(appended.document["_id"])


def test_receivers() -> None:
    """The reply wins over the comment, and nobody is told of their own."""
    a, b, c = ObjectId(), ObjectId(), ObjectId()
    assert {b: "NEW_COMMENT"} == recipients(a, b, None)
    assert {} == recipients(a, a, None)
    assert {b: "NEW_COMMENT", c: "NEW_REPLY"} == recipients(a, b, c)
    assert {b: "NEW_REPLY"} == recipients(a, b, b)
    assert {c: "NEW_REPLY"} == recipients(a, a, c)
    assert {b: "NEW_COMMENT"} == recipients(a, b, a)
    assert {} == recipients(a, a, a)
    assert {} == recipients(a, None, None)


async def test_comment_and_reply_are_told_to_whom_they_concern(mongo: Mongo, process: ServiceProcess) -> None:
    """The post's author hears of a comment, the parent's of a reply, each once and as it happens."""
    await process.outbox.start()
    author, reader, third = [await process.add_user(name) for name in ("Author", "Reader", "Third")]
    post = await process.post(author)
    connection = process.connect(author)
    first = await process.comment(reader, post)
    await process.comment(author, post, parent_id=first)
    await process.comment(third, post, parent_id=first)
    own = await process.comment(author, post)
    await process.comment(third, post, parent_id=own)
    await settled(mongo)
    assert [("NEW_REPLY", "Third"), ("NEW_COMMENT", "Third"), ("NEW_COMMENT", "Reader")] == [
        (item.type, item.data.sender.display_name) for item in await notifications(process, author)
    ]
    assert [("NEW_REPLY", "Third"), ("NEW_REPLY", "Author")] == [
        (item.type, item.data.sender.display_name) for item in await notifications(process, reader)
    ]
    assert [] == await notifications(process, third)
    assert [1, 2, 3] == [event.sequence for event in numbered(connection)]


async def test_comments_that_wait_together_cost_as_many_commands_as_one(datastores: Datastores) -> None:
    """What they stand on, the comments, the count, the notifications, the inbox. Once all are told, hint and marks."""
    async with overheard(datastores) as (mongo, commands):
        process = ServiceProcess(mongo.database)
        await process.create_indexes()
        process.dispatcher.on_published(lambda event: commands.seen.append(f"tell {event.type}"))
        author, *readers = [await process.add_user() for _ in range(31)]
        post = await process.post(author)
        await process.outbox.start()
        # Of the first one neither post nor inbox are known.
        for count in (1, 1, 30):
            commands.seen.clear()
            await asyncio.gather(*[process.comment(reader, post) for reader in readers[:count]])
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
        await process.close()


async def test_comments_succeed_while_notifications_cannot_be_stored(mongo: Mongo, datastores: Datastores) -> None:
    """With the notifications' database out of reach comments are stored as ever; when it is back, all is told."""
    async with Proxy(datastores.database(mongo.database.name)) as cable:
        far = Mongo(cable.url)
        process = ServiceProcess(mongo.database, told=far.database)
        try:
            await process.create_indexes()
            await process.outbox.start()
            author, reader = await process.add_user(), await process.add_user()
            post = await process.post(author)
            cable.cut()
            with capture_logs() as logs:
                for _ in range(5):
                    await process.comment(reader, post)
                async with asyncio.timeout(20):
                    while not any(entry["event"] == "task_failed" for entry in logs):
                        await asyncio.sleep(0.02)
            assert 5 == (await process.posts.post(post)).comment_count
            assert 5 == await mongo.database["comments"].count_documents({"owed": True})
            await cable.mend()
            await settled(mongo)
            assert [5, 4, 3, 2, 1] == [item.seq for item in await notifications(process, author)]
        finally:
            await process.close()
            # Closing says good-bye to the server and waits for it, and the cable is on this loop.
            await asyncio.to_thread(far.close)


@pytest.mark.parametrize("kept", [True, False], ids=["counted", "not counted"])
async def test_a_comment_is_counted_once_or_else_by_its_debt(
    mongo: Mongo, process: ServiceProcess, monkeypatch: pytest.MonkeyPatch, kept: bool
) -> None:
    """Its post's count is raised before it is answered. Only where that failed is it owed."""
    raised: list[dict[ObjectId, int]] = []
    raise_counts = process.post_store.raise_comment_counts
    fails = not kept

    async def counting(reached: dict[ObjectId, int]) -> None:
        nonlocal fails
        if fails:
            fails = False
            raise Unavailable
        raised.append(reached)
        await raise_counts(reached)

    monkeypatch.setattr(process.post_store, "raise_comment_counts", counting)
    author, reader = await process.add_user("Author"), await process.add_user("Reader")
    post = await process.post(author)
    # Or it would begin with a look at the database, where nothing says what is counted.
    monkeypatch.setattr(process.outbox, "_next_recovery", asyncio.get_running_loop().time() + 60)
    await process.outbox.start()
    await process.comment(reader, post)
    await settled(mongo)
    assert [{ObjectId(post): 1}] == raised
    assert 1 == (await process.posts.post(post)).comment_count


async def test_a_count_that_cannot_be_raised_in_time_is_not_waited_for(
    mongo: Mongo, datastores: Datastores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database goes silent just after a comment is stored: its author hears of that all the same."""
    async with Proxy(datastores.database(mongo.database.name)) as cable:
        far = Mongo(cable.url)
        process = ServiceProcess(far.database)
        try:
            await process.create_indexes()
            author, reader = await process.add_user(), await process.add_user()
            post = await process.post(author)
            raise_counts = process.post_store.raise_comment_counts

            async def counting(reached: dict[ObjectId, int]) -> None:
                cable.silence()
                await raise_counts(reached)

            monkeypatch.setattr(process.post_store, "raise_comment_counts", counting)
            async with asyncio.timeout(outbox_module.COUNT_TIMEOUT + 2):
                await process.comment(reader, post)
            assert 1 == await mongo.database["comments"].count_documents({"owed": True})
        finally:
            await cable.mend()
            await process.close()
            # Closing says good-bye to the server and waits for it, and the cable is on this loop.
            await asyncio.to_thread(far.close)


async def test_marks_are_cleared_many_at_a_time(
    mongo: Mongo, process: ServiceProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of comments that are told one after the other are cleared together, once they have gathered for a while."""
    settled_together: list[int] = []
    settle = process.comment_store.mark_done

    async def settling(comment_ids: list[ObjectId]) -> None:
        settled_together.append(len(comment_ids))
        await settle(comment_ids)

    monkeypatch.setattr(process.comment_store, "mark_done", settling)
    monkeypatch.setattr(outbox_module, "PAUSE", 3600.0)
    author, reader = await process.add_user(), await process.add_user()
    post = await process.post(author)
    await process.outbox.start()
    for count in range(1, 5):
        await process.comment(reader, post)
        async with asyncio.timeout(20):
            while count != len(await notifications(process, author)):
                await asyncio.sleep(0.01)
    assert 4 == await mongo.database["comments"].count_documents({"owed": True})
    monkeypatch.setattr(process.outbox, "_next_marking", 0.0)
    process.outbox._wake.set()
    await settled(mongo)
    assert [4] == settled_together


async def test_sweep_pays_what_a_crash_left(mongo: Mongo, start_process: Processes) -> None:
    """A process that starts finds what another owed when it died, the post's count included."""
    dying, process = start_process(), start_process()
    author, reader = await process.add_user(), await process.add_user()
    post = await process.post(author)
    ids = [await left_by_a_crash(dying, reader, post) for _ in range(3)]
    await mongo.database["posts"].update_one({"_id": ObjectId(post)}, {"$set": {"comment_count": 0}})
    await process.outbox.start()
    await settled(mongo)
    assert ids[::-1] == [item.data.comment_id for item in await notifications(process, author)]
    assert 3 == (await process.posts.post(post)).comment_count


async def test_sweep_comes_again(mongo: Mongo, process: ServiceProcess) -> None:
    """What another process leaves while this one runs is paid at the next sweep."""
    sweeping = NotificationOutbox(
        process.comment_store, process.post_store, process.contexts, process.notifications, interval=0.1
    )
    await sweeping.start()
    author, reader = await process.add_user(), await process.add_user()
    post = await process.post(author)
    for _ in range(2):
        await left_by_a_crash(process, reader, post)
        await settled(mongo)
    assert 2 == len(await notifications(process, author))
    await sweeping.close()


async def test_debts_paid_by_many_processes_at_once_are_paid_once(mongo: Mongo, start_process: Processes) -> None:
    """Several processes sweep the same debts at the same time: one notification for each comment."""
    processes = [start_process() for _ in range(4)]
    author, reader = await processes[0].add_user(), await processes[0].add_user()
    post = await processes[0].post(author)
    for _ in range(100):
        await left_by_a_crash(processes[0], reader, post)
    for process in processes:
        await process.outbox.start()
    await settled(mongo)
    assert list(range(100, 0, -1)) == [item.seq for item in await notifications(processes[0], author)]


async def test_more_than_fits_in_memory_is_paid_from_the_database(
    mongo: Mongo, process: ServiceProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A burst beyond the bound is not lost: what was not kept in memory is swept."""
    monkeypatch.setattr(outbox_module, "MAX_QUEUED", 3)
    author, reader = await process.add_user(), await process.add_user()
    post = await process.post(author)
    await process.outbox.start()
    await settled(mongo)
    await asyncio.gather(*[process.comment(reader, post) for _ in range(30)])
    await settled(mongo)
    assert 30 == len(await notifications(process, author))


async def test_one_that_cannot_be_paid_does_not_hold_up_the_others(
    mongo: Mongo, process: ServiceProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database refuses one notification for ever: those before and after it are stored, and it stays owed."""
    monkeypatch.setattr(outbox_module, "BATCH", 1)
    await mongo.database.command("collMod", "notifications", validator={"preview": {"$ne": "Refused"}})
    author, reader = await process.add_user(), await process.add_user()
    post = await process.post(author)
    for content in ("First", "Refused", "Third", "Fourth"):
        await process.comment(reader, post, content=content)
    await process.outbox.start()
    async with asyncio.timeout(10):
        while len(await notifications(process, author)) < 3:
            await asyncio.sleep(0.02)
    assert ["Fourth", "Third", "First"] == [item.data.preview for item in await notifications(process, author)]
    async with asyncio.timeout(10):
        while 1 != await mongo.database["comments"].count_documents({"owed": True}):
            await asyncio.sleep(0.02)
