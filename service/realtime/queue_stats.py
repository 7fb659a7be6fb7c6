"""The totals of what is queued for the connections of this process."""

from collections.abc import Iterable
from typing import NamedTuple

from service.realtime.connection import Connection


class QueueStats(NamedTuple):
    """`events` and `bytes`: queued, in total. `max_depth`: the number of events in the longest queue. `dropped`: the
    number of ephemeral events that did not fit."""

    events: int = 0
    bytes: int = 0
    max_depth: int = 0
    dropped: int = 0


def queue_stats(connections: Iterable[Connection]) -> QueueStats:
    """Add up the queues as they are now. About 0.3 µs for each connection: sample it, but not for each event."""
    events = size = max_depth = dropped = 0
    for connection in connections:
        queue = connection.queue
        dropped += queue.dropped
        if depth := len(queue):
            events += depth
            size += queue.size
            max_depth = max(max_depth, depth)
    return QueueStats(events, size, max_depth, dropped)
