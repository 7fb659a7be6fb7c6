"""What waits, and what was too much to wait."""

import pytest

from service.realtime.event import Event, Policy
from service.realtime.event_stream import EventStream
from service.realtime.queue_stats import QueueStats, queue_stats
from service.realtime.registry import Registry
from tests.realtime.wire import event_stream


@pytest.fixture
def streams(registry: Registry) -> list[EventStream]:
    """Three that nobody reads yet."""
    streams = [event_stream(registry, f"user{number}") for number in range(3)]
    for stream in streams:
        registry.register(stream)
    return streams


def said(number: int, policy: Policy = Policy.DURABLE) -> Event:
    return Event("said", {"n": number}, channel="notifications", policy=policy)


async def test_load_is_what_waits_for_all(registry: Registry, streams: list[EventStream]) -> None:
    """With the longest queue for itself, and the ephemeral events that found no room."""
    assert QueueStats() == queue_stats(registry)
    for place, stream in enumerate(streams):
        for number in range(place):
            stream.send(said(number))
    streams[0].queue.max_events = 0
    streams[0].send(said(0, Policy.EPHEMERAL))
    found = queue_stats(registry)
    assert (3, 2, 1) == (found.events, found.max_depth, found.dropped)
    assert sum(stream.queue.size for stream in streams) == found.bytes > 0


@pytest.mark.parametrize(("bound", "limit"), [("events", "max_events"), ("bytes", "max_bytes")])
async def test_an_overflow_tells_which_bound_it_was(
    registry: Registry, streams: list[EventStream], bound: str, limit: str
) -> None:
    """Once for each connection, whether an event was meant for it alone or for many."""
    told: list[tuple[object, str]] = []
    registry.on_queue_overflow(lambda connection, bound: told.append((connection, bound)))
    setattr(streams[0].queue, limit, 1)
    for number in range(3):
        registry.fan_out.deliver(None, said(number))
        registry.fan_out.flush_pending_batches()
    assert [(streams[0], bound)] == told
    setattr(streams[1].queue, limit, 2)
    streams[1].send(said(4))
    assert [bound, bound] == [cause for _, cause in told]
