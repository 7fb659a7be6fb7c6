"""Notifying, listing and marking: what is stored and what connections receive."""

import asyncio
import json

import pytest

from service.common.errors import NotFound
from service.common.ids import new_id
from service.common.profiles import Profile
from service.datastores.mongo import Mongo
from service.notifications.inbox_store import Inbox
from service.notifications.models import PostRequest
from service.realtime.event_stream import EventStream
from tests.conftest import Datastores
from tests.notifications.conftest import StartProcess
from tests.notifications.service_process import ServiceProcess, queued_notifications
from tests.realtime.wire import queued
from tests.recorded_commands import recording


async def notified(process: ServiceProcess, user_id: str, count: int) -> list[PostRequest]:
    sender = await process.add_user("Sender")
    requests = [process.request(user_id, sender) for _ in range(count)]
    assert [None] * count == await process.notifications.notify(requests)
    return requests


def unread_counts(connection: EventStream) -> list[dict[str, int]]:
    return [json.loads(event.body) for event in queued(connection) if event.type == "unread_count"]


async def unread_count_of(connection: EventStream, count: int, seq: int) -> None:
    """Wait until the last unread count that the connection has got is this one."""
    async with asyncio.timeout(5):
        while {"unread_count": count, "seq": seq} != (unread_counts(connection) or [{}])[-1]:
            await asyncio.sleep(0.01)


async def listed_seqs(process: ServiceProcess, user_id: str, **query: object) -> tuple[list[int], int | None]:
    page = await process.notifications.page(user_id, **{"limit": 30, "before": None, "unread": False, **query})
    return [item.seq for item in page.items], page.next


async def test_a_notification_is_stored_and_published(process: ServiceProcess) -> None:
    """All connections of the user, and no others, receive the notification and then the unread count."""
    user, sender = await process.add_user(), await process.add_user("Trần Thị Bình")
    first_tab, phone, other = process.connect(user), process.connect(user), process.connect(sender)
    request = process.request(user, sender, "Trần Thị Bình", type="NEW_REPLY", content="Chào bạn! " * 30)
    await process.notifications.notify([request])
    [stored] = (await process.notifications.page(user, limit=30, before=None, unread=False)).items
    for connection in (first_tab, phone):
        first, second = queued(connection)
        assert {
            "type": "NEW_REPLY",
            "seq": 1,
            "data": {
                "notification_id": stored.data.notification_id,
                "sender": {"id": sender, "display_name": "Trần Thị Bình", "avatar": None},
                "post_id": request.post_id,
                "comment_id": request.comment_id,
                "preview": ("Chào bạn! " * 30)[:140],
                "created_at": stored.model_dump()["data"]["created_at"],
                "read": False,
            },
        } == json.loads(first.json)
        assert first.sse_bytes.startswith(b"id: 1\ndata: {")
        assert {"unread_count": 1, "seq": 1} == json.loads(second.body)
        assert second.sse_bytes.startswith(b"event: unread_count\ndata: {")
    assert [] == queued(other)


async def test_a_user_gets_one_notification_for_each_sender_of_reactions_and_subject(process: ServiceProcess) -> None:
    """Beside those of the comment and of a mention in the post; `emoji` is the first reaction of the sender."""
    user, post, comment = await process.add_user(), new_id(), new_id()
    connection = process.connect(user)
    senders = [Profile(id=await process.add_user(), username="", display_name="Someone") for _ in range(2)]
    about = [(sender, subject) for sender in senders for subject in (None, comment)]
    reactions = [PostRequest("NEW_REACTION", user, sender, post, subject, "Aye", "👍") for sender, subject in about]
    others = [
        PostRequest("NEW_REPLY", user, senders[0], post, comment, "Aye"),
        PostRequest("NEW_MENTION", user, senders[0], post, None, "Aye"),
    ]
    again = [request._replace(emoji="🎉") for request in reactions]
    assert [None] * 10 == await process.notifications.notify([*reactions, *others, *again])
    events = [json.loads(event.json) for event in queued_notifications(connection)]
    assert [(post, sender.id, subject, "👍") for sender, subject in about] == [
        (data["post_id"], data["sender"]["id"], data["comment_id"], data["emoji"])
        for data in (event["data"] for event in events[:4])
    ]
    assert [("NEW_REPLY", comment), ("NEW_MENTION", None)] == [
        (event["type"], event["data"]["comment_id"]) for event in events[4:]
    ]
    assert not any("emoji" in event["data"] for event in events[4:])
    page = await process.notifications.page(user, limit=30, before=None, unread=False)
    listed = page.items
    assert page.model_dump() == await process.notifications.page_json(user, limit=30, before=None, unread=False)
    assert [event["data"] for event in events] == [item.model_dump()["data"] for item in reversed(listed)]


async def test_a_repeated_request_is_not_published_again(process: ServiceProcess) -> None:
    user = await process.add_user()
    connection = process.connect(user)
    requests = await notified(process, user, 3)
    assert [None] * 3 == await process.notifications.notify(requests)
    assert [1, 2, 3] == [event.sequence for event in queued_notifications(connection)]


async def test_notifications_that_a_crashed_process_did_not_publish_are_published(start_process: StartProcess) -> None:
    """It crashed after storing them; repeating the requests on another process publishes all of them, in order."""
    process, crashed = start_process(), start_process()
    user, sender = await process.add_user(), await process.add_user()
    await notified(process, user, 2)
    connection = process.connect(user)
    process.dispatcher.set_position(f"n:{user}", 2, [user])
    requests = [process.request(user, sender) for _ in range(3)]
    for request in requests:
        await crashed.store.append(request)
    await process.notifications.notify(requests)
    async with asyncio.timeout(5):
        while len(queued_notifications(connection)) < 3:
            await asyncio.sleep(0.01)
    assert [3, 4, 5] == [event.sequence for event in queued_notifications(connection)]


async def test_pages_are_ordered_by_descending_number(process: ServiceProcess) -> None:
    user = await process.add_user()
    await notified(process, user, 7)
    assert ([7, 6, 5], 5) == await listed_seqs(process, user, limit=3)
    assert ([4, 3, 2], 2) == await listed_seqs(process, user, limit=3, before=5)
    assert ([1], None) == await listed_seqs(process, user, limit=3, before=2)
    assert ([], None) == await listed_seqs(process, user, before=1)
    assert ([7, 6, 5, 4, 3, 2, 1], None) == await listed_seqs(process, user, before=1000)
    assert ([], None) == await listed_seqs(process, await process.add_user())


async def test_the_first_page_is_one_read_of_the_notifications(
    datastores: Datastores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those who ask at the same time share the read of the inboxes. A number in the inbox that is far behind costs
    further reads."""
    async with recording(datastores) as (mongo, commands):
        process = ServiceProcess(mongo.database)
        await process.create_indexes()
        users = [await process.add_user() for _ in range(3)]
        for user in users:
            await notified(process, user, 7)
        commands.recorded.clear()
        pages = await asyncio.gather(*(listed_seqs(process, user, limit=3) for user in users))
        assert [([7, 6, 5], 5)] * 3 == pages
        assert [1, 3] == [commands.recorded.count(f"find {name}") for name in ("inboxes", "notifications")]
        monkeypatch.setattr("service.notifications.notification_store.PAGE", 3)
        await mongo.database["inboxes"].delete_many({})
        assert ([7, 6, 5], 5) == await listed_seqs(process, users[0], limit=3)
        await process.close()


async def test_those_who_resume_together_share_a_read(datastores: Datastores) -> None:
    """One who has missed a thousand has a read alone. Each gets their own notifications."""
    async with recording(datastores) as (mongo, commands):
        process = ServiceProcess(mongo.database)
        await process.create_indexes()
        users = [await process.add_user() for _ in range(12)]
        for before, user in enumerate(users):
            await notified(process, user, before + 1)
        busy = await process.add_user()
        await notified(process, busy, 1000)
        await process.notifications.mark_read_up_to(busy, 1000)
        again = [(users[11], last_seen) for last_seen in (5, 12, 13, -1)]
        places = [*((user, 1) for user in users), (busy, 0), *again]
        commands.recorded.clear()
        replays = await asyncio.gather(*(process.notifications.replay(*place) for place in places))
        missed = [[event.sequence for event in replay.missed] for replay in replays]
        assert [list(range(2, length + 1)) for length in range(1, 13)] == missed[:12]
        assert [list(range(1, 1001)), list(range(6, 13)), [], [], []] == missed[12:]
        assert [None] * 15 + ["unknown_id"] * 2 == [replay.reset_reason for replay in replays]
        # Those who do not know where they are have a read for the last number.
        assert 1 + 1 + 2 == commands.recorded.count("find notifications")
        await process.close()


async def test_a_page_of_unread_notifications_skips_read_ones(process: ServiceProcess) -> None:
    """Pages stay full."""
    user = await process.add_user()
    await notified(process, user, 9)
    await process.notifications.mark_read_up_to(user, 2)
    items = (await process.notifications.page(user, limit=30, before=None, unread=False)).items
    for seq in (8, 5):
        await process.notifications.mark_read(
            user, next(item for item in items if item.seq == seq).data.notification_id
        )
    assert ([9, 7, 6], 6) == await listed_seqs(process, user, unread=True, limit=3)
    assert ([4, 3], None) == await listed_seqs(process, user, unread=True, limit=3, before=6)
    read = {
        item.seq
        for item in (await process.notifications.page(user, limit=30, before=None, unread=False)).items
        if item.data.read
    }
    assert {1, 2, 5, 8} == read


async def test_marking_publishes_the_unread_count(process: ServiceProcess) -> None:
    """Marking one, or all up to one, is idempotent."""
    user = await process.add_user()
    await notified(process, user, 5)
    connection = process.connect(user)
    items = (await process.notifications.page(user, limit=30, before=None, unread=False)).items
    for _ in range(2):
        assert 4 == await process.notifications.mark_read(user, items[1].data.notification_id)
        await unread_count_of(connection, 4, 5)
    for _ in range(2):
        assert 2 == await process.notifications.mark_read_up_to(user, 2)
        await unread_count_of(connection, 2, 5)
    assert 2 == await process.notifications.unread_count(user)


async def test_an_outdated_unread_count_is_not_sent_after_a_newer_one(
    process: ServiceProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two devices mark concurrently, and the older result is published last."""
    user = await process.add_user()
    await notified(process, user, 3)
    connection = process.connect(user)
    mark, marked, published = process.inboxes.mark_read_up_to, asyncio.Event(), asyncio.Event()

    async def mark_slowly(user_id: str, seq: int) -> Inbox:
        inbox = await mark(user_id, seq)
        if seq == 1:
            marked.set()
            await published.wait()
        return inbox

    monkeypatch.setattr(process.inboxes, "mark_read_up_to", mark_slowly)
    slower = asyncio.create_task(process.notifications.mark_read_up_to(user, 1))
    await marked.wait()
    await process.notifications.mark_read_up_to(user, 2)
    published.set()
    await slower
    await unread_count_of(connection, 1, 3)


async def test_unread_counts_are_coalesced(process: ServiceProcess) -> None:
    """The first is sent at once, then the last; every notification is sent, in order, and others do not wait."""
    user, other, sender = [await process.add_user() for _ in range(3)]
    connections = [process.connect(user), process.connect(user)]
    quiet = process.connect(other)
    for _ in range(20):
        await process.notifications.notify([process.request(user, sender)])
    await process.notifications.notify([process.request(other, sender)])
    assert [{"unread_count": 1, "seq": 1}] == unread_counts(quiet)
    for connection in connections:
        await unread_count_of(connection, 20, 20)
        assert list(range(1, 21)) == [event.sequence for event in queued_notifications(connection)]


async def test_marking_up_to_a_number_above_the_last_marks_all(process: ServiceProcess) -> None:
    """Later notifications stay unread."""
    user = await process.add_user()
    assert 0 == await process.notifications.mark_read_up_to(user, 99)
    await notified(process, user, 2)
    assert 0 == await process.notifications.mark_read_up_to(user, 99)
    await notified(process, user, 1)
    assert 1 == await process.notifications.unread_count(user)


async def test_a_notification_of_another_user_is_not_found(process: ServiceProcess) -> None:
    user, other = await process.add_user(), await process.add_user()
    await notified(process, user, 1)
    [item] = (await process.notifications.page(user, limit=30, before=None, unread=False)).items
    with pytest.raises(NotFound):
        await process.notifications.mark_read(other, item.data.notification_id)
    with pytest.raises(NotFound):
        await process.notifications.mark_read(user, new_id())
    assert 1 == await process.notifications.unread_count(user)


async def test_the_unread_count_is_right_without_a_hint(mongo: Mongo, start_process: StartProcess) -> None:
    """The stored notifications are authoritative, not the number in the inbox."""
    process = start_process()
    user = await process.add_user()
    await notified(process, user, 4)
    await mongo.database["inboxes"].delete_many({})
    assert 4 == await start_process().notifications.unread_count(user)


async def test_backfill_returns_the_later_events_with_their_recipient(process: ServiceProcess) -> None:
    user = await process.add_user()
    await notified(process, user, 3)
    await process.notifications.mark_read_up_to(user, 2)
    events = await process.notifications.backfill(f"n:{user}", 1)
    assert [(2, [user]), (3, [user])] == [(event.sequence, recipients) for event, recipients in events]
    assert [True, False] == [json.loads(event.body)["data"]["read"] for event, _ in events]
    assert [] == await process.notifications.backfill(f"n:{user}", 3)
