"""Notifying, listing, marking: what is stored, and what connections are told of it."""

import asyncio
import json
from collections.abc import Callable

import pytest

from service.common.errors import NotFound
from service.notifications.inbox_store import Inbox
from service.notifications.models import NotificationRequest
from service.realtime.event_stream import EventStream
from tests.notifications.service_process import ServiceProcess, new_id, numbered
from tests.realtime.wire import queued


async def notified(process: ServiceProcess, user_id: str, count: int) -> list[NotificationRequest]:
    sender = await process.add_user("Sender")
    requests = [process.request(user_id, sender) for _ in range(count)]
    assert [None] * count == await process.notifications.notify(requests)
    return requests


def last_unread_count(connection: EventStream) -> dict[str, int]:
    events = [event for event in queued(connection) if event.type == "unread_count"]
    return json.loads(events[-1].body)


async def shown(process: ServiceProcess, user_id: str, **query: object) -> tuple[list[int], int | None]:
    page = await process.notifications.page(user_id, **{"limit": 30, "before": None, "unread": False, **query})
    return [item.seq for item in page.items], page.next


async def test_notification_is_stored_and_told(process: ServiceProcess) -> None:
    """Every connection of the user, and no one else's, is sent the notification and then how many are unread."""
    user, sender = await process.add_user(), await process.add_user("Trần Thị Bình")
    tab, phone, stranger = process.connect(user), process.connect(user), process.connect(sender)
    request = process.request(user, sender, "Trần Thị Bình", type="NEW_REPLY", content="Chào bạn! " * 30)
    await process.notifications.notify([request])
    [stored] = (await process.notifications.page(user, limit=30, before=None, unread=False)).items
    for connection in (tab, phone):
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
    assert [] == queued(stranger)


async def test_notifying_again_tells_no_connection_twice(process: ServiceProcess) -> None:
    """Payment may be repeated: what was told already is not told again."""
    user = await process.add_user()
    connection = process.connect(user)
    requests = await notified(process, user, 3)
    assert [None] * 3 == await process.notifications.notify(requests)
    assert [1, 2, 3] == [event.sequence for event in numbered(connection)]


async def test_what_a_dead_process_stored_but_did_not_tell_is_told(start_process: Callable[[], ServiceProcess]) -> None:
    """A process dies between storing and telling; whoever pays again tells all of it, in order."""
    process, dying = start_process(), start_process()
    user, sender = await process.add_user(), await process.add_user()
    await notified(process, user, 2)
    connection = process.connect(user)
    process.dispatcher.set_position(f"n:{user}", 2)
    requests = [process.request(user, sender) for _ in range(3)]
    for request in requests:
        await dying.store.append(request)
    await process.notifications.notify(requests)
    async with asyncio.timeout(5):
        while len(numbered(connection)) < 3:
            await asyncio.sleep(0.01)
    assert [3, 4, 5] == [event.sequence for event in numbered(connection)]


async def test_page_goes_back_by_number(process: ServiceProcess) -> None:
    """Newest first, `next` leading on until nothing is left."""
    user = await process.add_user()
    await notified(process, user, 7)
    assert ([7, 6, 5], 5) == await shown(process, user, limit=3)
    assert ([4, 3, 2], 2) == await shown(process, user, limit=3, before=5)
    assert ([1], None) == await shown(process, user, limit=3, before=2)
    assert ([], None) == await shown(process, user, before=1)
    assert ([7, 6, 5, 4, 3, 2, 1], None) == await shown(process, user, before=1000)
    assert ([], None) == await shown(process, await process.add_user())


async def test_page_of_unread_leaves_out_what_is_read(process: ServiceProcess) -> None:
    """`unread` skips the read ones without ending early."""
    user = await process.add_user()
    await notified(process, user, 9)
    await process.notifications.mark_up_to(user, 2)
    items = (await process.notifications.page(user, limit=30, before=None, unread=False)).items
    for seq in (8, 5):
        await process.notifications.mark(user, next(item for item in items if item.seq == seq).data.notification_id)
    assert ([9, 7, 6], 6) == await shown(process, user, unread=True, limit=3)
    assert ([4, 3], None) == await shown(process, user, unread=True, limit=3, before=6)
    read = {
        item.seq
        for item in (await process.notifications.page(user, limit=30, before=None, unread=False)).items
        if item.data.read
    }
    assert {1, 2, 5, 8} == read


async def test_marking_tells_the_other_connections(process: ServiceProcess) -> None:
    """Marking one, or all up to one, is idempotent and is told to every tab and device."""
    user = await process.add_user()
    await notified(process, user, 5)
    connection = process.connect(user)
    items = (await process.notifications.page(user, limit=30, before=None, unread=False)).items
    for _ in range(2):
        assert 4 == await process.notifications.mark(user, items[1].data.notification_id)
        assert {"unread_count": 4, "seq": 5} == last_unread_count(connection)
    for _ in range(2):
        assert 2 == await process.notifications.mark_up_to(user, 2)
        assert {"unread_count": 2, "seq": 5} == last_unread_count(connection)
    assert 2 == await process.notifications.unread_count(user)


async def test_a_count_is_not_told_after_a_later_one(process: ServiceProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two devices mark at once, and the answer to the one that is counted first is the slower one."""
    user = await process.add_user()
    await notified(process, user, 3)
    connection = process.connect(user)
    mark, counted, told = process.inboxes.mark_up_to, asyncio.Event(), asyncio.Event()

    async def answer_late(user_id: str, seq: int) -> Inbox:
        inbox = await mark(user_id, seq)
        if seq == 1:
            counted.set()
            await told.wait()
        return inbox

    monkeypatch.setattr(process.inboxes, "mark_up_to", answer_late)
    slower = asyncio.create_task(process.notifications.mark_up_to(user, 1))
    await counted.wait()
    await process.notifications.mark_up_to(user, 2)
    told.set()
    await slower
    assert {"unread_count": 1, "seq": 3} == last_unread_count(connection)


async def test_number_beyond_the_last_marks_all_there_are(process: ServiceProcess) -> None:
    """What is to come stays unread."""
    user = await process.add_user()
    assert 0 == await process.notifications.mark_up_to(user, 99)
    await notified(process, user, 2)
    assert 0 == await process.notifications.mark_up_to(user, 99)
    await notified(process, user, 1)
    assert 1 == await process.notifications.unread_count(user)


async def test_notification_of_another_is_not_there(process: ServiceProcess) -> None:
    """Someone else's notification can neither be seen nor marked."""
    user, other = await process.add_user(), await process.add_user()
    await notified(process, user, 1)
    [item] = (await process.notifications.page(user, limit=30, before=None, unread=False)).items
    with pytest.raises(NotFound):
        await process.notifications.mark(other, item.data.notification_id)
    with pytest.raises(NotFound):
        await process.notifications.mark(user, new_id())
    assert 1 == await process.notifications.unread_count(user)


async def test_unread_count_is_right_though_the_hint_lags(start_process: Callable[[], ServiceProcess]) -> None:
    """The notifications have the last word, not the number that the inbox remembers."""
    process = start_process()
    user = await process.add_user()
    await notified(process, user, 4)
    await process.inboxes._inboxes.delete_many({})
    assert 4 == await start_process().notifications.unread_count(user)


async def test_fill_reads_what_follows(process: ServiceProcess) -> None:
    """The filler of a gap gives the later notifications in order, to their user."""
    user = await process.add_user()
    await notified(process, user, 3)
    await process.notifications.mark_up_to(user, 2)
    filled = await process.notifications.fill(f"n:{user}", 1)
    assert [(2, [user]), (3, [user])] == [(event.sequence, to) for event, to in filled]
    assert [True, False] == [json.loads(event.body)["data"]["read"] for event, _ in filled]
    assert [] == await process.notifications.fill(f"n:{user}", 3)
