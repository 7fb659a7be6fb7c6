"""Joining: what a connection missed, then what comes, and nothing twice."""

import asyncio
import gc
from collections.abc import Callable

import pytest

from service.common.identity import Identity
from service.notifications.models import CHANNEL
from service.notifications.replay import UNKNOWN_ID, go_live, parse_last_event_id
from service.notifications.service import Replay
from service.realtime.event_stream import EventStream
from service.telemetry.metrics import Metrics
from tests.notifications.service_process import ServiceProcess, new_id, numbered


async def joined(process: ServiceProcess, user_id: str, seen: int | None) -> EventStream:
    """A connection that has joined, and that nobody reads."""
    connection = EventStream(process.registry, Identity(user_id, new_id(), new_id(), 2e9), CHANNEL)
    with process.registry.registration(connection):
        await go_live(connection, process.notifications, seen, 20.0, Metrics())
    return connection


@pytest.mark.parametrize(
    ("id", "seen"),
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
def test_id_names_a_number_or_is_unknown(id: str | None, seen: int | None) -> None:
    """Whatever a client sends for an id, it is a number, none, or unknown."""
    assert seen == parse_last_event_id(id)


async def test_what_was_replayed_is_not_sent_again(start_process: Callable[[], ServiceProcess]) -> None:
    """A process stores a notification and is slow to tell; who joins in between has it from the database already."""
    process, slow = start_process(), start_process()
    user, sender = await process.add_user(), await process.add_user()
    early = await joined(process, user, None)
    request = slow.request(user, sender)
    await slow.store.append(request)
    late = await joined(process, user, 0)
    assert [1] == [event.sequence for event in numbered(late)]
    await process.notifications.notify([request])
    async with asyncio.timeout(5):
        while not numbered(early):
            await asyncio.sleep(0.01)
    await process.notifications.notify([process.request(user, sender)])
    assert [1, 2] == [event.sequence for event in numbered(early)]
    assert [1, 2] == [event.sequence for event in numbered(late)]


async def test_what_comes_while_the_past_is_read_follows_it(process: ServiceProcess) -> None:
    """Notifications pour in while many connections join: each has every number once, in order."""
    user, sender = await process.add_user(), await process.add_user()
    await process.notifications.notify([process.request(user, sender) for _ in range(3)])

    async def pour() -> None:
        for _ in range(30):
            await process.notifications.notify([process.request(user, sender)])

    connections, _ = await asyncio.gather(asyncio.gather(*[joined(process, user, 1) for _ in range(10)]), pour())
    for connection in connections:
        assert list(range(2, 34)) == [event.sequence for event in numbered(connection)]


async def test_a_connection_does_not_keep_the_past_it_was_sent(process: ServiceProcess) -> None:
    """It may have been a thousand events, and connections last."""
    user, sender = await process.add_user(), await process.add_user()
    await process.notifications.notify([process.request(user, sender)])
    connection = await joined(process, user, 0)
    connection.queue.clear()
    gc.collect()
    assert not [each for each in gc.get_objects() if type(each) is Replay]
