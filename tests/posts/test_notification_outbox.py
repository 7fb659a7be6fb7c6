"""The outbox stores the notifications of every comment once, whatever fails or crashes in between."""

import asyncio
import time
from collections.abc import Sequence

import pytest
from bson import ObjectId
from structlog.testing import capture_logs

from service.common.errors import Unavailable
from service.datastores.mongo import Document, Mongo
from service.notifications.models import Notification, NotificationRequest
from service.posts import notification_outbox as outbox_module
from service.posts.notification_outbox import CLEAR_DELAY
from service.posts.outbox_queue import BURST
from service.posts.pending import CLEAR_BATCH, PENDING
from tests.conftest import Datastores
from tests.notifications.conftest import StartProcess
from tests.notifications.service_process import NOBODY, ServiceProcess, queued_notifications
from tests.proxy import Proxy
from tests.recorded_commands import recording


async def count_pending(mongo: Mongo) -> int:
    return sum([await mongo.database[name].count_documents({PENDING: True}) for name in ("comments", "posts")])


async def wait_until_none_pending(mongo: Mongo) -> None:
    async with asyncio.timeout(20):
        while await count_pending(mongo):
            await asyncio.sleep(0.02)


async def notifications(process: ServiceProcess, user_id: str) -> list[Notification]:
    return (await process.notifications.page(user_id, limit=100, before=None, unread=False)).items


async def wait_for_notifications(process: ServiceProcess, user_id: str, count: int) -> None:
    async with asyncio.timeout(20):
        while len(await notifications(process, user_id)) < count:
            await asyncio.sleep(0.01)


async def start_outbox(process: ServiceProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """Start the outbox and wait until its first recovery has ended."""
    recovered = asyncio.Event()
    pending = process.comment_store.pending

    async def report_last_batch(after: ObjectId | None, limit: int) -> list[Document]:
        batch = await pending(after, limit)
        if not batch:
            recovered.set()
        return batch

    monkeypatch.setattr(process.comment_store, "pending", report_last_batch)
    await process.outbox.start()
    async with asyncio.timeout(20):
        await recovered.wait()


async def test_comments_and_replies_notify_their_recipients(mongo: Mongo, process: ServiceProcess) -> None:
    """The post's author is notified of comments and the parent's author of replies, once each and live."""
    await process.outbox.start()
    author, reader, third = [await process.add_user(name) for name in ("Author", "Reader", "Third")]
    post = await process.post(author)
    connection = process.connect(author)
    first = await process.comment(reader, post)
    await process.comment(author, post, parent_id=first)
    await process.comment(third, post, parent_id=first)
    own = await process.comment(author, post)
    await process.comment(third, post, parent_id=own)
    await wait_until_none_pending(mongo)
    assert [("NEW_REPLY", "Third"), ("NEW_COMMENT", "Third"), ("NEW_COMMENT", "Reader")] == [
        (item.type, item.data.sender.display_name) for item in await notifications(process, author)
    ]
    assert [("NEW_REPLY", "Third"), ("NEW_REPLY", "Author")] == [
        (item.type, item.data.sender.display_name) for item in await notifications(process, reader)
    ]
    assert [] == await notifications(process, third)
    assert [1, 2, 3] == [event.sequence for event in queued_notifications(connection)]


async def test_mentions_notify_once_and_behind_replies(mongo: Mongo, process: ServiceProcess) -> None:
    """Those whom a comment or post mentions; a user who would also get another type gets one notification."""
    await process.outbox.start()
    author, reader, third = [await process.add_user(name) for name in ("Author", "Reader", "Third")]
    everybody = " ".join([f"@{await process.username(user)}" for user in (author, reader, third)])
    post = await process.post(author, f"Hello {everybody}")
    first = await process.comment(reader, post, content=everybody)
    await process.comment(third, post, parent_id=first, content=everybody)
    await wait_until_none_pending(mongo)
    for user, expected in {
        author: [("NEW_MENTION", "Third"), ("NEW_MENTION", "Reader")],
        reader: [("NEW_REPLY", "Third"), ("NEW_MENTION", "Author")],
        third: [("NEW_MENTION", "Reader"), ("NEW_MENTION", "Author")],
    }.items():
        found = await notifications(process, user)
        assert expected == [(item.type, item.data.sender.display_name) for item in found]
    in_post = (await notifications(process, third))[-1].data
    assert (post, None, f"Hello {everybody}") == (in_post.post_id, in_post.comment_id, in_post.preview)


async def test_who_blocks_the_sender_or_has_muted_the_post_is_not_notified(
    mongo: Mongo, process: ServiceProcess
) -> None:
    """Neither of a comment, nor of a reply, nor of a mention; others are."""
    await process.outbox.start()
    author, reader, third, fourth = [await process.add_user() for _ in range(4)]
    everybody = " ".join([f"@{await process.username(user)}" for user in (author, reader, third, fourth)])
    post, other = await process.post(author), await process.post(author)
    parent = await process.comment(reader, post)
    await wait_until_none_pending(mongo)
    await process.block(author, fourth)
    await process.posts.mute(reader, post, on=True)
    for subject, parent_id in ((post, parent), (post, None), (other, None)):
        await process.comment(fourth, subject, parent_id=parent_id, content=everybody)
    await wait_until_none_pending(mongo)
    assert [parent] == [item.data.comment_id for item in await notifications(process, author)]
    assert [("NEW_MENTION", other)] == [(item.type, item.data.post_id) for item in await notifications(process, reader)]
    assert 3 == len(await notifications(process, third))
    await process.posts.mute(reader, post, on=False)
    await process.comment(fourth, post, parent_id=parent)
    await wait_until_none_pending(mongo)
    assert "NEW_REPLY" == (await notifications(process, reader))[0].type


async def test_what_others_write_under_the_post_of_a_blocked_user_is_not_told(
    mongo: Mongo, process: ServiceProcess
) -> None:
    """Neither a mention nor a reply: the post does not exist for who blocks its author."""
    await process.outbox.start()
    author, reader, third = [await process.add_user() for _ in range(3)]
    post, other = await process.post(author), await process.post(third)
    parent = await process.comment(reader, post)
    await process.block(reader, author)
    mention = f"@{await process.username(reader)}"
    await process.comment(third, post, content=mention)
    await process.comment(third, post, parent_id=parent)
    await process.comment(third, other, content=mention)
    await wait_until_none_pending(mongo)
    assert [("NEW_MENTION", other)] == [(item.type, item.data.post_id) for item in await notifications(process, reader)]


async def test_a_post_without_mentions_is_not_pending(mongo: Mongo, process: ServiceProcess) -> None:
    author = await process.add_user()
    await process.post(author, "Nobody")
    await process.post(author, "@somebody")
    assert 1 == await mongo.database["posts"].count_documents({PENDING: True})


async def test_a_starting_process_recovers_mentions(mongo: Mongo, start_process: StartProcess) -> None:
    """Those in posts and comments, once each, although several processes do."""
    processes = [start_process() for _ in range(3)]
    author, reader = [await processes[0].add_user() for _ in range(2)]
    name = await processes[0].username(reader)
    post = await processes[0].post(author, f"@{name} look")
    left = await processes[0].stored_comment(author, post, f"@{name} again")
    for process in processes:
        await process.outbox.start()
    await wait_until_none_pending(mongo)
    found = await notifications(processes[0], reader)
    assert {(post, None), (post, left)} == {(item.data.post_id, item.data.comment_id) for item in found}
    assert 2 == len(found)


async def test_concurrent_comments_take_as_many_commands_as_one(datastores: Datastores) -> None:
    """Each kind of read and write is one command for all of them; marks are removed after the publication. What the
    process has read lately costs no command."""
    async with recording(datastores) as (mongo, commands):
        process = ServiceProcess(mongo.database)
        await process.create_indexes()
        process.dispatcher.on_published(lambda event: commands.recorded.append(f"publish {event.type}"))
        author, *readers = [await process.add_user() for _ in range(32)]
        post = await process.post(author)
        await process.outbox.start()

        async def commands_of(commenting: Sequence[str]) -> tuple[list[str], list[str]]:
            """Return the commands of a comment by each of these: until all are published, and after."""
            commands.recorded.clear()
            await asyncio.gather(*[process.comment(reader, post) for reader in commenting])
            async with asyncio.timeout(20):
                while "update comments" not in commands.recorded:
                    await asyncio.sleep(0.01)
            recorded = list(commands.recorded)
            await wait_until_none_pending(mongo)
            published = recorded.index("publish NEW_COMMENT")
            return recorded[:published], recorded[published + len(commenting) :]

        # The first comment also reads the last numbers of post and inbox, which are not known yet.
        await commands_of(readers[:1])
        before, after = await commands_of(readers[1:])
        # The post and its author are known by now: the blocks are read together with the rest.
        assert ["find blocks", "find users"] == sorted(before[:2])
        assert ["find blocks", "insert comments"] == sorted(before[2:4])
        assert ["find inboxes", "insert notifications", "update posts"] == sorted(before[4:])
        # The marks are removed a few at a time: by now, some of them.
        assert "publish unread_count" == after[0]
        assert {"update comments"} == set(after[1:])
        assert 31 / CLEAR_BATCH > len(after[1:]) - 1
        before, _ = await commands_of(readers[1:])
        assert "insert comments" == before[0]
        assert ["find inboxes", "insert notifications", "update posts"] == sorted(before[1:])
        await process.close()


async def test_comments_succeed_while_notifications_cannot_be_stored(mongo: Mongo, datastores: Datastores) -> None:
    """The notifications' database is unreachable: comments are stored, and their notifications follow later."""
    async with Proxy(datastores.database(mongo.database.name)) as proxy:
        proxied = Mongo(proxy.url)
        process = ServiceProcess(mongo.database, proxied.database)
        try:
            await process.create_indexes()
            await process.outbox.start()
            author, reader = await process.add_user(), await process.add_user()
            post = await process.post(author)
            proxy.cut()
            with capture_logs() as logs:
                for _ in range(5):
                    await process.comment(reader, post)
                async with asyncio.timeout(20):
                    while not any(entry["event"] == "task_failed" for entry in logs):
                        await asyncio.sleep(0.02)
            assert 5 == (await process.posts.post(NOBODY, post)).comment_count
            assert 5 == await count_pending(mongo)
            await proxy.restore()
            await wait_until_none_pending(mongo)
            assert [5, 4, 3, 2, 1] == [item.seq for item in await notifications(process, author)]
        finally:
            await process.close()
            # In a thread: `close` waits for the server's reply, which the proxy forwards on this event loop.
            await asyncio.to_thread(proxied.close)


@pytest.mark.parametrize("count_fails", [False, True])
async def test_a_comment_is_counted_exactly_once(
    mongo: Mongo, process: ServiceProcess, monkeypatch: pytest.MonkeyPatch, count_fails: bool
) -> None:
    """The post's count is raised before the comment is answered; the outbox repeats it only if that failed."""
    raised: list[dict[ObjectId, int]] = []
    raise_counts = process.post_store.raise_comment_counts
    failing = count_fails

    async def recording_raise_counts(counts: dict[ObjectId, int]) -> None:
        nonlocal failing
        if failing:
            failing = False
            raise Unavailable
        raised.append(counts)
        await raise_counts(counts)

    monkeypatch.setattr(process.post_store, "raise_comment_counts", recording_raise_counts)
    author, reader = await process.add_user("Author"), await process.add_user("Reader")
    post = await process.post(author)
    # The first recovery would count the comment again: the database does not show that it is counted.
    await start_outbox(process, monkeypatch)
    await process.comment(reader, post)
    await wait_until_none_pending(mongo)
    assert [{ObjectId(post): 1}] == raised
    assert 1 == (await process.posts.post(NOBODY, post)).comment_count


async def test_a_comment_does_not_wait_for_a_silent_database_to_count_it(
    mongo: Mongo, datastores: Datastores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database stops responding just after it has stored the comment, which is answered all the same."""
    async with Proxy(datastores.database(mongo.database.name)) as proxy:
        proxied = Mongo(proxy.url)
        process = ServiceProcess(proxied.database)
        try:
            await process.create_indexes()
            author, reader = await process.add_user(), await process.add_user()
            post = await process.post(author)
            raise_counts = process.post_store.raise_comment_counts
            ended = asyncio.Event()

            async def raise_counts_without_a_reply(counts: dict[ObjectId, int]) -> None:
                proxy.blackhole()
                try:
                    await raise_counts(counts)
                finally:
                    ended.set()

            monkeypatch.setattr(process.post_store, "raise_comment_counts", raise_counts_without_a_reply)
            await process.comment(reader, post)
            assert not ended.is_set()
            assert 1 == await count_pending(mongo)
        finally:
            # A reset ends the silent connection at once; the driver would wait ten seconds for a reply.
            proxy.reset()
            await proxy.restore()
            await process.close()
            # In a thread: `close` waits for the server's reply, which the proxy forwards on this event loop.
            await asyncio.to_thread(proxied.close)


async def test_pending_marks_are_removed_in_batches(
    mongo: Mongo, start_process: StartProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The marks of comments that are dispatched within CLEAR_DELAY are removed together."""
    now = 0.0
    process = start_process(clock=lambda: now)
    batch_sizes: list[int] = []
    clear_pending = process.comment_store.clear_pending

    async def recording_clear_pending(comments: Sequence[Document]) -> None:
        batch_sizes.append(len(comments))
        await clear_pending(comments)

    monkeypatch.setattr(process.comment_store, "clear_pending", recording_clear_pending)
    author, reader = await process.add_user(), await process.add_user()
    post = await process.post(author)
    await start_outbox(process, monkeypatch)
    for count in range(1, 5):
        await process.comment(reader, post)
        await wait_for_notifications(process, author, count)
    assert 4 == await count_pending(mongo)
    assert [] == batch_sizes
    now += CLEAR_DELAY
    # The outbox reads the clock when the next comment wakes it.
    await process.comment(reader, post)
    await wait_for_notifications(process, author, 5)
    assert [4] == batch_sizes
    assert 1 == await count_pending(mongo)


async def test_a_starting_process_recovers_the_comments_of_a_crashed_one(
    mongo: Mongo, start_process: StartProcess
) -> None:
    """It stores their notifications and raises the post's count."""
    crashed, process = start_process(), start_process()
    author, reader = await process.add_user(), await process.add_user()
    post = await process.post(author)
    ids = [await crashed.stored_comment(reader, post) for _ in range(3)]
    await mongo.database["posts"].update_one({"_id": ObjectId(post)}, {"$set": {"comment_count": 0}})
    await process.outbox.start()
    await wait_until_none_pending(mongo)
    assert ids[::-1] == [item.data.comment_id for item in await notifications(process, author)]
    assert 3 == (await process.posts.post(NOBODY, post)).comment_count


async def test_a_busy_post_does_not_hold_up_the_notifications_of_others(
    mongo: Mongo, process: ServiceProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a batch of the busy one is being stored, others are stored and published; then the rest of the busy one,
    together and in order."""
    author, other, reader = [await process.add_user() for _ in range(3)]
    busy, quiet = await process.post(author), await process.post(other)
    await start_outbox(process, monkeypatch)
    notify, stored, batches = process.notifications.notify, asyncio.Event(), list[int]()

    async def notify_slowly(requests: Sequence[NotificationRequest]) -> list[Exception | None]:
        if requests[0].user_id == author:
            batches.append(len(requests))
            await stored.wait()
        return await notify(requests)

    monkeypatch.setattr(process.notifications, "notify", notify_slowly)
    comments = [await process.comment(reader, busy)]
    for number in range(20):
        comments.append(await process.comment(reader, busy))
        await process.comment(reader, quiet)
        await wait_for_notifications(process, other, number + 1)
    assert ([1], []) == (batches, await notifications(process, author))
    stored.set()
    await wait_for_notifications(process, author, 21)
    assert [1, 20] == batches
    assert comments[::-1] == [item.data.comment_id for item in await notifications(process, author)]


async def test_the_outbox_sleeps_while_all_dispatches_are_in_progress(
    start_process: StartProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also once a post has waited for further comments for long enough."""
    steps, never = 0, 1000.0

    def clock() -> float:
        nonlocal steps
        steps += 1
        return time.monotonic()

    monkeypatch.setattr(outbox_module, "MAX_DISPATCHES", 1)
    monkeypatch.setattr(outbox_module, "CLEAR_DELAY", never)
    process = start_process(recovery_interval=never, clock=clock)
    author, other, reader = [await process.add_user() for _ in range(3)]
    busy, quiet = await process.post(author), await process.post(other)
    await start_outbox(process, monkeypatch)
    notify, begun, stored = process.notifications.notify, asyncio.Queue[str](), asyncio.Queue[None]()

    async def notify_slowly(requests: Sequence[NotificationRequest]) -> list[Exception | None]:
        begun.put_nowait(requests[0].user_id)
        await stored.get()
        return await notify(requests)

    monkeypatch.setattr(process.notifications, "notify", notify_slowly)
    await process.comment(reader, busy)
    assert author == await begun.get()
    await process.comment(reader, busy)
    await process.comment(reader, quiet)
    stored.put_nowait(None)
    assert other == await begun.get()
    await asyncio.sleep(2 * BURST)
    steps = 0
    for _ in range(100):
        await asyncio.sleep(0)
    assert 0 == steps
    stored.put_nowait(None)
    assert author == await begun.get()
    stored.put_nowait(None)
    await wait_for_notifications(process, author, 2)


@pytest.mark.parametrize("slow", ["recovery", "removing marks"])
async def test_new_comments_do_not_wait_for_what_is_done_beside(
    process: ServiceProcess, start_process: StartProcess, monkeypatch: pytest.MonkeyPatch, slow: str
) -> None:
    """While a comment that a crash has left is being dispatched, or while marks are being removed."""
    author, other, reader = [await process.add_user() for _ in range(3)]
    first, second = await process.post(author), await process.post(other)
    notify, clear = process.notifications.notify, process.comment_store.clear_pending
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def notify_slowly(requests: Sequence[NotificationRequest]) -> list[Exception | None]:
        if slow == "recovery" and requests[0].user_id == author:
            begun.set()
            await go_on.wait()
        return await notify(requests)

    async def clear_slowly(comments: Sequence[Document]) -> None:
        if slow == "removing marks":
            begun.set()
            await go_on.wait()
        await clear(comments)

    monkeypatch.setattr(process.notifications, "notify", notify_slowly)
    monkeypatch.setattr(process.comment_store, "clear_pending", clear_slowly)
    await start_process().stored_comment(reader, first)
    await process.outbox.start()
    await begun.wait()
    await process.comment(reader, second)
    await wait_for_notifications(process, other, 1)
    go_on.set()
    await wait_for_notifications(process, author, 1)


async def test_recovery_is_repeated(mongo: Mongo, start_process: StartProcess) -> None:
    """A running process recovers comments that another leaves later."""
    process = start_process(recovery_interval=0.1)
    await process.outbox.start()
    author, reader = await process.add_user(), await process.add_user()
    post = await process.post(author)
    for _ in range(2):
        await process.stored_comment(reader, post)
        await wait_until_none_pending(mongo)
    assert 2 == len(await notifications(process, author))


async def test_concurrent_recoveries_store_each_notification_once(mongo: Mongo, start_process: StartProcess) -> None:
    processes = [start_process() for _ in range(4)]
    author, reader = await processes[0].add_user(), await processes[0].add_user()
    post = await processes[0].post(author)
    for _ in range(100):
        await processes[0].stored_comment(reader, post)
    for process in processes:
        await process.outbox.start()
    await wait_until_none_pending(mongo)
    assert list(range(100, 0, -1)) == [item.seq for item in await notifications(processes[0], author)]


async def test_comments_beyond_the_queue_limit_are_recovered_from_the_database(
    mongo: Mongo, process: ServiceProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_module, "MAX_QUEUED", 3)
    author, reader = await process.add_user(), await process.add_user()
    post = await process.post(author)
    await start_outbox(process, monkeypatch)
    await asyncio.gather(*[process.comment(reader, post) for _ in range(30)])
    await wait_until_none_pending(mongo)
    assert 30 == len(await notifications(process, author))


async def test_a_notification_that_is_always_refused_does_not_hold_up_others(
    mongo: Mongo, process: ServiceProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database refuses one notification for good: those before and after it are stored, and it stays pending."""
    monkeypatch.setattr(outbox_module, "BATCH_SIZE", 1)
    await mongo.database.command("collMod", "notifications", validator={"preview": {"$ne": "Refused"}})
    author, reader = await process.add_user(), await process.add_user()
    post = await process.post(author)
    for content in ("First", "Refused", "Third", "Fourth"):
        await process.comment(reader, post, content=content)
    await process.outbox.start()
    await wait_for_notifications(process, author, 3)
    assert ["Fourth", "Third", "First"] == [item.data.preview for item in await notifications(process, author)]
    async with asyncio.timeout(20):
        while 1 != await count_pending(mongo):
            await asyncio.sleep(0.02)
