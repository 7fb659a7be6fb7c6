"""Replay on connecting: missed notifications, then live ones, none twice."""

import asyncio
import gc
from collections import Counter

import pytest

from service.common.identity import Identity
from service.common.ids import new_id
from service.notifications.models import CHANNEL
from service.notifications.replay import UNKNOWN_ID, go_live, parse_last_event_id
from service.notifications.service import Replay
from service.realtime.event_stream import EventStream
from service.telemetry.metrics import Metrics
from tests.conftest import Datastores
from tests.notifications.conftest import StartProcess
from tests.notifications.service_process import ServiceProcess, queued_notifications
from tests.recorded_commands import recording


async def connect(process: ServiceProcess, user_id: str, last_seen: int | None) -> EventStream:
    """Return a live connection without a reader."""
    connection = EventStream(process.registry, Identity(user_id, new_id(), new_id(), 2e9), CHANNEL)
    with process.registry.registration(connection):
        await go_live(connection, process.notifications, last_seen, 20.0, Metrics())
    return connection


@pytest.mark.parametrize(
    ("id", "number"),
    [
        (None, None),
        ("", None),
        ("0", 0),
        ("17", 17),
        ("-1", UNKNOWN_ID),
        ("x", UNKNOWN_ID),
        ("1" * 17, UNKNOWN_ID),
        ("²", UNKNOWN_ID),
    ],
)
def test_a_last_event_id_is_a_number_absent_or_unknown(id: str | None, number: int | None) -> None:
    assert number == parse_last_event_id(id)


async def test_a_replayed_notification_is_not_sent_again(start_process: StartProcess) -> None:
    """A process is slow to publish a stored notification; a client that connects meanwhile has it in its replay."""
    process, slow = start_process(), start_process()
    user, sender = await process.add_user(), await process.add_user()
    early = await connect(process, user, None)
    request = slow.request(user, sender)
    await slow.store.append(request)
    late = await connect(process, user, 0)
    assert [1] == [event.sequence for event in queued_notifications(late)]
    await process.notifications.notify([request])
    async with asyncio.timeout(5):
        while not queued_notifications(early):
            await asyncio.sleep(0.01)
    await process.notifications.notify([process.request(user, sender)])
    assert [1, 2] == [event.sequence for event in queued_notifications(early)]
    assert [1, 2] == [event.sequence for event in queued_notifications(late)]


async def test_live_notifications_during_a_replay_follow_it(process: ServiceProcess) -> None:
    """Every connection receives every number once, in order."""
    user, sender = await process.add_user(), await process.add_user()
    await process.notifications.notify([process.request(user, sender) for _ in range(3)])

    async def pour() -> None:
        for _ in range(30):
            await process.notifications.notify([process.request(user, sender)])

    connections, _ = await asyncio.gather(asyncio.gather(*[connect(process, user, 1) for _ in range(10)]), pour())
    for connection in connections:
        assert list(range(2, 34)) == [event.sequence for event in queued_notifications(connection)]


async def test_connections_that_open_together_share_their_reads(datastores: Datastores) -> None:
    """Of inboxes and senders, of notifications that none of them has had yet, and of those that they have missed. The
    last of these reads also tells the last numbers."""
    async with recording(datastores) as (mongo, commands):
        process = ServiceProcess(mongo.database)
        await process.create_indexes()
        *users, sender = [await process.add_user() for _ in range(11)]
        await asyncio.gather(*[connect(process, user, None) for user in users])
        assert ["find inboxes", "find notifications"] == commands.recorded[-2:]
        requests = [process.request(user, sender) for user in users for _ in range(3)]
        await process.notifications.notify(requests)
        commands.recorded.clear()
        connections = await asyncio.gather(*[connect(process, user, 1) for user in users])
        for connection in connections:
            assert [2, 3] == [event.sequence for event in queued_notifications(connection)]
        assert Counter({"find inboxes": 1, "find notifications": 1, "find users": 1}) == Counter(commands.recorded)
        await process.close()


async def test_a_connection_does_not_keep_its_replay_in_memory(process: ServiceProcess) -> None:
    """It may have been a thousand events, and connections are long-lived."""
    user, sender = await process.add_user(), await process.add_user()
    await process.notifications.notify([process.request(user, sender)])
    connection = await connect(process, user, 0)
    connection.queue.clear()
    # What the task of this test has been woken up with.
    await asyncio.sleep(0)
    gc.collect()
    assert not [each for each in gc.get_objects() if type(each) is Replay]
