"""The unread count that is sent with a notification, while it is marked as read at the same time."""

import asyncio
import json
from collections.abc import Collection

import pytest

from service.common.errors import Unavailable
from service.datastores.sequenced_log import Appended
from service.notifications import recent_inboxes
from service.notifications.inbox_store import Inbox
from service.notifications.models import NotificationRequest
from service.notifications.number_set import NumberSet
from service.notifications.recent_inboxes import RecentInboxes
from service.realtime.event import Event
from tests.conftest import Datastores
from tests.notifications.conftest import StartProcess
from tests.notifications.service_process import ServiceProcess
from tests.notifications.test_service import notified, unread_count_of
from tests.recorded_commands import recording


def sent_counts(process: ServiceProcess) -> list[tuple[int, int]]:
    """Return the unread counts that the process sends, each with the number of the last notification."""
    sent: list[tuple[int, int]] = []

    def note(event: Event) -> None:
        if event.type == "unread_count":
            body = json.loads(event.body)
            sent.append((body["unread_count"], body["seq"]))

    process.dispatcher.on_published(note)
    return sent


async def test_a_mark_of_another_process_counts_after_a_check(start_process: StartProcess) -> None:
    """The process that stores the notification has read the inbox before the mark was made."""
    process, other = start_process(), start_process()
    user = await process.add_user()
    sent = sent_counts(process)
    await notified(process, user, 2)
    assert 1 == await other.notifications.mark_read_up_to(user, 1)
    await notified(process, user, 1)
    assert [(2, 2), (3, 3)] == sent
    await process.read_states.recent.check()
    assert (2, 3) == sent[-1]
    await process.read_states.recent.check()
    assert 3 == len(sent)


async def test_a_mark_of_the_same_process_counts_at_once(process: ServiceProcess) -> None:
    """Also one that was made while a notification was being stored."""
    user = await process.add_user()
    sent = sent_counts(process)
    await notified(process, user, 3)
    assert 2 == await process.notifications.mark_read_up_to(user, 1)
    await notified(process, user, 1)
    assert (3, 4) == sent[-1]
    await asyncio.gather(notified(process, user, 1), process.notifications.mark_read_up_to(user, 2))
    assert (3, 5) == sent[-1]


async def test_a_mark_counts_while_the_first_notification_after_a_pause_is_being_stored(
    process: ServiceProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = await process.add_user()
    await notified(process, user, 3)
    for _ in range(2):
        await process.read_states.recent.check()
    sent, read, marked = sent_counts(process), asyncio.Event(), asyncio.Event()
    inboxes, append = process.inboxes.inboxes, process.store.append

    async def note_read(user_ids: Collection[str]) -> dict[str, Inbox]:
        found = await inboxes(user_ids)
        read.set()
        return found

    async def append_later(request: NotificationRequest) -> Appended:
        await marked.wait()
        return await append(request)

    monkeypatch.setattr(process.inboxes, "inboxes", note_read)
    monkeypatch.setattr(process.store, "append", append_later)
    storing = asyncio.create_task(notified(process, user, 1))
    await read.wait()
    # The task that has read goes on first.
    await asyncio.sleep(0)
    assert 1 == await process.notifications.mark_read_up_to(user, 2)
    marked.set()
    await storing
    assert (2, 4) == sent[-1]


async def test_inboxes_are_checked_in_the_background_and_on_closing(
    start_process: StartProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    process, other = start_process(), start_process()
    user = await process.add_user()
    connection = process.connect(user)
    recent = process.read_states.recent
    await recent.start()
    await notified(process, user, 1)
    await other.notifications.mark_read_up_to(user, 1)
    await unread_count_of(connection, 0, 1)
    await recent.close()
    monkeypatch.setattr(recent_inboxes, "CHECK_INTERVAL", 1000)
    await recent.start()
    await notified(process, user, 1)
    await other.notifications.mark_read_up_to(user, 2)
    await recent.close()
    await unread_count_of(connection, 0, 2)


async def test_a_busy_inbox_is_read_once_for_each_check(datastores: Datastores) -> None:
    """Not for each notification; and no longer than the user is notified."""
    async with recording(datastores) as (mongo, commands):
        process = ServiceProcess(mongo.database)
        await process.create_indexes()
        user, recent = await process.add_user(), process.read_states.recent
        await notified(process, user, 1)
        for _ in range(3):
            commands.recorded.clear()
            await recent.check()
            await notified(process, user, 1)
            await notified(process, user, 1)
            assert 1 == commands.recorded.count("find inboxes")
        commands.recorded.clear()
        for _ in range(3):
            await recent.check()
        assert ["find inboxes"] == commands.recorded
        await process.close()


class BrokenStore:
    """Inboxes that cannot be read at first."""

    broken = True

    async def inboxes(self, user_ids: list[str]) -> dict[str, Inbox]:
        if self.broken:
            raise Unavailable
        return dict.fromkeys(user_ids, Inbox(1, 1))


async def test_a_check_that_fails_is_repeated() -> None:
    store, found = BrokenStore(), list[tuple[str, Inbox]]()
    recent = RecentInboxes(store, lambda *difference: found.append(difference))  # type: ignore[arg-type]
    assert Inbox(1) == recent.stored("a", 1, Inbox())
    with pytest.raises(Unavailable):
        await recent.check()
    store.broken = False
    await recent.check()
    assert [("a", Inbox(1, 1))] == found
    assert Inbox(2, 1) == recent.stored("a", 2, Inbox())
    assert Inbox(2, 1, NumberSet.of([2])).unread == recent.marked("a", Inbox(1).with_read_up_to(2)).unread
