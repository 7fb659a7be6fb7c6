"""The totals of queued events, and overflow reports."""

import pytest

from service.realtime.event import Event, Policy
from service.realtime.event_stream import EventStream
from service.realtime.queue_stats import QueueStats, queue_stats
from service.realtime.registry import Registry
from tests.realtime.wire import event_stream


@pytest.fixture
def streams(registry: Registry) -> list[EventStream]:
    """Three streams without a transport: their events stay queued."""
    streams = [event_stream(registry, f"user{number}") for number in range(3)]
    for stream in streams:
        registry.register(stream)
    return streams


def event(number: int, policy: Policy = Policy.DURABLE) -> Event:
    return Event("new", {"n": number}, channel="notifications", policy=policy)


async def test_queue_stats_add_up_all_queues(registry: Registry, streams: list[EventStream]) -> None:
    """Including the longest queue and the number of dropped ephemeral events."""
    assert QueueStats() == queue_stats(registry)
    for index, stream in enumerate(streams):
        for number in range(index):
            stream.send(event(number))
    streams[0].queue.max_events = 0
    streams[0].send(event(0, Policy.EPHEMERAL))
    found = queue_stats(registry)
    assert (3, 2, 1) == (found.events, found.max_depth, found.dropped)
    assert sum(stream.queue.size for stream in streams) == found.bytes > 0


@pytest.mark.parametrize(("bound", "limit"), [("events", "max_events"), ("bytes", "max_bytes")])
async def test_an_overflow_report_names_the_limit(
    registry: Registry, streams: list[EventStream], bound: str, limit: str
) -> None:
    """Once for each connection, whether the event was sent to it alone or delivered to many."""
    reports: list[tuple[object, str]] = []
    registry.on_queue_overflow(lambda connection, limit: reports.append((connection, limit)))
    setattr(streams[0].queue, limit, 1)
    for number in range(3):
        registry.fan_out.deliver(None, event(number))
        registry.fan_out.flush_pending_batches()
    assert [(streams[0], bound)] == reports
    setattr(streams[1].queue, limit, 2)
    streams[1].send(event(4))
    assert [bound, bound] == [reported for _, reported in reports]
